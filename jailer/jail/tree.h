/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making files and folders below a folder that is open, with a list of what was
 * made, so that a start that fails leaves nothing.
 *
 * A path is resolved by openat2() from the folder's descriptor: it never leaves
 * the folder and never follows a symbolic link, whoever else writes there.
 *
 * Modes are exact: the caller has set umask 0.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct err;

/* What was made, in order.  {0} is an empty list. */
struct undo {
	struct undo_step *step;
	unsigned count, capacity;
};

struct tree {
	int fd;           /* of the folder; not owned */
	const char *name; /* its path, for messages; must stay valid */
	struct undo *undo;
};

/* Open what is at @path, or -1. */
int tree_open(const struct tree *tree, const char *path, int flags,
	      struct err *e);

/* Read into *st what is at @path, which may be a symbolic link; or false. */
bool tree_look(const struct tree *tree, const char *path, struct stat *st);

/*
 * Make a folder, or take the one that is there; *made says which.  Its parent
 * exists.  Returns its descriptor or -1.
 */
int tree_mkdir(const struct tree *tree, const char *path, mode_t mode,
	       bool *made, struct err *e);

/* Make a file that is not there yet, and open it for writing.  -1: failed. */
int tree_create(const struct tree *tree, const char *path, mode_t mode,
		struct err *e);

/* Make a file with this text. */
int tree_write(const struct tree *tree, const char *path, mode_t mode,
	       const char *text, struct err *e);

/* Make a character device that only @uid and root may open. */
int tree_mknod(const struct tree *tree, const char *path, dev_t device,
	       uid_t uid, gid_t gid, struct err *e);

/* Give the folder @path another owner and mode. */
int tree_own(const struct tree *tree, const char *path, uid_t uid, gid_t gid,
	     mode_t mode, struct err *e);

/* Remove @path with what is in it, if it is there. */
int tree_remove(const struct tree *tree, const char *path, struct err *e);

/* Another process will make the file @path. */
int tree_note_file(const struct tree *tree, const char *path, struct err *e);

/*
 * Undo all, latest first.  A folder in which others put something stays.  Waits
 * up to a second for a cgroup to lose its last process.
 */
void undo_all(struct undo *undo);

/* Forget all. */
void undo_free(struct undo *undo);
