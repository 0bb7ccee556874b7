/* SPDX-License-Identifier: Apache-2.0 */
/* The program that the jail is for. */
#pragma once

#include <limits.h>

struct err;
struct tree;

/* Its name must leave room for ".pid". */
enum { EXEC_NAME_MAX = NAME_MAX - 4 };

/*
 * Open the program at @path, and store its name after resolving symbolic links.
 * It must be a regular file with one link, because a second link may lie in a
 * folder that other users can change.  Returns the descriptor or -1.
 */
int exec_file_open(const char *path, char name[EXEC_NAME_MAX + 1],
		   struct err *e);

/* Copy it from the descriptor into the jail. */
int exec_file_copy(int fd, const struct tree *root, const char *name,
		   struct err *e);
