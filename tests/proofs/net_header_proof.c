/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of a frame that passes the checks tells the host's kernel nothing
 * beyond the frame: the checksum that it asks for is inside, the header that it
 * claims is not longer, segments are of a kind that was agreed on and not
 * empty; and what the guest has no say in is zero.
 *
 * Bounds: none.
 */
#include "devices/virtio/net/net_tx.c" /* nogncheck */
#include "tests/proofs/host.h"

int main(void)
{
	static struct net n;
	struct virtio_net_hdr_v1 h = {
		.flags = nondet_u8(),
		.gso_type = nondet_u8(),
		.hdr_len = nondet_u16(),
		.gso_size = nondet_u16(),
		.csum_start = nondet_u16(),
		.csum_offset = nondet_u16(),
		.num_buffers = nondet_u16(),
	};
	uint64_t len = nondet_u64();

	n.dev.accepted = nondet_u64();
	if (!header_ok(&n, &h, len))
		return 0;
	prove(!(h.flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM) && !h.num_buffers,
	      "what the guest has no say in is zero");
	if (h.flags) {
		prove(virtio_has(&n.dev, VIRTIO_NET_F_CSUM),
		      "checksums were agreed on");
		prove(len >= 2 && h.csum_start + h.csum_offset <= len - 2,
		      "the checksum is inside the frame");
	} else {
		prove(!h.csum_start && !h.csum_offset, "no checksum, no place");
	}
	if (h.gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		prove(!h.hdr_len && !h.gso_size, "no segments, no sizes");
		return 0;
	}
	prove(h.flags && h.gso_size && h.hdr_len <= len,
	      "segments are not empty, and their header is in the frame");
	prove(gso_ok(&n, h.gso_type), "their kind was agreed on");
	return 0;
}
