/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel knows about pages of guest RAM, without reading them.
 * Linux, Documentation/admin-guide/mm/pagemap.rst.
 */
#pragma once

#include <stdint.h>

struct guest_mem;

enum pagemap_wanted {
	PAGEMAP_NOT_ZERO, /* may be other than zero */
	PAGEMAP_CHANGED,  /* may differ from their guest_mem_origin */
	PAGEMAP_TOUCHED,  /* of a mapped file, and were read or written */
};

/* Returns a descriptor, or -1 with errno set, for example without /proc. */
int pagemap_open(void);

/*
 * Set the bits in @set of those of @count pages at @host that are @wanted; all
 * are in one region.  Returns 0, or -1 with errno set.
 */
int pagemap_find(int pagemap, const struct guest_mem *mem, const uint8_t *host,
		 uint64_t count, enum pagemap_wanted wanted, uint64_t *set);

/*
 * How many of @count pages at @host are known to be zero, from the first on,
 * because nobody has touched them: a quick look, which finds none before Linux
 * 6.7.  All are in one region.
 */
uint64_t pagemap_zeroes(int pagemap, const struct guest_mem *mem,
			const uint8_t *host, uint64_t count);
