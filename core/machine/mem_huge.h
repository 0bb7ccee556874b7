/* SPDX-License-Identifier: Apache-2.0 */
/* What guest RAM in huge pages needs to know of the host.  For mem.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct err;
struct guest_mem;

/* Set *e to why @size bytes of RAM for @mem cannot be had, from errno, and what
 * would help.  Returns -1. */
int mem_huge_refuse(const struct guest_mem *mem, uint64_t size, struct err *e);

/* May this host give @mem huge pages?  Yes if that is not known, as in a
 * jail. */
bool mem_huge_may_be(const struct guest_mem *mem);

/*
 * Does this host keep a huge page reserved that is discarded?  Without that,
 * the guest could not have it again when the pool is empty, and would end.
 * Linux does since 6.9 (mm/hugetlb.c, __unmap_hugepage_range()).
 */
bool mem_huge_keeps(void);
