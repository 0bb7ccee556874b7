/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel knows of pages of guest RAM, without a look at them.
 * Documentation/admin-guide/mm/pagemap.rst
 */
#pragma once

#include <stdint.h>

struct guest_mem;

enum pagemap_wanted {
	PAGEMAP_NOT_ZERO, /* may be something else than zero */
	PAGEMAP_CHANGED,  /* may not be what they were: see guest_mem_origin */
	PAGEMAP_TOUCHED,  /* of a file, and somebody read or wrote them */
};

/* A descriptor, or -1 with errno set, as where there is no /proc. */
int pagemap_open(void);

/*
 * Set the bits in @set of those of @count pages at @host, of one region, that
 * are @wanted.  0, or -1 with errno set.
 */
int pagemap_find(int pagemap, const struct guest_mem *mem, const uint8_t *host,
		 uint64_t count, enum pagemap_wanted wanted, uint64_t *set);
