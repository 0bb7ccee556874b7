/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages of guest RAM are not what they were when RAM was created or a
 * memory file was mapped, found by comparing: where there is no pagemap to ask
 * (no /proc, or it is root's because we may not be debugged).
 *
 * It reads all of RAM and of the file, and a page that was written and is as
 * it was does not count as changed.
 */
#pragma once

#include <stdint.h>

struct guest_mem;

/*
 * Set the bits in @set of those of @count pages at @host, of one region, that
 * differ.  Others stay.  0, or -1 with errno set.  Any thread, while the guest
 * is paused.
 */
int memory_compare(const struct guest_mem *mem, const uint8_t *host,
		   uint64_t count, uint64_t *set);
