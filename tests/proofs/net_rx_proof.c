/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever buffers the guest offers for frames: those that are held ahead of
 * time fit the lists, and their room is the sum of their lengths; readv() is
 * given no more entries than its list has.  From any state that earlier calls
 * may have left.
 *
 * Bounds: VIRTQ_SIZE_MAX and VIRTQ_CHAIN_MAX are 3.
 */
#include <string.h>

#include "tests/proofs/host.h"

static void copied(const void *to, uint64_t len);

#define memcpy(to, from, len)  ((void)(from), copied((to), (len)))
#define memmove(to, from, len) ((void)(from))

#include "devices/virtio/net/net_rx.c" /* nogncheck */

static struct net n;

/* Only lists of buffers are copied here; what is in them makes no difference.
 */
static void copied(const void *to, uint64_t len)
{
	uint64_t at = (uint64_t)((const uint8_t *)to - (uint8_t *)n.rx.iov);

	prove(at <= sizeof(n.rx.iov) && len <= sizeof(n.rx.iov) - at,
	      "buffers are listed where there is room");
}

bool virtq_pop(struct virtq *vq, struct virtq_chain *chain)
{
	(void)vq;
	chain->in_count = nondet_u16();
	chain->out_count = nondet_u16();
	chain->in_len = nondet_u64();
	assume(chain->in_count + chain->out_count <= VIRTQ_CHAIN_MAX);
	return nondet_bool();
}

void virtq_unpop(struct virtq *vq)
{
	(void)vq;
}

unsigned virtq_slice(const struct iovec *iov, unsigned count, uint64_t offset,
		     uint64_t len, struct iovec *out)
{
	unsigned used = nondet_u32();

	(void)iov;
	(void)offset;
	(void)out;
	prove(len <= NET_HEADER + NET_FRAME_MAX, "a part is not negative");
	assume(used <= count);
	return used;
}

static bool is_sound(void)
{
	const struct net_rx *rx = &n.rx;
	uint64_t room = 0, iovs = 0;

	if (rx->held_count > VIRTQ_SIZE_MAX)
		return false;
	for (unsigned i = 0; i < rx->held_count; i++) {
		room += rx->held[i].len;
		iovs += rx->held[i].iov_count;
		if (rx->held[i].len < NET_HEADER)
			return false;
	}
	return room == rx->room && iovs == rx->iov_count &&
	       iovs <= ARRAY_SIZE(rx->iov);
}

static void any_state(void)
{
	n.dev.accepted = nondet_u64();
	n.dev.queue[NET_RX].size = nondet_u32();
	assume(n.dev.queue[NET_RX].size <= VIRTQ_SIZE_MAX);
	n.rx.held_count = nondet_u32();
	n.rx.iov_count = nondet_u32();
	n.rx.room = nondet_u64();
	for (unsigned i = 0; i < VIRTQ_SIZE_MAX; i++) {
		n.rx.held[i].len = nondet_u32();
		n.rx.held[i].iov_count = nondet_u16();
	}
	assume(is_sound());
}

int main(void)
{
	struct iovec iov[ARRAY_SIZE(n.rx.iov) + 2];

	any_state();
	if (nondet_bool()) {
		fill(&n, nondet_u64());
		prove(is_sound(), "what is held stays sound");
	} else if (n.rx.held_count) {
		prove(where_to(&n, iov) <= ARRAY_SIZE(iov),
		      "readv() is given no more than the list has");
	}
	return 0;
}
