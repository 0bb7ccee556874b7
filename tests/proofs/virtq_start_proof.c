/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtq_start() accepts a queue if and only if its size is a power of two up to
 * VIRTQ_SIZE_MAX, its three addresses are aligned (section 2.7), and each of
 * its areas is within RAM; then its pointers are those of the areas.
 *
 * Bounds: none; RAM is 64 KiB in one region.
 */
#include "tests/proofs/ram.h"

#define guest_copy(to, from, len) ((void)(to), (void)(from), (void)(len))
#define guest_fill(to, from, len) ((void)(to), (void)(from), (void)(len))

#include "devices/virtio/virtq.c" /* nogncheck */

static bool is_ram(gpa_t gpa, uint64_t len)
{
	uint64_t offset = gpa - RAM_GPA;

	return gpa >= RAM_GPA && offset < RAM_SIZE && len <= RAM_SIZE - offset;
}

static uint64_t host_of(gpa_t gpa)
{
	return RAM_HOST + (gpa - RAM_GPA);
}

/* Proved for the real one in guest_ram_proof.c. */
void *guest_mem_at(const struct guest_mem *mem, gpa_t gpa, uint64_t len)
{
	(void)mem;
	return is_ram(gpa, len) ? (void *)host_of(gpa) : NULL;
}

static bool size_is_good(uint32_t size)
{
	for (unsigned shift = 0; shift <= 8; shift++)
		if (size == 1u << shift)
			return true;
	return false;
}

int main(void)
{
	static const struct guest_mem mem;
	struct virtq vq = {
		.desc_gpa = nondet_u64(),
		.avail_gpa = nondet_u64(),
		.used_gpa = nondet_u64(),
		.size = nondet_u32(),
	};
	bool good = size_is_good(vq.size) && vq.desc_gpa % 16 == 0 &&
		    vq.avail_gpa % 2 == 0 && vq.used_gpa % 4 == 0 &&
		    is_ram(vq.desc_gpa, 16ull * vq.size) &&
		    is_ram(vq.avail_gpa, 6 + 2ull * vq.size) &&
		    is_ram(vq.used_gpa, 6 + 8ull * vq.size);
	const char *refused = virtq_start(&vq, &mem, nondet_bool());

	prove(!refused == good, "what the standard allows is accepted");
	prove(vq.started == good, "what is accepted is started");
	if (refused)
		return 0;
	prove((uint64_t)vq.desc == host_of(vq.desc_gpa) &&
		      (uint64_t)vq.avail == host_of(vq.avail_gpa) &&
		      (uint64_t)vq.used == host_of(vq.used_gpa),
	      "the pointers are the areas'");
	prove((uint64_t)vq.used_event ==
		      host_of(vq.avail_gpa) + 4 + 2 * vq.size,
	      "used_event ends the avail ring");
	prove((uint64_t)vq.avail_event ==
		      host_of(vq.used_gpa) + 4 + 8 * vq.size,
	      "avail_event ends the used ring");
	return 0;
}
