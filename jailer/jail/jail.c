/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/jail/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "jailer/jail/alive.h"
#include "jailer/jail/devices.h"

void jail_init(struct jail *jail)
{
	*jail = (struct jail){.base.fd = -1, .root.fd = -1, .id_fd = -1};
}

void jail_fini(struct jail *jail)
{
	undo_free(&jail->undo);
	util_close(&jail->root.fd);
	util_close(&jail->id_fd);
	util_close(&jail->base.fd);
}

/* ------------------------------------------------------------------ folders */

/* Only root, or @owner, may own the folder and write to it. */
static int check_folder(int fd, const char *path, uid_t owner, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st))
		return err_errno(e, "%.512s", path);
	if (st.st_uid != 0 && st.st_uid != owner)
		return err_set(e,
			       "%.512s belongs to user %u; remove it, or chown "
			       "root it",
			       path, st.st_uid);
	if (st.st_mode & 022)
		return err_set(e,
			       "%.512s can be written by others; chmod go-w it",
			       path);
	return 0;
}

static int open_base(struct jail *jail, const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return err_set(e,
			       "--chroot-base-dir %.512s does not exist; mkdir "
			       "it, as root",
			       path);
	if (fd < 0)
		return err_errno(e, "--chroot-base-dir %.512s", path);
	jail->base = (struct tree){fd, path, &jail->undo};
	return check_folder(fd, path, 0, e);
}

/* Make or take the folder at @path below the base. */
static int open_folder(struct jail *jail, const char *path, uid_t owner,
		       bool *made, struct err *e)
{
	enum { MODE = 0755 };
	AUTO_CLOSE int fd = tree_mkdir(&jail->base, path, MODE, made, e);
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "%.1024s/%.512s", jail->base.name, path);
	if (fd < 0 || check_folder(fd, full, owner, e))
		return -1;
	return take_fd(&fd);
}

static int lock(const struct jail *jail, struct err *e)
{
	if (!flock(jail->id_fd, LOCK_EX | LOCK_NB))
		return 0;
	if (errno == EWOULDBLOCK)
		return err_set(
			e,
			"another jailer is starting a VMM in %.512s; use "
			"another --id",
			jail->path);
	return err_errno(e, "cannot lock %.512s", jail->path);
}

/* The file system must allow device nodes and programs. */
static int check_mount(const struct jail *jail, struct err *e)
{
	struct statvfs st;

	if (fstatvfs(jail->root.fd, &st))
		return err_errno(e, "%.512s", jail->path);
	if (st.f_flag & (ST_NODEV | ST_NOEXEC))
		return err_set(
			e,
			"%.512s is mounted with %s; mount it without, or "
			"use another --chroot-base-dir",
			jail->path, st.f_flag & ST_NODEV ? "nodev" : "noexec");
	return 0;
}

/* -------------------------------------------- a jail that was there before */

static int check_unused(const struct jail *jail, struct err *e)
{
	struct stat root, exec;
	bool has_exec = tree_look(&jail->root, jail->exec_name, &exec);
	pid_t pid = alive_read_pid(&jail->root, jail->pid_name);

	if (fstat(jail->root.fd, &root))
		return err_errno(e, "%.512s", jail->path);
	pid = alive_find("/proc", pid, has_exec ? &exec : NULL, &root, e);
	if (pid > 0)
		return err_set(e,
			       "process %d runs in %.512s; stop it, or use "
			       "another --id",
			       (int)pid, jail->path);
	return pid;
}

/* Remove what an earlier start made, because its VMM may have changed it. */
static int take_over(struct jail *jail, struct err *e)
{
	const struct tree *root = &jail->root;
	struct stat st;

	if (check_unused(jail, e))
		return -1;
	/* From here on processes of its user cannot open anything in it. */
	if (tree_own(root, ".", 0, 0, 0700, e))
		return -1;
	/* Its VMM may have removed some of these. */
	jail->left_behind = tree_look(root, jail->pid_name, &st) ||
			    tree_look(root, jail->exec_name, &st) ||
			    tree_look(root, "dev/kvm", &st);
	if (!jail->left_behind)
		return 0;
	if (tree_remove(root, jail->pid_name, e) ||
	    tree_remove(root, jail->exec_name, e) ||
	    tree_remove(root, "sys", e))
		return -1;
	return devices_remove(root, e);
}

int jail_open(struct jail *jail, const char *base, const char *id, uid_t uid,
	      struct err *e)
{
	char path[2 * NAME_MAX];
	AUTO_CLOSE int exec_fd = -1;
	bool made;

	if (open_base(jail, base, e))
		return -1;
	snprintf(jail->path, sizeof(jail->path), "%.1024s/%s/%s/root", base,
		 jail->exec_name, id);
	exec_fd = open_folder(jail, jail->exec_name, 0, &made, e);
	if (exec_fd < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/%s", jail->exec_name, id);
	jail->id_fd = open_folder(jail, path, 0, &made, e);
	if (jail->id_fd < 0 || lock(jail, e))
		return -1;
	snprintf(path, sizeof(path), "%s/%s/root", jail->exec_name, id);
	jail->root = (struct tree){-1, jail->path, &jail->undo};
	jail->root.fd = open_folder(jail, path, uid, &made, e);
	if (jail->root.fd < 0 || check_mount(jail, e))
		return -1;
	return made ? 0 : take_over(jail, e);
}

/* ----------------------------------------------------------------- going in */

int jail_leave_mounts(struct err *e)
{
	if (unshare(CLONE_NEWNS))
		return err_errno(e, "cannot make a mount namespace");
	if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL))
		return err_errno(e, "cannot leave the host's mounts");
	return 0;
}

static int no_pivot(const struct jail *jail, struct err *e)
{
	if (errno == EINVAL)
		return err_set(e,
			       "cannot make %.512s the root: the jailer's own "
			       "root is the host's initramfs; start it in a "
			       "chroot to a mount, such as one made by mount "
			       "--rbind / DIR",
			       jail->path);
	return err_errno(e, "cannot make %.512s the root", jail->path);
}

int jail_enter(const struct jail *jail, struct err *e)
{
	AUTO_CLOSE int tree = open_tree(jail->root.fd, "",
					OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
						AT_RECURSIVE | AT_EMPTY_PATH);

	if (tree < 0)
		return err_errno(e, "cannot bind %.512s", jail->path);
	if (move_mount(tree, "", jail->root.fd, "",
		       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))
		return err_errno(e, "cannot mount %.512s on itself",
				 jail->path);
	/* The old root is mounted on the new one for a moment, then detached.
	 */
	if (fchdir(tree))
		return err_errno(e, "cannot go to %.512s", jail->path);
	if (syscall(SYS_pivot_root, ".", "."))
		return no_pivot(jail, e);
	if (umount2(".", MNT_DETACH) || chdir("/"))
		return err_errno(e, "cannot make %.512s the root", jail->path);
	return 0;
}
