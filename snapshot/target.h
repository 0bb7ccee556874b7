/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file of a snapshot: finding and opening it so that the attributes that a
 * launcher gave it are kept.  For publish.c.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>

#include "snapshot/publish.h"

struct err;

#define TARGET_SUFFIX ".next"

struct target_next {
	char path[PATH_MAX + sizeof(TARGET_SUFFIX)];
};

/* The name of the incomplete file beside @path. */
struct target_next target_next(const char *path);

/*
 * Resolve symbolic links in the last component of @path; the target need not
 * exist.  Links of procfs (/dev/fd/N) are not resolved, because the file behind
 * them may have no name.
 */
int target_find(struct publish_file *f, const char *path, struct err *e);

/*
 * Open and lock the .next file that an earlier writer left beside @path; *fd is
 * -1 if there is none.  Fails while that writer is alive.
 */
int target_lock_leftover(const char *path, int *fd, struct err *e);

/* Remove the leftover.  Fails unless it is certain that a writer left it. */
int target_remove_leftover(const char *path, int fd, struct err *e);

/*
 * Open and lock the file to be filled: a new .next file that gets the owner,
 * mode and extended attributes of the existing one or, if that is impossible,
 * the existing file itself.  Returns the descriptor, or -1.
 */
int target_open(struct publish_file *f, struct err *e);

/* Set the file's mode, now and when it is published. */
void target_set_mode(struct publish_file *f, int fd, unsigned mode);

/* Rename the complete file from .next; nothing if it was filled in place. */
int target_publish(const struct publish_file *f, int fd, struct err *e);
