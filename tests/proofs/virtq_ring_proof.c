/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever is in guest memory, and however it changes meanwhile: of a queue
 * that was started, virtq_pop() and virtq_push() load only from guest RAM and
 * store only in the used ring; a chain has at most VIRTQ_CHAIN_MAX buffers,
 * each in RAM and not empty; what was taken is counted and costs budget.
 *
 * Bounds: VIRTQ_SIZE_MAX and VIRTQ_CHAIN_MAX are 4, RAM is 64 KiB in one
 * region, no page server.
 */
#include "tests/proofs/ram.h"

#define guest_copy(to, from, len) ((void)(to), (void)(from), (void)(len))
#define guest_fill(to, from, len) ((void)(to), (void)(from), (void)(len))

/* With the accesses of ram.h. */
#include "devices/virtio/virtq.c" /* nogncheck */

/* Proved for the real one in guest_ram_proof.c. */
void *guest_mem_at(const struct guest_mem *mem, gpa_t gpa, uint64_t len)
{
	uint64_t offset = gpa - RAM_GPA;

	(void)mem;
	if (gpa < RAM_GPA || offset >= RAM_SIZE || len > RAM_SIZE - offset)
		return NULL;
	return (void *)(RAM_HOST + offset);
}

void guest_mem_written(const struct guest_mem *mem, const void *host,
		       uint64_t len)
{
	(void)mem;
	prove(in_ram(host, len), "what is marked as written is inside RAM");
}

bool guest_mem_present(const struct guest_mem *mem, const void *host,
		       uint64_t len)
{
	(void)mem;
	prove(in_ram(host, len), "what is asked for is inside RAM");
	return nondet_bool();
}

static void any_registers(struct virtq *vq)
{
	*vq = (struct virtq){
		.desc_gpa = nondet_u64(),
		.avail_gpa = nondet_u64(),
		.used_gpa = nondet_u64(),
		.size = nondet_u32(),
		.next_avail = nondet_u16(),
		.next_used = nondet_u16(),
		.signalled = nondet_u16(),
		.budget = nondet_u32(),
	};
}

static void check_chain(const struct virtq_chain *chain)
{
	unsigned count = (unsigned)chain->out_count + chain->in_count;
	unsigned any = nondet_u32();

	prove(count <= VIRTQ_CHAIN_MAX, "a chain fits");
	assume(any < count);
	prove(chain->iov[any].iov_len, "a buffer is not empty");
	prove(in_ram(chain->iov[any].iov_base, chain->iov[any].iov_len),
	      "a buffer is inside RAM");
}

int main(void)
{
	static const struct guest_mem mem;
	static struct virtq_chain chain;
	struct virtq vq;
	uint16_t before;
	uint32_t budget;

	any_registers(&vq);
	if (virtq_start(&vq, &mem, nondet_bool()))
		return 0;
	writable_at = (uint64_t)vq.used;
	writable_len = 4 + 8ull * vq.size + 2;
	before = vq.next_avail;
	budget = vq.budget;
	if (!virtq_pop(&vq, &chain)) {
		prove(vq.next_avail == before,
		      "nothing taken, nothing counted");
		return 0;
	}
	prove(vq.next_avail == (uint16_t)(before + 1), "one chain is counted");
	prove(vq.budget < budget, "a chain costs budget");
	prove(!vq.broken, "a broken ring gives no chain");
	virtq_push(&vq, &chain, nondet_u32());
	check_chain(&chain);
	return 0;
}
