/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "snapshot/codec.h"
#include "snapshot/state_file.h"
#include "vmm/base/err.h"
#include "vmm/base/go_on.h"
#include "vmm/base/io.h"
#include "vmm/base/log.h"
#include "vmm/base/util.h"

static const char suffix[] = ".next";

struct next {
	char path[PATH_MAX + sizeof(suffix)];
};

static struct next next_of(const char *path)
{
	struct next n;

	snprintf(n.path, sizeof(n.path), "%s%s", path, suffix);
	return n;
}

void snapshot_id_state(struct snapshot_id *id, struct snap *s)
{
	snap_begin(s, SNAP_TAG('s', 'n', 'i', 'd'));
	snap_bytes(s, id->bytes, sizeof(id->bytes));
	snap_u64(s, &id->offset);
	snap_end(s);
}

/* ------------------------------------------------------------------ loading */

static int read_id(struct published *p, struct err *e)
{
	struct snap s;

	snap_load(&s, p->body, p->len, snap_version_of(p->minor));
	snapshot_id_state(&p->id, &s);
	/* Not snap_finish(): the rest is for others to read. */
	if (snap_failed(&s))
		return err_set(e, "%s", s.err.text);
	return 0;
}

static int load_state(struct published *p, const char *path, struct err *e)
{
	uint64_t size;
	AUTO_CLOSE int fd = io_open_file(path, &size, e);

	if (fd < 0)
		return -1;
	if (state_file_load(fd, &p->body, &p->len, &p->minor, e) ||
	    read_id(p, e))
		return err_prefix(e, "%.512s", path);
	return 0;
}

/* Has the memory file the identity that the state has? */
static bool matches(const struct published *p)
{
	uint8_t bytes[sizeof(p->id.bytes)];

	if (p->memory_fd < 0)
		return true;
	if (p->id.offset > INT64_MAX - sizeof(bytes))
		return false;
	return io_pread(p->memory_fd, bytes, sizeof(bytes), p->id.offset) ==
		       sizeof(bytes) &&
	       !memcmp(bytes, p->id.bytes, sizeof(bytes));
}

static void drop_state(struct published *p)
{
	free(p->body);
	p->body = NULL;
}

enum found { FOUND_NONE = -1, FOUND_CURRENT, FOUND_NEXT };

/* Find the state that belongs to the memory. */
static enum found find(struct published *p, const char *state,
		       const char *memory, struct err *e)
{
	struct next next = next_of(state);
	struct err ignored;

	*p = (struct published){.memory_fd = -1};
	if (memory) {
		p->memory_fd = io_open_file(memory, &p->memory_size, e);
		if (p->memory_fd < 0)
			return FOUND_NONE;
	}
	if (!load_state(p, state, e)) {
		if (matches(p))
			return FOUND_CURRENT;
		err_set(e,
			"%.400s and %.400s do not belong together: they are "
			"of different snapshots",
			state, memory);
	}
	drop_state(p);
	if (!memory || load_state(p, next.path, &ignored) || !matches(p)) {
		drop_state(p);
		return FOUND_NONE;
	}
	return FOUND_NEXT;
}

int publish_open(struct published *p, const char *state, const char *memory,
		 struct err *e)
{
	enum found found = find(p, state, memory, e);

	if (found == FOUND_NONE) {
		publish_close(p);
		return -1;
	}
	if (found == FOUND_NEXT)
		log_warn("%s is not of the snapshot %s is of: its writer did "
			 "not finish; using %s%s, which is",
			 state, memory, state, suffix);
	return 0;
}

void publish_close(struct published *p)
{
	drop_state(p);
	util_close(&p->memory_fd);
}

/* ------------------------------------------------------------------ writing */

/* Make what happened to names in the folder of @path outlive power. */
static int sync_folder(const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX];
	AUTO_CLOSE int fd = -1;

	snprintf(folder, sizeof(folder), "%.*s",
		 slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "cannot open %.512s", folder);
	return fsync(fd) ? err_errno(e, "cannot sync %.512s", folder) : 0;
}

static int check_name(const char *path, struct err *e)
{
	size_t len = strlen(path), end = sizeof(suffix) - 1;
	struct stat st;

	/* With room for the suffix, and for NUL. */
	if (!len || len >= PATH_MAX - sizeof(suffix))
		return err_set(e, "a file's name must have 1 to %zu bytes",
			       PATH_MAX - sizeof(suffix) - 1);
	if (len >= end && !strcmp(path + len - end, suffix))
		return err_set(e,
			       "%.512s: names with %s at the end are for "
			       "snapshots that are not complete",
			       path, suffix);
	/* Or the second rename could fail after the first did not. */
	if (!stat(path, &st) && !S_ISREG(st.st_mode))
		return err_set(e, "%.512s is there, and is no file", path);
	return 0;
}

/* False while another writer has the file.  Without locks here, never. */
static bool lock(int fd)
{
	return !flock(fd, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK;
}

static int busy(const char *path, struct err *e)
{
	return err_set(e, "%.512s: another snapshot is being written there",
		       path);
}

/* The leftover at @path, locked; -1 and no error if there is none. */
static int lock_leftover(const char *path, int *fd, struct err *e)
{
	*fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (*fd < 0)
		return errno == ENOENT
			       ? 0
			       : err_errno(e, "cannot open %.512s", path);
	if (lock(*fd))
		return 0;
	util_close(fd);
	return busy(path, e);
}

static int remove_leftover(const char *path, struct err *e)
{
	if (unlink(path) && errno != ENOENT)
		return err_errno(e,
				 "cannot remove %.512s, which a snapshot "
				 "left there that was not completed",
				 path);
	return 0;
}

static int create(const char *path, struct err *e)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_errno(e, "cannot create %.512s", path);
	if (lock(fd))
		return fd;
	close(fd);
	return busy(path, e);
}

/*
 * Somebody died after the first rename: what is left is the only state that
 * belongs to the memory.
 */
static int complete(const char *state, const char *memory, struct err *e)
{
	struct next next = next_of(state);
	struct published p;
	struct err ignored;
	enum found found = find(&p, state, memory, &ignored);

	publish_close(&p);
	if (found != FOUND_NEXT)
		return 0;
	if (rename(next.path, state))
		return err_errno(e, "cannot rename %.512s", next.path);
	return sync_folder(state, e);
}

static int begin_file(const char *path, const char *completes_with,
		      struct err *e)
{
	struct next next = next_of(path);
	AUTO_CLOSE int leftover = -1;

	if (lock_leftover(next.path, &leftover, e))
		return -1;
	if (leftover >= 0 && completes_with &&
	    complete(path, completes_with, e))
		return -1;
	if (leftover >= 0 && remove_leftover(next.path, e))
		return -1;
	return create(next.path, e);
}

int publish_begin(struct publish *p, const char *state, const char *memory,
		  struct err *e)
{
	p->state_fd = p->memory_fd = -1;
	p->may_publish = NULL;
	if (check_name(state, e) || (memory && check_name(memory, e)))
		return -1;
	if (memory && !strcmp(state, memory))
		return err_set(e, "%.512s cannot be state and memory", state);
	snprintf(p->state, sizeof(p->state), "%s", state);
	snprintf(p->memory, sizeof(p->memory), "%s", memory ? memory : "");
	p->state_fd = begin_file(state, memory, e);
	if (p->state_fd < 0)
		return -1;
	if (!memory)
		return 0;
	p->memory_fd = begin_file(memory, NULL, e);
	if (p->memory_fd >= 0)
		return 0;
	publish_abandon(p);
	return -1;
}

void publish_remove(const struct publish *p)
{
	if (p->state_fd >= 0)
		unlink(next_of(p->state).path);
	if (p->memory_fd >= 0)
		unlink(next_of(p->memory).path);
}

static void end(struct publish *p, bool remove)
{
	/* Before others may lock them. */
	if (remove)
		publish_remove(p);
	util_close(&p->state_fd);
	util_close(&p->memory_fd);
}

void publish_abandon(struct publish *p)
{
	end(p, true);
}

/* All that must be on the disk before the first rename. */
static int sync_files(const struct publish *p, struct err *e)
{
	if (p->memory_fd >= 0 && fsync(p->memory_fd))
		return err_errno(e, "cannot sync %.512s%s", p->memory, suffix);
	if (fsync(p->state_fd))
		return err_errno(e, "cannot sync %.512s%s", p->state, suffix);
	return sync_folder(p->state, e);
}

static int rename_next(const char *path, struct err *e)
{
	struct next next = next_of(path);

	if (rename(next.path, path))
		return err_errno(e, "cannot rename %.512s", next.path);
	return 0;
}

/*
 * The memory has its name; the state must not be lost now.  Memory's new name
 * first, also on the disk: new state beside old memory would be nothing.
 */
static int publish_state(struct publish *p, bool sync, struct err *e)
{
	if (p->memory_fd >= 0 && sync && sync_folder(p->memory, e))
		return -1;
	return rename_next(p->state, e);
}

int publish_commit(struct publish *p, bool sync, struct err *e)
{
	bool memory = p->memory_fd >= 0;
	int r;

	r = sync ? sync_files(p, e) : 0;
	/* Also after a failure: the files are ours alone from here on. */
	if (!may_go_on(p->may_publish) && !r)
		r = err_set(e, "it was cancelled");
	if (!r && memory)
		r = rename_next(p->memory, e);
	if (r) {
		end(p, true);
		return -1;
	}
	r = publish_state(p, sync, e);
	if (r && memory)
		err_prefix(e,
			   "the new memory is in place, its state is still "
			   "%.400s%s, and can be loaded so",
			   p->state, suffix);
	if (!r && sync && sync_folder(p->state, e))
		r = err_prefix(e, "the new snapshot is in place, but may not "
				  "outlive a loss of power");
	end(p, r && !memory);
	return r;
}
