/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtq_slice(): what it returns are the parts of the buffers that hold the
 * bytes from @offset on, in order and without a gap: @len bytes, or as many as
 * there are, in at most as many parts as there are buffers.
 *
 * Bounds: up to BUFFERS buffers of any length, also empty.
 */
#include "tests/proofs/buffers.h"

#define guest_copy(to, from, len) ((void)(to), (void)(from), (void)(len))
#define guest_fill(to, from, len) ((void)(to), (void)(from), (void)(len))

#include "devices/virtio/virtq.c" /* nogncheck */

int main(void)
{
	static struct iovec iov[BUFFERS], out[BUFFERS];
	uint64_t offset = nondet_u64(), len = nondet_u64(), next = offset;
	unsigned used;

	any_buffers(iov);
	used = virtq_slice(iov, BUFFERS, offset, len, out);
	prove(used <= BUFFERS, "there are not more parts than buffers");
	for (unsigned i = 0; i < used; i++) {
		prove(buffer_has((uint64_t)out[i].iov_base, out[i].iov_len),
		      "a part is within a buffer");
		prove(byte_at((uint64_t)out[i].iov_base) == next,
		      "a part begins where the last one ended");
		next += out[i].iov_len;
	}
	prove(next == (offset >= edge[BUFFERS]        ? offset
		       : len < edge[BUFFERS] - offset ? offset + len
						      : edge[BUFFERS]),
	      "they end where they should");
	return 0;
}
