/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/memory/pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/base/bits.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/machine/mem.h"
#include "snapshot/memory/extent.h"

enum {
	ENTRIES = 512, /* read at once */
	RANGES = 64,   /* scanned at once */
};

#define ENTRY_PRESENT (1ull << 63)
#define ENTRY_SWAP    (1ull << 62)
#define ENTRY_FILE    (1ull << 61) /* file page or shared anonymous memory */

#define IS_TOUCHED (PAGE_IS_PRESENT | PAGE_IS_SWAPPED)

int pagemap_open(void)
{
	return open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

/* In the words of PAGEMAP_SCAN. */
static uint64_t categories(uint64_t entry)
{
	return (entry & ENTRY_PRESENT ? PAGE_IS_PRESENT : 0) |
	       (entry & ENTRY_SWAP ? PAGE_IS_SWAPPED : 0) |
	       (entry & ENTRY_FILE ? PAGE_IS_FILE : 0);
}

static bool is_wanted(uint64_t is, enum guest_mem_origin origin,
		      enum pagemap_wanted wanted)
{
	bool touched = is & IS_TOUCHED;

	if (wanted == PAGEMAP_NOT_ZERO)
		return touched;
	if (wanted == PAGEMAP_TOUCHED)
		return touched && origin == GUEST_MEM_FILE;
	/* A write replaced the file's page by an anonymous one. */
	return touched && (origin == GUEST_MEM_ZERO || !(is & PAGE_IS_FILE) ||
			   is & PAGE_IS_SWAPPED);
}

static void set_bits(uint64_t *set, uint64_t bit, uint64_t end)
{
	while (bit < end) {
		if (bit % 64 || end - bit < 64) {
			bits_add(set, bit++);
		} else {
			set[bit / 64] = ~0ull;
			bit += 64;
		}
	}
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

	if (run->fd < 0) {
		set_bits(set, first, first + run->len / page);
		return 0;
	}
	while ((r = extent_next(run->fd, x.end, limit, &x)) > 0)
		set_bits(set, first + (x.at - run->offset) / page,
			 first + (x.end - run->offset + page - 1) / page);
	return r;
}

/*
 * Touched pages of @len bytes at @host, up to RANGES ranges of equal ones.
 * Linux 6.7 has it, and passes over what was never touched 2 MiB at a time.
 * Returns their number and how far they reach (@end), or -1.
 */
static int scan(int pagemap, const uint8_t *host, uint64_t len,
		struct page_region *range, uint64_t max, uint64_t *end)
{
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = (uintptr_t)host,
		.end = (uintptr_t)host + len,
		.vec = (uintptr_t)range,
		.vec_len = max,
		.category_anyof_mask = IS_TOUCHED,
		.return_mask = IS_TOUCHED | PAGE_IS_FILE,
	};
	int count = ioctl(pagemap, PAGEMAP_SCAN, &arg);

	*end = arg.walk_end - (uintptr_t)host;
	if (count >= 0 && (!*end || *end > len)) { /* or we would never end */
		errno = EIO;
		return -1;
	}
	return count;
}

static int find_by_scan(int pagemap, const uint8_t *host,
			const struct guest_mem_run *run,
			enum pagemap_wanted wanted, uint64_t page,
			uint64_t first, uint64_t *set)
{
	struct page_region range[RANGES];

	for (uint64_t at = 0, step; at < run->len; at += step) {
		int count = scan(pagemap, host + at, run->len - at, range,
				 RANGES, &step);

		if (count < 0)
			return -1;
		for (int i = 0; i < count; i++) {
			uint64_t from = range[i].start - (uintptr_t)host;
			uint64_t to = range[i].end - (uintptr_t)host;

			if (is_wanted(range[i].categories, run->origin, wanted))
				set_bits(set, first + from / page,
					 first + to / page);
		}
	}
	return 0;
}

static int find_by_reading(int pagemap, const uint8_t *host,
			   const struct guest_mem_run *run,
			   enum pagemap_wanted wanted, uint64_t page,
			   uint64_t first, uint64_t *set)
{
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
			if (is_wanted(categories(entry[k]), run->origin,
				      wanted))
				set_bits(set, first + i, first + i + 1);
		}
	}
	return 0;
}

static int find_in_run(int pagemap, const uint8_t *host,
		       const struct guest_mem_run *run,
		       enum pagemap_wanted wanted, uint64_t first,
		       uint64_t *set)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (wanted == PAGEMAP_CHANGED && run->origin == GUEST_MEM_DISCARDED) {
		set_bits(set, first, first + run->len / page);
		return 0;
	}
	if (find_by_scan(pagemap, host, run, wanted, page, first, set) &&
	    (errno != ENOTTY ||
	     find_by_reading(pagemap, host, run, wanted, page, first, set)))
		return -1;
	if (wanted == PAGEMAP_NOT_ZERO && run->origin == GUEST_MEM_FILE)
		return find_file_data(run, page, first, set);
	return 0;
}

/* How many of a run's bytes at @host nobody has touched, from the first on;
 * those of a file are zero where it has holes. */
static uint64_t zeroes_in_run(int pagemap, const uint8_t *host,
			      const struct guest_mem_run *run)
{
	struct page_region touched;
	uint64_t end, len = run->len;
	struct extent x;
	int r = scan(pagemap, host, len, &touched, 1, &end);

	if (r > 0)
		len = touched.start - (uintptr_t)host;
	if (r < 0 || run->origin != GUEST_MEM_FILE)
		return r < 0 ? 0 : len;
	r = run->fd < 0
		    ? -1
		    : extent_next(run->fd, run->offset, run->offset + len, &x);
	if (r > 0)
		len = x.at - run->offset;
	return r < 0 ? 0 : len;
}

uint64_t pagemap_zeroes(int pagemap, const struct guest_mem *mem,
			const uint8_t *host, uint64_t count)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), done = 0;

	while (done < count) {
		const uint8_t *at = host + done * page;
		struct guest_mem_run run =
			guest_mem_run_at(mem, at, (count - done) * page);
		uint64_t zeroes = zeroes_in_run(pagemap, at, &run);

		done += zeroes / page;
		if (zeroes < run.len)
			break;
	}
	return done;
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
