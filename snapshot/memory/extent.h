/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a sparse file that are data; the rest reads as zero. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct extent {
	uint64_t at, end; /* bytes */
};

/*
 * Find the first data of @fd in the bytes from @from to before @limit, and
 * store it in *x.  Returns 1, 0 if there is none, or -1 with errno set.  On a
 * file system without holes all bytes are data.
 */
int extent_next(int fd, uint64_t from, uint64_t limit, struct extent *x);
