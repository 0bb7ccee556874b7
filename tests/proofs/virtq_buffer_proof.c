/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A descriptor adds one buffer to a chain, an empty one none: the buffer goes
 * after the others, its length is added to out_len or in_len, and nothing else
 * of the chain changes.  A step from any chain, so by induction out_len is the
 * sum of the out buffers and in_len that of the in buffers, as virtq_read() and
 * virtq_write() need it (virtq_bytes_proof.c).
 *
 * Bounds: none; chains of up to VIRTQ_CHAIN_MAX buffers.
 */
#include "tests/proofs/ram.h"

#define guest_copy(to, from, len) ((void)(to), (void)(from), (void)(len))
#define guest_fill(to, from, len) ((void)(to), (void)(from), (void)(len))

#include "devices/virtio/virtq.c" /* nogncheck */

static void *host;

/* Where RAM is makes no difference here (virtq_ring_proof.c). */
void *guest_mem_at(const struct guest_mem *mem, gpa_t gpa, uint64_t len)
{
	(void)mem;
	(void)gpa;
	(void)len;
	return host;
}

static unsigned count_of(const struct virtq_chain *chain)
{
	return (unsigned)chain->out_count + chain->in_count;
}

static void any_chain(struct virtq_chain *chain)
{
	chain->out_count = nondet_u16();
	chain->in_count = nondet_u16();
	chain->out_len = nondet_u64();
	chain->in_len = nondet_u64();
	assume(count_of(chain) <= VIRTQ_CHAIN_MAX);
}

int main(void)
{
	static struct virtq_chain chain, old;
	static struct virtq vq;
	const struct vring_desc d = {nondet_u64(), nondet_u32(), nondet_u16(),
				     nondet_u16()};
	bool writes = d.flags & VRING_DESC_F_WRITE, ok, added;
	unsigned before;
	struct iovec *last;

	host = nondet_bool() ? NULL : (void *)RAM_HOST;
	any_chain(&chain);
	old = chain;
	before = count_of(&old);
	ok = add_buffer(&vq, &chain, &d);
	added = ok && d.len;
	prove(ok == !vq.broken, "a refusal breaks the ring");
	prove(count_of(&chain) == before + added, "one buffer is added");
	prove(chain.out_count == old.out_count + (added && !writes),
	      "it is counted where it belongs");
	prove(chain.out_len == old.out_len + (added && !writes ? d.len : 0),
	      "out_len grows by the length of an out buffer");
	prove(chain.in_len == old.in_len + (added && writes ? d.len : 0),
	      "in_len grows by the length of an in buffer");
	prove(!added || writes || !old.in_count, "out buffers come first");
	if (!added)
		return 0;
	prove(host, "a buffer has an address");
	last = &chain.iov[before];
	prove(last->iov_base == host && last->iov_len == d.len,
	      "it is the last one");
	return 0;
}
