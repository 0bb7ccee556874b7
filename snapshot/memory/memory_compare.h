/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Find the pages of guest RAM that changed since RAM was created or a memory
 * file was mapped, by comparing contents.  For processes that cannot use
 * /proc/self/pagemap: there is no /proc, or the file belongs to root because
 * the process must not be debugged.
 *
 * Reads all of RAM and of the file.  A page that was written but has its old
 * content does not count as changed.
 */
#pragma once

#include <stdint.h>

struct guest_mem;

/*
 * Set the bits in @set of the changed ones of @count pages at @host, which are
 * in one region; leave the other bits as they are.  Returns 0, or -1 with errno
 * set.  Any thread, while the guest is paused.
 */
int memory_compare(const struct guest_mem *mem, const uint8_t *host,
		   uint64_t count, uint64_t *set);
