/* SPDX-License-Identifier: Apache-2.0 */
/* The pages that stasis itself wrote: KVM's dirty log has the guest's. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/machine/mem.h"

int guest_mem_track(struct guest_mem *mem, struct err *e)
{
	struct guest_mem_dirty *d = calloc(1, sizeof(*d));

	if (!d)
		goto failed;
	d->page = (uint64_t)sysconf(_SC_PAGESIZE);
	mem->dirty = d;
	for (unsigned i = 0; i < mem->region_count; i++) {
		uint64_t pages = mem->region[i].size / d->page;

		d->words[i] = align_up(pages, 64) / 64;
		d->bits[i] = calloc(d->words[i], sizeof(uint64_t));
		if (!d->bits[i])
			goto failed;
	}
	return 0;
failed:
	guest_mem_untrack(mem);
	return err_errno(e, "cannot keep track of written pages");
}

void guest_mem_untrack(struct guest_mem *mem)
{
	struct guest_mem_dirty *d = mem->dirty;

	for (unsigned i = 0; d && i < mem->region_count; i++)
		free(d->bits[i]);
	free(d);
	mem->dirty = NULL;
}

/* A word at a time: a guest may make us mark all its RAM for a request. */
static void mark(const struct guest_mem_dirty *d, unsigned region,
		 uint64_t first, uint64_t last)
{
	for (uint64_t word = first / 64; word <= last / 64; word++) {
		uint64_t mask = UINT64_MAX;

		if (word == first / 64)
			mask &= UINT64_MAX << first % 64;
		if (word == last / 64)
			mask &= UINT64_MAX >> (63 - last % 64);
		__atomic_fetch_or(&d->bits[region][word], mask,
				  __ATOMIC_RELAXED);
	}
}

void guest_mem_written(const struct guest_mem *mem, const void *host,
		       uint64_t len)
{
	const struct guest_mem_dirty *d = mem->dirty;
	const uint8_t *at = host;

	for (unsigned i = 0; d && len && i < mem->region_count; i++) {
		const struct guest_mem_region *r = &mem->region[i];
		uint64_t offset = (uint64_t)(at - r->host);

		if (at < r->host || offset >= r->size)
			continue;
		mark(d, i, offset / d->page, (offset + len - 1) / d->page);
	}
}
