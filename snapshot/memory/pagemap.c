/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/memory/pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/io.h"
#include "core/machine/mem.h"
#include "snapshot/memory/extent.h"

enum { ENTRIES = 512 }; /* read at once */

#define ENTRY_PRESENT (1ull << 63)
#define ENTRY_SWAP    (1ull << 62)
#define ENTRY_FILE    (1ull << 61) /* file page or shared anonymous memory */

int pagemap_open(void)
{
	return open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

static bool is_wanted(uint64_t entry, enum guest_mem_origin origin,
		      enum pagemap_wanted wanted)
{
	bool touched = entry & (ENTRY_PRESENT | ENTRY_SWAP);

	if (wanted == PAGEMAP_NOT_ZERO)
		return touched;
	if (wanted == PAGEMAP_TOUCHED)
		return touched && origin == GUEST_MEM_FILE;
	if (origin == GUEST_MEM_DISCARDED)
		return true;
	/* A write replaced the file's page by an anonymous one. */
	return touched && (origin == GUEST_MEM_ZERO || !(entry & ENTRY_FILE) ||
			   entry & ENTRY_SWAP);
}

static void set_bit(uint64_t *set, uint64_t bit)
{
	set[bit / 64] |= 1ull << bit % 64;
}

/*
 * Set the bits of pages that are data in the file: untouched pages of a mapped
 * file are zero where the file has holes.  Without the file, all may be data.
 */
static int find_file_data(const struct guest_mem_run *run, uint64_t page,
			  uint64_t first, uint64_t *set)
{
	uint64_t limit = run->offset + run->len;
	struct extent x = {.end = run->offset};
	int r;

	for (uint64_t i = 0; run->fd < 0 && i < run->len / page; i++)
		set_bit(set, first + i);
	if (run->fd < 0)
		return 0;
	while ((r = extent_next(run->fd, x.end, limit, &x)) > 0) {
		uint64_t i = (x.at - run->offset) / page;

		for (; run->offset + i * page < x.end; i++)
			set_bit(set, first + i);
	}
	return r;
}

static int find_in_run(int pagemap, const uint8_t *host,
		       const struct guest_mem_run *run,
		       enum pagemap_wanted wanted, uint64_t first,
		       uint64_t *set)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t count = run->len / page, entry[ENTRIES];

	for (uint64_t i = 0; i < count;) {
		uint64_t at = ((uintptr_t)host / page + i) * sizeof(entry[0]);
		uint64_t n = min_u64(count - i, ENTRIES);
		size_t len = n * sizeof(entry[0]);
		ssize_t got = io_pread(pagemap, entry, len, at);

		if (got != (ssize_t)len) {
			errno = got < 0 ? errno : EIO;
			return -1;
		}
		for (uint64_t k = 0; k < n; k++, i++) {
			if (is_wanted(entry[k], run->origin, wanted))
				set_bit(set, first + i);
		}
	}
	if (wanted == PAGEMAP_NOT_ZERO && run->origin == GUEST_MEM_FILE)
		return find_file_data(run, page, first, set);
	return 0;
}

int pagemap_find(int pagemap, const struct guest_mem *mem, const uint8_t *host,
		 uint64_t count, enum pagemap_wanted wanted, uint64_t *set)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), done = 0;

	while (done < count) {
		const uint8_t *at = host + done * page;
		struct guest_mem_run run =
			guest_mem_run_at(mem, at, (count - done) * page);

		if (find_in_run(pagemap, at, &run, wanted, done, set))
			return -1;
		done += run.len / page;
	}
	return 0;
}
