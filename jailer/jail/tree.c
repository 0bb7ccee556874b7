/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/jail/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"

/* ------------------------------------------------------------------ opening */

static int open_beneath(int fd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
			   RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, fd, path, &how, sizeof(how));
}

/* The failure of something at @path, with the reason in errno. */
static int failed(const struct tree *tree, const char *path, const char *what,
		  struct err *e)
{
	if (errno == ELOOP)
		return err_set(e,
			       "%.512s/%.256s is a symbolic link, or leads "
			       "through one; remove it",
			       tree->name, path);
	if (errno == ENOTDIR)
		return err_set(e, "%.512s/%.256s is not a folder; remove it",
			       tree->name, path);
	return err_errno(e, "cannot %s %.512s/%.256s", what, tree->name, path);
}

int tree_open(const struct tree *tree, const char *path, int flags,
	      struct err *e)
{
	int fd = open_beneath(tree->fd, path, flags, 0);

	return fd < 0 ? failed(tree, path, "open", e) : fd;
}

/* Open the folder that @path is in, and store the name that it has there. */
static int open_parent(const struct tree *tree, const char *path,
		       const char **name)
{
	const char *slash = strrchr(path, '/');
	char parent[512];

	*name = slash ? slash + 1 : path;
	if (!slash)
		return open_beneath(tree->fd, ".", O_PATH | O_DIRECTORY, 0);
	if ((size_t)(slash - path) >= sizeof(parent)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(parent, path, (size_t)(slash - path));
	parent[slash - path] = '\0';
	return open_beneath(tree->fd, parent, O_PATH | O_DIRECTORY, 0);
}

bool tree_look(const struct tree *tree, const char *path, struct stat *st)
{
	const char *name;
	AUTO_CLOSE int parent = open_parent(tree, path, &name);

	return parent >= 0 && !fstatat(parent, name, st, AT_SYMLINK_NOFOLLOW);
}

/* --------------------------------------------------------------------- undo */

enum undo_kind { UNDO_FILE, UNDO_FOLDER, UNDO_OWNER };

struct undo_step {
	enum undo_kind kind;
	int fd; /* the tree's */
	char *path;
	uid_t uid; /* UNDO_OWNER: as it was */
	gid_t gid;
	mode_t mode;
};

/*
 * Remember what is about to be done to @path.  Undoing what was not done after
 * all does nothing.
 */
static int note(const struct tree *tree, const char *path,
		const struct undo_step *step, struct err *e)
{
	struct undo *undo = tree->undo;
	char *copy = strdup(path);

	if (copy && undo->count == undo->capacity) {
		unsigned capacity = undo->capacity ? 2 * undo->capacity : 64;
		struct undo_step *more =
			realloc(undo->step, capacity * sizeof(*more));

		if (more) {
			undo->step = more;
			undo->capacity = capacity;
		}
	}
	if (!copy || undo->count == undo->capacity) {
		free(copy);
		return err_set(e, "out of memory");
	}
	undo->step[undo->count] = *step;
	undo->step[undo->count].fd = tree->fd;
	undo->step[undo->count++].path = copy;
	return 0;
}

int tree_note_file(const struct tree *tree, const char *path, struct err *e)
{
	return note(tree, path, &(struct undo_step){.kind = UNDO_FILE}, e);
}

static int note_folder(const struct tree *tree, const char *path, struct err *e)
{
	return note(tree, path, &(struct undo_step){.kind = UNDO_FOLDER}, e);
}

static void forget_last(const struct tree *tree)
{
	free(tree->undo->step[--tree->undo->count].path);
}

/* A cgroup is busy until its last process is gone entirely. */
static void remove_folder(int parent, const char *name)
{
	enum { TRIES = 1000 };
	const struct timespec ms = {.tv_nsec = 1000000};

	for (int i = 0; i < TRIES; i++) {
		if (!unlinkat(parent, name, AT_REMOVEDIR) || errno != EBUSY)
			return;
		nanosleep(&ms, NULL);
	}
}

static void restore_owner(const struct undo_step *step)
{
	AUTO_CLOSE int fd =
		open_beneath(step->fd, step->path, O_RDONLY | O_DIRECTORY, 0);

	/* The mode last: chown() clears bits of it. */
	if (fd >= 0 && !fchown(fd, step->uid, step->gid))
		fchmod(fd, step->mode);
}

static void undo_one(const struct undo_step *step)
{
	const struct tree tree = {.fd = step->fd};
	const char *name;
	AUTO_CLOSE int parent = open_parent(&tree, step->path, &name);

	if (step->kind == UNDO_OWNER)
		restore_owner(step);
	else if (parent >= 0 && step->kind == UNDO_FOLDER)
		remove_folder(parent, name);
	else if (parent >= 0)
		unlinkat(parent, name, 0);
}

void undo_all(struct undo *undo)
{
	for (unsigned i = undo->count; i > 0; i--)
		undo_one(&undo->step[i - 1]);
	undo_free(undo);
}

void undo_free(struct undo *undo)
{
	for (unsigned i = 0; i < undo->count; i++)
		free(undo->step[i].path);
	free(undo->step);
	*undo = (struct undo){0};
}

/* ------------------------------------------------------------------- making */

int tree_mkdir(const struct tree *tree, const char *path, mode_t mode,
	       bool *made, struct err *e)
{
	const char *name;
	AUTO_CLOSE int parent = open_parent(tree, path, &name);
	int fd;

	*made = false;
	if (parent < 0)
		return failed(tree, path, "make", e);
	if (note_folder(tree, path, e))
		return -1;
	*made = !mkdirat(parent, name, mode);
	if (!*made)
		forget_last(tree);
	if (!*made && errno != EEXIST)
		return failed(tree, path, "make", e);
	fd = open_beneath(parent, name, O_RDONLY | O_DIRECTORY, 0);
	return fd < 0 ? failed(tree, path, "open", e) : fd;
}

int tree_create(const struct tree *tree, const char *path, mode_t mode,
		struct err *e)
{
	int fd;

	if (tree_note_file(tree, path, e))
		return -1;
	fd = open_beneath(tree->fd, path, O_WRONLY | O_CREAT | O_EXCL, mode);
	if (fd >= 0)
		return fd;
	forget_last(tree);
	return failed(tree, path, "make", e);
}

int tree_write(const struct tree *tree, const char *path, mode_t mode,
	       const char *text, struct err *e)
{
	AUTO_CLOSE int fd = tree_create(tree, path, mode, e);
	ssize_t len = (ssize_t)strlen(text), n;

	if (fd < 0)
		return -1;
	n = write(fd, text, (size_t)len);
	if (n == len)
		return 0;
	if (n >= 0)
		errno = ENOSPC;
	return failed(tree, path, "write", e);
}

/* Chown the new device only, even if another process has replaced its name. */
static int own_device(int parent, const char *name, dev_t device, uid_t uid,
		      gid_t gid)
{
	AUTO_CLOSE int fd = open_beneath(parent, name, O_PATH | O_NOFOLLOW, 0);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -1;
	if (!S_ISCHR(st.st_mode) || st.st_rdev != device || st.st_nlink != 1) {
		errno = EBUSY;
		return -1;
	}
	return fchownat(fd, "", uid, gid, AT_EMPTY_PATH);
}

int tree_mknod(const struct tree *tree, const char *path, dev_t device,
	       uid_t uid, gid_t gid, struct err *e)
{
	const char *name;
	AUTO_CLOSE int parent = open_parent(tree, path, &name);

	if (parent < 0)
		return failed(tree, path, "make", e);
	if (tree_note_file(tree, path, e))
		return -1;
	if (mknodat(parent, name, S_IFCHR | 0600, device)) {
		forget_last(tree);
		return failed(tree, path, "make", e);
	}
	if (own_device(parent, name, device, uid, gid))
		return failed(tree, path, "change the owner of", e);
	return 0;
}

int tree_own(const struct tree *tree, const char *path, uid_t uid, gid_t gid,
	     mode_t mode, struct err *e)
{
	AUTO_CLOSE int fd = tree_open(tree, path, O_RDONLY | O_DIRECTORY, e);
	struct undo_step before = {.kind = UNDO_OWNER};
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st))
		return failed(tree, path, "look at", e);
	before.uid = st.st_uid;
	before.gid = st.st_gid;
	before.mode = st.st_mode & 07777;
	if (note(tree, path, &before, e))
		return -1;
	if (fchown(fd, uid, gid) || fchmod(fd, mode))
		return failed(tree, path, "change the owner of", e);
	return 0;
}

/* ----------------------------------------------------------------- removing */

enum { DEPTH_MAX = 16 };

/* NOLINTBEGIN(misc-no-recursion): DEPTH_MAX deep */
static int remove_below(int parent, const char *name, int depth);

/* Empty the folder @dir, which fdopendir() takes. */
static int empty(int dir, int depth)
{
	DIR *list = fdopendir(dir);
	const struct dirent *entry;
	int error = list ? 0 : errno;

	while (!error && (entry = readdir(list))) {
		if (strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0 &&
		    remove_below(dir, entry->d_name, depth))
			error = errno;
	}
	if (list)
		closedir(list);
	else
		close(dir);
	errno = error;
	return error ? -1 : 0;
}

static int remove_below(int parent, const char *name, int depth)
{
	int dir;

	if (!unlinkat(parent, name, 0) || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return -1;
	if (depth == DEPTH_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	dir = open_beneath(parent, name, O_RDONLY | O_DIRECTORY, 0);
	if (dir < 0 || empty(dir, depth + 1))
		return -1;
	return unlinkat(parent, name, AT_REMOVEDIR);
}
/* NOLINTEND(misc-no-recursion) */

int tree_remove(const struct tree *tree, const char *path, struct err *e)
{
	const char *name;
	AUTO_CLOSE int parent = open_parent(tree, path, &name);

	if (parent < 0 && errno == ENOENT)
		return 0;
	if (parent < 0 || remove_below(parent, name, 0))
		return failed(tree, path, "remove", e);
	return 0;
}
