/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtq_read() and virtq_write() copy @len bytes or none: none if the chain's
 * buffers have fewer from @offset on, however large the two numbers are.  Each
 * byte comes from, or goes to, its place in the chain; nothing is touched
 * outside of a buffer; the caller's memory is used from its start, @len bytes
 * of it.
 *
 * Bounds: BUFFERS out buffers and as many in buffers, of any length, also
 * empty.
 */
#include "tests/proofs/buffers.h"

#define LOCAL 0x10000000000ull /* where the caller's memory is */

static void copied(const void *guest, const void *local, uint64_t part);

#define guest_copy(to, from, len) copied((from), (to), (len))
#define guest_fill(to, from, len) copied((to), (from), (len))

#include "devices/virtio/virtq.c" /* nogncheck */

static uint64_t offset, len, done;

static void copied(const void *guest, const void *local, uint64_t part)
{
	prove(buffer_has((uint64_t)guest, part), "a copy is within a buffer");
	prove(byte_at((uint64_t)guest) == offset + done,
	      "a copy begins where the last one ended");
	prove((uint64_t)local == LOCAL + done, "and so in the caller's memory");
	prove(part <= len - done, "the copies end with the caller's memory");
	done += part;
}

int main(void)
{
	static struct virtq_chain chain;
	bool ok;

	offset = nondet_u64();
	len = nondet_u64();
#ifdef WRITES
	chain.out_count = 1;
	chain.iov[0] = (struct iovec){(void *)RAM_HOST, nondet_u32()};
	chain.in_count = BUFFERS;
	any_buffers(virtq_in(&chain));
	chain.in_len = edge[BUFFERS];
	ok = virtq_write(&chain, offset, (void *)LOCAL, len);
#else
	chain.out_count = BUFFERS;
	any_buffers(chain.iov);
	chain.out_len = edge[BUFFERS];
	ok = virtq_read(&chain, offset, (void *)LOCAL, len);
#endif
	prove(ok == (offset <= edge[BUFFERS] && len <= edge[BUFFERS] - offset),
	      "it succeeds if there are so many bytes");
	prove(done == (ok ? len : 0), "all bytes are copied, or none");
	return 0;
}
