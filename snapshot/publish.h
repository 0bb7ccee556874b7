/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two files of a snapshot, state S and memory M, which become visible
 * together although they are two names.
 *
 * A writer fills S.next and M.next, which others cannot take for a snapshot,
 * and then renames M.next to M, and S.next to S.  Both files of one snapshot
 * have its identity in them.  A writer that dies between the renames leaves an
 * S that is not M's, and an S.next that is: a load finds that out.  So at every
 * instant there is the old snapshot or the new one, whole.
 *
 * What is there keeps its owner, its mode and its access list, and symbolic
 * links are followed, because a launcher may have prepared it.  Where a file
 * cannot be replaced without losing that, it is overwritten (PUBLISH_FILL):
 * then there is a time in which there is no snapshot.  M loses its identity
 * first, and S is written last, so that no S goes with an M that is not whole.
 *
 * One thread at a time.  Errors name the file.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct go_on;
struct snap;

/* Drawn for each snapshot, also one without memory. */
struct snapshot_id {
	uint8_t bytes[16];
	uint64_t offset; /* in the memory file, where the same bytes are */
};

/* It is the first section of every state file. */
void snapshot_id_state(struct snapshot_id *id, struct snap *s);

/* ------------------------------------------------------------------ writing */

enum publish_how {
	PUBLISH_REPLACE, /* beside it, as .next, and renamed */
	PUBLISH_FILL,    /* in place */
};

struct publish_file {
	enum publish_how how;
	bool is_descriptor;  /* its path is /dev/fd/N or the like */
	bool is_new;         /* it was not there */
	unsigned mode;       /* when it is complete */
	char path[PATH_MAX]; /* without symbolic links */
};

struct publish {
	int state_fd, memory_fd; /* to be filled; -1: not this one */
	/* Asked right before the files get their names: a last chance to cancel
	 * it.  The writer's, after publish_begin(); NULL: go on. */
	const struct go_on *may_publish;
	struct publish_file state, memory;
};

/*
 * Open the files to fill: S.next and M.next, or S and M where those cannot be
 * replaced.  Either may be NULL.  What a writer that died left is removed, or
 * its publication is completed first if it had begun; what anybody else put
 * there is refused, and so is what another writer is writing.
 *
 * Files that are new get mode 0600; publish_set_mode() changes that.
 */
int publish_begin(struct publish *p, const char *state, const char *memory,
		  struct err *e);
void publish_set_mode(struct publish *p, unsigned mode);

/*
 * Before memory that is filled in place changes: it loses the identity, which
 * is at @offset, so that no state goes with it.  With @sync also on the disk.
 * Nothing happens to memory that is replaced.
 */
int publish_invalidate(struct publish *p, uint64_t offset, bool sync,
		       struct err *e);

/*
 * All of memory is written.  The state is to be written after this, or power
 * that fails could leave one that goes with memory that is not whole.
 */
int publish_memory_written(struct publish *p, bool sync, struct err *e);

/*
 * Make them the snapshot.  With @sync it outlives a loss of power from then on,
 * and the snapshot that was there before does until then.
 *
 * Afterwards, also after a failure, @p is closed.  A failure leaves the old
 * snapshot, unless the text says otherwise.
 */
int publish_commit(struct publish *p, bool sync, struct err *e);

/* Remove the files.  Nothing after publish_commit() or a failed begin. */
void publish_abandon(struct publish *p);

/*
 * The same, but for closing them, of a writer that is stuck in a system call on
 * another thread, and must not publish them any more.
 */
void publish_remove(const struct publish *p);

/* ------------------------------------------------------------------ loading */

struct published {
	void *body; /* of the state file, owned */
	size_t len;
	uint16_t minor; /* the format's */
	struct snapshot_id id;
	int memory_fd; /* read-only, owned; -1: not asked for */
	uint64_t memory_size;
};

/*
 * Open the snapshot @state and, unless that is NULL, @memory: files that belong
 * together.  That S.next had to be used is logged.
 */
int publish_open(struct published *p, const char *state, const char *memory,
		 struct err *e);

/* Also after a failure. */
void publish_close(struct published *p);
