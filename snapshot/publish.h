/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishing the two files of a snapshot, state S and memory M, atomically
 * although they have two names.
 *
 * The writer fills S.next and M.next, which are never taken for a snapshot, and
 * renames M.next to M, then S.next to S.  Both files of a snapshot contain its
 * identity, so a load recognises an S that does not belong to M, and uses
 * S.next if that does:
 *
 *	               S     M     S.next   M.next     a load gets
 *	while filling  old   old   partial  partial    the old snapshot
 *	M renamed      old   new   new      -          the new one, S.next and M
 *	S renamed      new   new   -        -          the new one, S and M
 *
 * Symbolic links are followed, and an existing file keeps its owner, mode and
 * access list, because a launcher may have prepared it.  A file that cannot be
 * replaced without losing these is overwritten (PUBLISH_FILL); meanwhile there
 * is no snapshot.  Then the identity in M is erased first and S is written
 * last, so that no S belongs to an incomplete M.
 *
 * One thread at a time.  Error messages name the file.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct go_on;
struct snap;

/* A random identity for each snapshot, also for one without memory. */
struct snapshot_id {
	uint8_t bytes[16];
	uint64_t offset; /* of the same bytes in the memory file */
};

/* Save or load the identity, the first section of every state file. */
void snapshot_id_state(struct snapshot_id *id, struct snap *s);

/* ------------------------------------------------------------------ writing */

enum publish_how {
	PUBLISH_REPLACE, /* write FILE.next, and rename it */
	PUBLISH_FILL,    /* overwrite FILE in place */
};

struct publish_file {
	enum publish_how how;
	bool is_descriptor;  /* the path is /dev/fd/N or the like */
	bool is_new;         /* the file did not exist */
	unsigned mode;       /* of the complete file */
	char path[PATH_MAX]; /* with symbolic links resolved */
};

struct publish {
	int state_fd, memory_fd; /* for the writer to fill; -1: not wanted */
	/*
	 * Asked right before the renames, as the last chance to cancel.  The
	 * writer sets it after publish_begin(); NULL: never cancelled.
	 */
	const struct go_on *may_publish;
	struct publish_file state, memory;
};

/*
 * Open the files to fill: S.next and M.next, or S and M if those cannot be
 * replaced.  @state or @memory may be NULL.  Leftovers of a writer that died
 * are removed; if it died between the renames, the second rename is done first.
 * Fails if another process is writing the files, or if a .next is there that no
 * writer left.
 *
 * New files get mode 0600; publish_set_mode() changes that.
 */
int publish_begin(struct publish *p, const char *state, const char *memory,
		  struct err *e);

/* Set the mode of new files; existing ones keep theirs. */
void publish_set_mode(struct publish *p, unsigned mode);

/*
 * Call before memory that is overwritten in place changes: erases its identity,
 * at @offset, so that no state belongs to it.  @sync: also on the disk.  Does
 * nothing if memory is replaced.
 */
int publish_invalidate(struct publish *p, uint64_t offset, bool sync,
		       struct err *e);

/*
 * Call when all of memory is written, before the state is: otherwise a power
 * loss could leave a state with incomplete memory.
 */
int publish_memory_written(struct publish *p, bool sync, struct err *e);

/*
 * Publish the files.  @sync: the new snapshot survives a power loss once this
 * returns; until then the old one does.
 *
 * Closes @p, also after a failure.  A failure leaves the old snapshot unless
 * the message says otherwise.
 */
int publish_commit(struct publish *p, bool sync, struct err *e);

/*
 * Cancel: remove the .next files and close @p.  Does nothing after
 * publish_commit() or a failed publish_begin().
 */
void publish_abandon(struct publish *p);

/*
 * The same without closing the files, for a writer that is stuck in a system
 * call on another thread and must no longer publish.
 */
void publish_remove(const struct publish *p);

/* ------------------------------------------------------------------ loading */

struct published {
	void *body; /* of the state file; owned */
	size_t len;
	uint16_t minor; /* of the state file's format */
	struct snapshot_id id;
	int memory_fd;        /* read-only; owned; -1: no memory requested */
	uint64_t memory_size; /* bytes */
};

/*
 * Open the snapshot of @state and @memory (NULL: state only).  Fails if they do
 * not belong together.  Logs a warning if S.next had to be used.
 */
int publish_open(struct published *p, const char *state, const char *memory,
		 struct err *e);
/* The same for files of somebody else: neither may be a symbolic link. */
int publish_open_strict(struct published *p, const char *state,
			const char *memory, struct err *e);

/* Free and close everything; allowed after a failed publish_open(), too. */
void publish_close(struct published *p);
