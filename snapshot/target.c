/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/target.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"

/*
 * The sticky bit marks an incomplete file from its creation on.  Linux ignores
 * it on regular files, so users do not set it.
 */
enum { UNFINISHED = S_ISVTX, LINKS_MAX = 40, XATTR_MAX = 4096 };

struct target_next target_next(const char *path)
{
	struct target_next n;

	snprintf(n.path, sizeof(n.path), "%s" TARGET_SUFFIX, path);
	return n;
}

/* ------------------------------------------------------------------ finding */

/* A procfs link leads to an open file, which may be a pipe or deleted. */
static bool is_of_procfs(const char *path)
{
	AUTO_CLOSE int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct statfs fs;

	return fd >= 0 && !fstatfs(fd, &fs) && fs.f_type == PROC_SUPER_MAGIC;
}

/* Follow one link in @path, of PATH_MAX bytes; false if it is not a link. */
static bool follow(char *path, bool *too_long)
{
	char link[PATH_MAX], joined[2 * PATH_MAX];
	ssize_t n = readlink(path, link, sizeof(link) - 1);
	const char *slash = strrchr(path, '/');
	int folder = slash ? (int)(slash - path) + 1 : 0;
	size_t len;

	if (n < 0)
		return false;
	link[n] = '\0';
	if (link[0] == '/')
		folder = 0;
	len = (size_t)snprintf(joined, sizeof(joined), "%.*s%s", folder, path,
			       link);
	*too_long = len >= PATH_MAX;
	if (!*too_long)
		memcpy(path, joined, len + 1);
	return true;
}

int target_find(struct publish_file *f, const char *path, struct err *e)
{
	bool too_long = false;

	*f = (struct publish_file){0};
	snprintf(f->path, sizeof(f->path), "%s", path);
	for (unsigned i = 0; i < LINKS_MAX && !too_long; i++) {
		f->is_descriptor =
			io_descriptor_of(f->path) >= 0 || is_of_procfs(f->path);
		if (f->is_descriptor || !follow(f->path, &too_long))
			return 0;
	}
	errno = too_long ? ENAMETOOLONG : ELOOP;
	return err_errno(e, "cannot follow the link %.512s", path);
}

/* ---------------------------------------------------------------- leftovers */

/*
 * Lock the file exclusively.  False while another writer or a microVM that runs
 * from the file holds a lock.  True if the file system has no locks.
 */
static bool lock(int fd)
{
	return !flock(fd, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK;
}

static int busy(const char *path, struct err *e)
{
	return err_set(e, "%.512s: another snapshot is being written there",
		       path);
}

int target_lock_leftover(const char *path, int *fd, struct err *e)
{
	struct target_next next = target_next(path);

	*fd = open(next.path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (*fd < 0)
		return errno == ENOENT
			       ? 0
			       : err_errno(e, "cannot open %.512s", next.path);
	if (lock(*fd))
		return 0;
	util_close(fd);
	return busy(next.path, e);
}

int target_remove_leftover(const char *path, int fd, struct err *e)
{
	struct target_next next = target_next(path);
	struct stat st;

	if (fstat(fd, &st))
		return err_errno(e, "cannot look at %.512s", next.path);
	if (!S_ISREG(st.st_mode) || !(st.st_mode & UNFINISHED))
		return err_set(e,
			       "%.512s is in the way: its name is for what is "
			       "not complete, and no snapshot left it there; "
			       "move it away, or give another name",
			       next.path);
	if (unlink(next.path) && errno != ENOENT)
		return err_errno(e,
				 "cannot remove %.512s, which a snapshot left "
				 "there that was not completed",
				 next.path);
	return 0;
}

/* ------------------------------------------------------------------ opening */

/*
 * Would rename() over the file succeed?  Find out now, because when rename()
 * fails it is too late to fill the file in place.
 */
static bool may_be_replaced(const struct publish_file *f, const struct stat *st)
{
	char folder[PATH_MAX];
	struct statx x;
	struct stat dir;

	if (f->is_descriptor)
		return false;
	/* Another file is mounted over this name: rename() gives EBUSY. */
	if (!statx(AT_FDCWD, f->path, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &x) &&
	    x.stx_attributes & STATX_ATTR_MOUNT_ROOT)
		return false;
	io_folder_of(folder, sizeof(folder), f->path);
	return stat(folder, &dir) || !(dir.st_mode & S_ISVTX) || !geteuid() ||
	       geteuid() == st->st_uid || geteuid() == dir.st_uid;
}

/* Copy extended attributes.  Only failing to copy access lists matters. */
static bool keep_attributes(const char *path, int fd)
{
	char names[XATTR_MAX], value[XATTR_MAX];
	ssize_t len = listxattr(path, names, sizeof(names));

	for (ssize_t at = 0; at < len; at += (ssize_t)strlen(names + at) + 1) {
		const char *name = names + at;
		ssize_t n = getxattr(path, name, value, sizeof(value));

		if ((n < 0 || fsetxattr(fd, name, value, (size_t)n, 0)) &&
		    !strcmp(name, "system.posix_acl_access"))
			return false;
	}
	return true;
}

static bool keep(const struct publish_file *f, int fd, const struct stat *old)
{
	struct stat st;

	if (fstat(fd, &st))
		return false;
	/* Before fchown(), after which it may not be permitted. */
	(void)fchmod(fd, UNFINISHED | f->mode);
	if ((st.st_uid != old->st_uid || st.st_gid != old->st_gid) &&
	    fchown(fd, old->st_uid, old->st_gid))
		return false;
	return keep_attributes(f->path, fd);
}

/* Create and lock the .next file.  Returns a descriptor, or -errno. */
static int create(const struct publish_file *f, struct err *e)
{
	struct target_next next = target_next(f->path);
	AUTO_CLOSE int fd =
		open(next.path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
		     UNFINISHED | 0600);
	int error = errno;

	if (fd < 0 && error != EEXIST) {
		err_errno(e, "cannot create %.512s", next.path);
		return -error;
	}
	if (fd < 0 || !lock(fd)) {
		busy(next.path, e);
		return -EBUSY;
	}
	return take_fd(&fd);
}

static int fill(struct publish_file *f, int fd, const char *why, struct err *e)
{
	f->how = PUBLISH_FILL;
	if (!lock(fd)) {
		util_close(&fd);
		return err_set(e,
			       "%.512s cannot be replaced, because %s, nor "
			       "overwritten, because a microVM runs from it or "
			       "another snapshot is being written there; give "
			       "another name",
			       f->path, why);
	}
	log_warn("%s cannot be replaced, because %s, and is overwritten: until "
		 "that is done there is neither the old snapshot nor the new "
		 "one",
		 f->path, why);
	return fd;
}

/*
 * Open the file itself.  If the VMM may not open it, an inherited descriptor
 * may still permit writing.
 */
static int open_in_place(const struct publish_file *f)
{
	int fd = open(f->path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	int inherited = io_descriptor_of(f->path);

	if (fd >= 0 || inherited < 0 ||
	    (fcntl(inherited, F_GETFL) & O_ACCMODE) == O_RDONLY)
		return fd;
	return fcntl(inherited, F_DUPFD_CLOEXEC, 0);
}

/* Replace the existing file, or overwrite it if that is impossible. */
static int open_old(struct publish_file *f, const struct stat *old,
		    struct err *e)
{
	int beside = may_be_replaced(f, old) ? create(f, e) : -EPERM;
	int fd;

	if (beside < 0 && beside != -EPERM && beside != -EACCES &&
	    beside != -EROFS)
		return -1;
	if (beside >= 0 && keep(f, beside, old))
		return beside;
	fd = open_in_place(f);
	if (fd < 0 && beside < 0)
		return err_errno(e,
				 "cannot replace %.512s, nor open it for "
				 "writing",
				 f->path);
	/* The VMM may not write to the file, so no launcher prepared it for the
	 * VMM: its attributes need not be kept. */
	if (fd < 0)
		return beside;
	if (beside < 0)
		return fill(f, fd, "its folder or a mount forbids it", e);
	unlink(target_next(f->path).path);
	util_close(&beside);
	return fill(f, fd, "its owner would change", e);
}

static int stat_descriptor(const char *path, struct stat *st)
{
	int fd = io_descriptor_of(path);

	return fd >= 0 ? fstat(fd, st) : stat(path, st);
}

int target_open(struct publish_file *f, struct err *e)
{
	struct stat old;
	int fd;

	f->is_new = f->is_descriptor ? stat_descriptor(f->path, &old)
				     : stat(f->path, &old);
	if (!f->is_new)
		f->mode = old.st_mode & 0777;
	fd = f->is_new ? create(f, e) : open_old(f, &old, e);
	return fd < 0 ? -1 : fd;
}

void target_set_mode(struct publish_file *f, int fd, unsigned mode)
{
	f->mode = mode;
	if (f->how == PUBLISH_REPLACE)
		(void)fchmod(fd, UNFINISHED | mode);
}

/* --------------------------------------------------------------- publishing */

int target_publish(const struct publish_file *f, int fd, struct err *e)
{
	struct target_next next = target_next(f->path);

	if (f->how != PUBLISH_REPLACE)
		return 0;
	if (rename(next.path, f->path))
		return err_errno(e, "cannot rename %.512s", next.path);
	/* The file is complete: clear the sticky bit.  A crash before this does
	 * no harm. */
	(void)fchmod(fd, f->mode);
	return 0;
}
