/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_mem_at(): the pointer that it returns is that of @gpa, and all @len
 * bytes there are in one region; if they are in a region, it does not refuse.
 * However large the two numbers are.
 *
 * Bounds: up to GUEST_MEM_REGIONS_MAX regions of whole MiB, below and up to 64
 * GiB, which do not overlap.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/machine/mem.c" /* nogncheck */
#include "tests/proofs/proofs.h"

/* Where they are makes no difference. */
static const uintptr_t host_of[] = {0x7f0000000000, 0x7e0000000000};

static bool has(const struct guest_mem_region *r, gpa_t gpa, uint64_t len)
{
	return gpa >= r->gpa && gpa < r->gpa + r->size &&
	       len <= UINT64_MAX - gpa && gpa + len <= r->gpa + r->size;
}

static void any_regions(struct guest_mem *mem)
{
	mem->region_count = nondet_u32();
	assume(mem->region_count <= GUEST_MEM_REGIONS_MAX);
	for (unsigned i = 0; i < GUEST_MEM_REGIONS_MAX; i++) {
		struct guest_mem_region *r = &mem->region[i];

		r->gpa = (uint64_t)nondet_u16() << 20;
		r->size = (uint64_t)nondet_u16() << 20;
		r->host = (uint8_t *)host_of[i];
	}
	assume(mem->region[0].gpa + mem->region[0].size <= mem->region[1].gpa ||
	       mem->region[1].gpa + mem->region[1].size <= mem->region[0].gpa);
}

int main(void)
{
	static struct guest_mem mem;
	gpa_t gpa = nondet_u64();
	uint64_t len = nondet_u64();
	bool found = false;
	void *host;

	any_regions(&mem);
	host = guest_mem_at(&mem, gpa, len);
	for (unsigned i = 0; i < mem.region_count; i++) {
		const struct guest_mem_region *r = &mem.region[i];

		if (!has(r, gpa, len))
			continue;
		found = true;
		prove((uintptr_t)host == host_of[i] + (gpa - r->gpa),
		      "the pointer is that of the address");
	}
	prove(found || !host, "what is not RAM has no pointer");
	return 0;
}
