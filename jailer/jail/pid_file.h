/* SPDX-License-Identifier: Apache-2.0 */
/* NAME.pid in the jail's root, which launchers poll. */
#pragma once

#include <sys/types.h>

struct err;
struct tree;

/* Write it, all at once: who finds it finds a number in it. */
int pid_file_write(const struct tree *root, const char *name, pid_t pid,
		   struct err *e);
