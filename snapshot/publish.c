/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "core/base/err.h"
#include "core/base/go_on.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/leftover.h"
#include "core/io/log.h"
#include "snapshot/codec.h"
#include "snapshot/state_file.h"
#include "snapshot/target.h"

static const char suffix[] = TARGET_SUFFIX;

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
	/* Not snap_finish(), because the rest is read later. */
	if (snap_failed(&s))
		return err_set(e, "%s", s.err.text);
	return 0;
}

typedef int open_fn(const char *path, uint64_t *size, struct err *e);

static int load_state(struct published *p, const char *path, open_fn *open_file,
		      struct err *e)
{
	uint64_t size;
	AUTO_CLOSE int fd = open_file(path, &size, e);

	if (fd < 0)
		return -1;
	if (state_file_load(fd, &p->body, &p->len, &p->minor, e) ||
	    read_id(p, e))
		return err_prefix(e, "%.512s", path);
	return 0;
}

/* Does the memory file have the identity of the state? */
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

/*
 * Open the memory file with a shared lock, which lasts as long as the file is
 * mapped.  So no writer overwrites a file in place that a microVM runs from.
 */
static int open_memory(struct published *p, const char *path,
		       open_fn *open_file, struct err *e)
{
	p->memory_fd = open_file(path, &p->memory_size, e);
	if (p->memory_fd < 0)
		return -1;
	if (flock(p->memory_fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK)
		return err_set(e, "%.512s: a snapshot is being written there",
			       path);
	return 0;
}

/* Find the state that belongs to the memory: S, or S.next at @next. */
static enum found find_state(struct published *p, const char *state,
			     const char *next, const char *memory,
			     open_fn *open_file, struct err *e)
{
	struct err ignored;

	*p = (struct published){.memory_fd = -1};
	if (memory && open_memory(p, memory, open_file, e))
		return FOUND_NONE;
	if (!load_state(p, state, open_file, e)) {
		if (matches(p))
			return FOUND_CURRENT;
		err_set(e,
			"%.400s and %.400s do not belong together: they are "
			"of different snapshots",
			state, memory);
	}
	drop_state(p);
	if (!memory || load_state(p, next, open_file, &ignored) ||
	    !matches(p)) {
		drop_state(p);
		return FOUND_NONE;
	}
	return FOUND_NEXT;
}

static enum found find(struct published *p, const char *state,
		       const char *memory, struct err *e)
{
	struct publish_file file;

	*p = (struct published){.memory_fd = -1};
	if (target_find(&file, state, e))
		return FOUND_NONE;
	return find_state(p, state, target_next(file.path).path, memory,
			  io_open_file, e);
}

static int finish_open(struct published *p, enum found found, const char *state,
		       const char *memory)
{
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

int publish_open(struct published *p, const char *state, const char *memory,
		 struct err *e)
{
	return finish_open(p, find(p, state, memory, e), state, memory);
}

int publish_open_strict(struct published *p, const char *state,
			const char *memory, struct err *e)
{
	struct target_next next = target_next(state);

	return finish_open(
		p,
		find_state(p, state, next.path, memory, io_open_file_itself, e),
		state, memory);
}

void publish_close(struct published *p)
{
	drop_state(p);
	util_close(&p->memory_fd);
}

/* ------------------------------------------------------------------ writing */

/* Make renames in the folder of @f survive a power loss. */
static int sync_folder(const struct publish_file *f, struct err *e)
{
	char folder[PATH_MAX];
	AUTO_CLOSE int fd = -1;

	if (f->how != PUBLISH_REPLACE)
		return 0;
	io_folder_of(folder, sizeof(folder), f->path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, "cannot open %.512s", folder);
	return fsync(fd) ? err_errno(e, "cannot sync %.512s", folder) : 0;
}

static int check_name(const char *path, struct err *e)
{
	size_t len = strlen(path), end = sizeof(suffix) - 1;
	struct stat st;

	/* Leave room for the suffix and a NUL. */
	if (!len || len >= PATH_MAX - sizeof(suffix))
		return err_set(e, "a file's name must have 1 to %zu bytes",
			       PATH_MAX - sizeof(suffix) - 1);
	if (len >= end && !strcmp(path + len - end, suffix))
		return err_set(e,
			       "%.512s: names with %s at the end are for "
			       "snapshots that are not complete",
			       path, suffix);
	/* Otherwise the second rename could fail after the first. */
	if (!stat(path, &st) && !S_ISREG(st.st_mode))
		return err_set(e, "%.512s is there, and is no file", path);
	return 0;
}

/* Find the file of @path; an empty f->path if @path is NULL. */
static int find_file(struct publish_file *f, const char *path, struct err *e)
{
	*f = (struct publish_file){.mode = 0600};
	if (!path)
		return 0;
	if (check_name(path, e) || target_find(f, path, e) ||
	    check_name(f->path, e))
		return -1;
	f->mode = 0600;
	return 0;
}

/*
 * A writer may have died between the renames.  Then S.next, open as @leftover,
 * is the only state that belongs to the memory: do the second rename.
 */
static int complete(const struct publish *p, int leftover, struct err *e)
{
	const char *state = p->state.path;
	struct target_next next = target_next(state);
	struct published found;
	struct err ignored;
	enum found where = find(&found, state, p->memory.path, &ignored);
	struct stat st;

	publish_close(&found);
	if (where != FOUND_NEXT)
		return 0;
	if (rename(next.path, state))
		return err_errno(e, "cannot rename %.512s", next.path);
	if (!fstat(leftover, &st))
		(void)fchmod(leftover, st.st_mode & 0777);
	return sync_folder(&p->state, e);
}

/* Fail if another process overwrites the memory, or merges a diff into it. */
static int check_idle(const char *memory, struct err *e)
{
	AUTO_CLOSE int fd = -1;

	if (memory[0])
		fd = open(memory, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK)
		return err_set(
			e, "%.512s: another snapshot is being written there",
			memory);
	return 0;
}

static int clear_state(const struct publish *p, struct err *e)
{
	const char *path = p->state.path;
	AUTO_CLOSE int fd = -1;

	if (!path[0] || target_lock_leftover(path, &fd, e))
		return path[0] ? -1 : 0;
	if (fd >= 0 && p->memory.path[0] && complete(p, fd, e))
		return -1;
	if (fd < 0 || access(target_next(path).path, F_OK))
		return 0;
	return target_remove_leftover(path, fd, e);
}

static int clear_memory(const struct publish *p, struct err *e)
{
	const char *path = p->memory.path;
	AUTO_CLOSE int fd = -1;

	if (!path[0] || target_lock_leftover(path, &fd, e))
		return path[0] ? -1 : 0;
	return fd < 0 ? 0 : target_remove_leftover(path, fd, e);
}

static int open_files(struct publish *p, struct err *e)
{
	if (p->state.path[0]) {
		p->state_fd = target_open(&p->state, e);
		if (p->state_fd < 0)
			return -1;
	}
	if (p->memory.path[0]) {
		p->memory_fd = target_open(&p->memory, e);
		if (p->memory_fd < 0)
			return -1;
	}
	return 0;
}

static bool same_file(const struct publish_file *a,
		      const struct publish_file *b)
{
	struct stat x, y;

	if (!a->path[0] || !b->path[0])
		return false;
	return !strcmp(a->path, b->path) ||
	       (!stat(a->path, &x) && !stat(b->path, &y) &&
		x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

/* Call @act with the name of each .next file that is open. */
static void each_next(const struct publish *p, void (*act)(const char *path))
{
	if (p->state_fd >= 0 && p->state.how == PUBLISH_REPLACE)
		act(target_next(p->state.path).path);
	if (p->memory_fd >= 0 && p->memory.how == PUBLISH_REPLACE)
		act(target_next(p->memory.path).path);
}

int publish_begin(struct publish *p, const char *state, const char *memory,
		  struct err *e)
{
	p->state_fd = p->memory_fd = -1;
	p->may_publish = NULL;
	if (find_file(&p->state, state, e) || find_file(&p->memory, memory, e))
		return -1;
	if (same_file(&p->state, &p->memory))
		return err_set(e, "%.512s cannot be state and memory", state);
	if (check_idle(p->memory.path, e) || clear_state(p, e) ||
	    clear_memory(p, e))
		return -1;
	if (!open_files(p, e)) {
		publish_set_mode(p, 0600);
		each_next(p, leftover_add);
		return 0;
	}
	publish_abandon(p);
	return -1;
}

void publish_set_mode(struct publish *p, unsigned mode)
{
	if (p->state_fd >= 0)
		target_set_mode(&p->state, p->state_fd,
				p->state.is_new ? mode : p->state.mode);
	if (p->memory_fd >= 0)
		target_set_mode(&p->memory, p->memory_fd,
				p->memory.is_new ? mode : p->memory.mode);
}

static bool fills_memory(const struct publish *p)
{
	return p->memory_fd >= 0 && p->memory.how == PUBLISH_FILL;
}

int publish_invalidate(struct publish *p, uint64_t offset, bool sync,
		       struct err *e)
{
	static const uint8_t none[sizeof(((struct snapshot_id *)0)->bytes)];

	if (fills_memory(p) &&
	    (io_pwrite(p->memory_fd, none, sizeof(none), offset) ||
	     (sync && fsync(p->memory_fd))))
		return err_errno(e, "cannot overwrite %.512s", p->memory.path);
	return 0;
}

int publish_memory_written(struct publish *p, bool sync, struct err *e)
{
	if (fills_memory(p) && sync && fsync(p->memory_fd))
		return err_errno(e, "cannot sync %.512s", p->memory.path);
	/* The new state may be shorter than the old one. */
	if (p->state_fd >= 0 && p->state.how == PUBLISH_FILL &&
	    ftruncate(p->state_fd, 0))
		return err_errno(e, "cannot overwrite %.512s", p->state.path);
	return 0;
}

static void remove_next(const char *path)
{
	unlink(path);
	leftover_forget(path);
}

void publish_remove(const struct publish *p)
{
	each_next(p, remove_next);
}

static void close_file(int *fd, const struct publish_file *f)
{
	/* Unlock: other processes may share the descriptor and its lock. */
	if (*fd >= 0 && f->how == PUBLISH_FILL)
		(void)flock(*fd, LOCK_UN);
	util_close(fd);
}

static void end(struct publish *p, bool remove)
{
	/* Remove them before closing unlocks them. */
	if (remove)
		publish_remove(p);
	close_file(&p->state_fd, &p->state);
	close_file(&p->memory_fd, &p->memory);
}

void publish_abandon(struct publish *p)
{
	end(p, true);
}

static int sync_file(int fd, const struct publish_file *f, struct err *e)
{
	if (fd < 0 || !fsync(fd))
		return 0;
	return err_errno(e, "cannot sync %.512s%s", f->path,
			 f->how == PUBLISH_REPLACE ? suffix : "");
}

/* Sync everything that must be on the disk before the first rename. */
static int sync_files(const struct publish *p, struct err *e)
{
	if (sync_file(p->memory_fd, &p->memory, e) ||
	    sync_file(p->state_fd, &p->state, e))
		return -1;
	return p->state_fd >= 0 ? sync_folder(&p->state, e) : 0;
}

/*
 * The memory is renamed, so the state must not be lost now.  Sync the memory's
 * new name before the state is renamed: the new state with the old memory would
 * not be a snapshot.
 */
static int publish_state(const struct publish *p, bool sync, struct err *e)
{
	if (p->memory_fd >= 0 && sync && sync_folder(&p->memory, e))
		return -1;
	if (p->state_fd < 0)
		return 0;
	return target_publish(&p->state, p->state_fd, e);
}

int publish_commit(struct publish *p, bool sync, struct err *e)
{
	bool memory = p->memory_fd >= 0;
	int r;

	/*
	 * A shared lock, because a load may open the memory as soon as it is
	 * renamed, while other writers must still be kept off.
	 */
	if (memory)
		(void)flock(p->memory_fd, LOCK_SH | LOCK_NB);
	r = sync ? sync_files(p, e) : 0;
	/* Between the renames the state's must stay. */
	each_next(p, leftover_forget);
	/* Ask also after a failure: afterwards no other thread removes the
	 * files. */
	if (!may_go_on(p->may_publish) && !r)
		r = err_set(e, "it was cancelled");
	if (!r && memory)
		r = target_publish(&p->memory, p->memory_fd, e);
	if (r) {
		end(p, true);
		return -1;
	}
	r = publish_state(p, sync, e);
	if (r && memory)
		err_prefix(e,
			   "the new memory is in place, its state is still "
			   "%.400s%s, and can be loaded so",
			   p->state.path, suffix);
	if (!r && sync && p->state_fd >= 0 && sync_folder(&p->state, e))
		r = err_prefix(e, "the new snapshot is in place, but may not "
				  "outlive a loss of power");
	end(p, r && !memory);
	return r;
}
