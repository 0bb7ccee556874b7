/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock: rules about what this thread, and those that it will start, may
 * open, connect to and signal. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum landlock_use {
	LANDLOCK_READ,
	LANDLOCK_WRITE,  /* and read, create, rename and remove in a folder */
	LANDLOCK_REMOVE, /* files in a folder */
};

struct landlock {
	int fd;                   /* of the rules; -1: none */
	unsigned long long files; /* what is restricted, LANDLOCK_ACCESS_FS_* */
};

/*
 * Begin rules: nothing that this kernel can restrict is allowed.  @files: also
 * restrict files, beside TCP, abstract sockets and signals.  False, with errno,
 * if this kernel has no Landlock, or too old a one.
 */
bool landlock_begin(struct landlock *l, bool files);
/* Allow a use of what is at or below @path, of which @len bytes count.  False
 * with errno if it cannot be opened. */
bool landlock_allow(const struct landlock *l, const char *path, size_t len,
		    enum landlock_use use);
/* Apply the rules, for good, and close them.  False with errno. */
bool landlock_apply(struct landlock *l);
