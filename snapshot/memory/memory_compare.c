/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/memory/memory_compare.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "core/base/bits.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/machine/mem.h"

enum { PIECE = 64 * 1024 }; /* bytes read at once: one or more pages */

/* Compare pages with the file; beyond its end they were zero. */
static int compare_file(const uint8_t *host, const struct guest_mem_run *run,
			uint64_t page, uint64_t first, uint64_t *set)
{
	_Alignas(8) uint8_t was[PIECE];

	for (uint64_t at = 0; at < run->len; at += PIECE) {
		uint64_t len = min_u64(run->len - at, PIECE);
		ssize_t n = io_pread(run->fd, was, len, run->offset + at);

		if (n < 0)
			return -1;
		memset(was + n, 0, len - (uint64_t)n);
		for (uint64_t i = 0; i < len; i += page) {
			if (memcmp(host + at + i, was + i, page) != 0)
				bits_add(set, first + (at + i) / page);
		}
	}
	return 0;
}

static int compare_run(const uint8_t *host, const struct guest_mem_run *run,
		       uint64_t page, uint64_t first, uint64_t *set)
{
	bool is_file = run->origin == GUEST_MEM_FILE;

	if (is_file && run->fd >= 0)
		return compare_file(host, run, page, first, set);
	for (uint64_t at = 0; at < run->len; at += page) {
		/* Zero if the first byte is, and each equals the previous. */
		if (run->origin != GUEST_MEM_ZERO || host[at] ||
		    memcmp(host + at, host + at + 1, page - 1) != 0)
			bits_add(set, first + at / page);
	}
	return 0;
}

int memory_compare(const struct guest_mem *mem, const uint8_t *host,
		   uint64_t count, uint64_t *set)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), done = 0;

	while (done < count) {
		const uint8_t *at = host + done * page;
		struct guest_mem_run run =
			guest_mem_run_at(mem, at, (count - done) * page);

		if (compare_run(at, &run, page, done, set))
			return -1;
		done += run.len / page;
	}
	return 0;
}
