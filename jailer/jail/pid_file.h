/* SPDX-License-Identifier: Apache-2.0 */
/* NAME.pid in the jail's root, which launchers poll. */
#pragma once

#include <sys/types.h>

struct err;
struct tree;

/* Write it atomically: a reader never sees it empty. */
int pid_file_write(const struct tree *root, const char *name, pid_t pid,
		   struct err *e);
