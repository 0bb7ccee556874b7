/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file that a snapshot is written to: found, and opened so that what a
 * launcher prepared stays as it is.  For publish.c.
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

/* The name of what is not complete yet. */
struct target_next target_next(const char *path);

/*
 * Follow symbolic links, also to what does not exist yet, to the file that
 * @path means.  Links of procfs (/dev/fd/N) are left, because what they lead to
 * may have no name.
 */
int target_find(struct publish_file *f, const char *path, struct err *e);

/*
 * What an earlier writer left at the .next of @path, locked in *fd; -1 if there
 * is nothing.  Refused while that writer is alive.
 */
int target_lock_leftover(const char *path, int *fd, struct err *e);

/* Remove it, if it is certain that a writer left it; refuse otherwise. */
int target_remove_leftover(const char *path, int fd, struct err *e);

/*
 * Open the file to be filled, locked: a new one beside it that gets its owner,
 * mode and extended attributes, or, where that cannot be, the file itself.
 * Returns the descriptor, or -1.
 */
int target_open(struct publish_file *f, struct err *e);

/* The mode that it gets when it is published, and has until then, too. */
void target_set_mode(struct publish_file *f, int fd, unsigned mode);

/* The complete file gets its name; nothing if it has that already. */
int target_publish(const struct publish_file *f, int fd, struct err *e);
