/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a sparse file that are data; the rest are holes, and zero. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct extent {
	uint64_t at, end; /* bytes */
};

/*
 * The first data of @fd from @from on, cut at @limit.  1, 0 if there is none,
 * or -1 with errno set.  A file system that knows no holes has one extent.
 */
int extent_next(int fd, uint64_t from, uint64_t limit, struct extent *x);
