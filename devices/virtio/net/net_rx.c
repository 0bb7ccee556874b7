/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames to the guest.  Buffers are taken from the ring ahead of time, as many
 * as the largest frame may need, so that the tap can write into them directly.
 * What does not fit goes to @spill and is copied once there are more buffers.
 */
#include <errno.h>
#include <string.h>

#include "core/base/metrics.h"
#include "core/machine/mem.h"
#include "devices/virtio/net/net_internal.h"

static bool mergeable(const struct net *n) REQUIRES(device_lock)
{
	return virtio_has(&n->dev, VIRTIO_NET_F_MRG_RXBUF);
}

/* ---------------------------------------------------------------- buffers */

/* Likely maximum of a frame's length, in bytes with the header. */
static uint64_t usual_len(const struct net *n) REQUIRES(device_lock)
{
	const uint64_t large = 1ull << VIRTIO_NET_F_GUEST_TSO4 |
			       1ull << VIRTIO_NET_F_GUEST_TSO6 |
			       1ull << VIRTIO_NET_F_GUEST_UFO |
			       1ull << VIRTIO_NET_F_GUEST_USO4 |
			       1ull << VIRTIO_NET_F_GUEST_USO6;

	return n->dev.accepted & large ? NET_HEADER + NET_FRAME_MAX : 1526;
}

/* Hold the buffer in n->chain. */
static void hold(struct net *n) REQUIRES(device_lock)
{
	struct net_rx *rx = &n->rx;
	const struct virtq_chain *c = &n->chain;

	memcpy(rx->iov + rx->iov_count, virtq_in(&n->chain),
	       c->in_count * sizeof(struct iovec));
	rx->held[rx->held_count++] = (struct net_held){
		.len = (uint32_t)min_u64(c->in_len, UINT32_MAX),
		.head = c->head,
		.iov_count = c->in_count,
	};
	rx->iov_count += c->in_count;
	rx->room += rx->held[rx->held_count - 1].len;
	n->dev.inflight++;
}

/* True if no further buffer may be held. */
static bool is_full(const struct net *n) REQUIRES(device_lock)
{
	const struct net_rx *rx = &n->rx;

	if (!mergeable(n))
		return rx->held_count > 0;
	return rx->held_count >= n->dev.queue[NET_RX].size ||
	       rx->iov_count > ARRAY_SIZE(rx->iov) - VIRTQ_CHAIN_MAX;
}

/* Hold buffers for @len bytes, or as many as are available. */
static void fill(struct net *n, uint64_t len) REQUIRES(device_lock)
{
	struct virtq *vq = &n->dev.queue[NET_RX];

	while (n->rx.room < len && !is_full(n) && virtq_pop(vq, &n->chain)) {
		if (n->chain.out_count || n->chain.in_len < NET_HEADER ||
		    n->chain.in_len > UINT32_MAX) {
			virtq_unpop(vq);
			vq->broken = "a buffer is not one for frames";
			return;
		}
		hold(n);
	}
}

/*
 * A frame that was dropped, or waited and is lost, left its bytes in buffers
 * that the driver gets back as if they were untouched: a diff must have them.
 */
static void mark_held(const struct net *n) REQUIRES(device_lock)
{
	struct iovec iov[ARRAY_SIZE(n->rx.iov)];
	const struct net_rx *rx = &n->rx;
	unsigned count =
		virtq_slice(rx->iov, rx->iov_count, 0,
			    min_u64(rx->room, NET_HEADER + NET_FRAME_MAX), iov);

	for (unsigned i = 0; i < count; i++)
		guest_mem_written(n->dev.slot.mem, iov[i].iov_base,
				  iov[i].iov_len);
}

void net_rx_give_back(struct net *n)
{
	struct net_rx *rx = &n->rx;

	if (rx->dirty || rx->frame_len)
		mark_held(n);
	rx->dirty = false;
	for (unsigned i = 0; i < rx->held_count; i++)
		virtq_unpop(&n->dev.queue[NET_RX]);
	n->dev.inflight -= rx->held_count;
	rx->held_count = rx->iov_count = 0;
	rx->room = 0;
	if (rx->frame_len)
		metric_add(&n->metrics.rx_fails, 1);
	rx->frame_len = 0;
}

/* The first @count held buffers were returned to the driver. */
static void forget(struct net *n, unsigned count) REQUIRES(device_lock)
{
	struct net_rx *rx = &n->rx;
	unsigned iovs = 0;

	for (unsigned i = 0; i < count; i++) {
		iovs += rx->held[i].iov_count;
		rx->room -= rx->held[i].len;
	}
	rx->held_count -= count;
	rx->iov_count -= iovs;
	n->dev.inflight -= count;
	memmove(rx->held, rx->held + count,
		rx->held_count * sizeof(rx->held[0]));
	memmove(rx->iov, rx->iov + iovs, rx->iov_count * sizeof(rx->iov[0]));
}

/* ----------------------------------------------------------------- frames */

/* Copy @len bytes to byte @offset of the held buffers. */
static void put(struct net *n, uint64_t offset, const void *from, uint64_t len)
{
	struct iovec to[ARRAY_SIZE(n->rx.iov)];
	unsigned count =
		virtq_slice(n->rx.iov, n->rx.iov_count, offset, len, to);
	const uint8_t *bytes = from;

	for (unsigned i = 0; i < count; i++) {
		memcpy(to[i].iov_base, bytes, to[i].iov_len);
		bytes += to[i].iov_len;
	}
}

static void drop(struct net *n)
{
	metric_add(&n->metrics.rx_fails, 1);
	n->rx.dirty = true;
	n->rx.frame_len = 0;
}

/*
 * Where preadv2() puts a frame: the header, the held buffers after room for the
 * header, then the spill.  Returns the number of entries in @iov.
 */
static unsigned where_to(struct net *n, struct iovec *iov)
{
	struct net_rx *rx = &n->rx;
	unsigned count = 1;

	iov[0] = (struct iovec){&rx->header, NET_HEADER};
	count += virtq_slice(rx->iov, rx->iov_count, NET_HEADER,
			     min_u64(rx->room, NET_HEADER + NET_FRAME_MAX) -
				     NET_HEADER,
			     iov + 1);
	iov[count++] = (struct iovec){rx->spill, sizeof(rx->spill)};
	return count;
}

/*
 * False for a frame with an offload that the driver did not accept: it was
 * queued in the tap before net_tap_set_offload().
 */
static bool guest_can_take(const struct net *n) REQUIRES(device_lock)
{
	static const uint8_t feature[] = {
		[VIRTIO_NET_HDR_GSO_TCPV4] = VIRTIO_NET_F_GUEST_TSO4,
		[VIRTIO_NET_HDR_GSO_UDP] = VIRTIO_NET_F_GUEST_UFO,
		[VIRTIO_NET_HDR_GSO_TCPV6] = VIRTIO_NET_F_GUEST_TSO6,
		[VIRTIO_NET_HDR_GSO_UDP_L4] = VIRTIO_NET_F_GUEST_USO4,
	};
	const struct virtio_net_hdr_v1 *h = &n->rx.header;

	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
	    !virtio_has(&n->dev, VIRTIO_NET_F_GUEST_CSUM))
		return false;
	if (h->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	return h->gso_type < ARRAY_SIZE(feature) && feature[h->gso_type] &&
	       virtio_has(&n->dev, feature[h->gso_type]);
}

/*
 * In Linux's drivers/net/tun.c, these errors mean a deleted tap; one that is
 * only down just has no frames.
 */
static void read_failed(struct net *n, int error)
{
	metric_add(&n->metrics.tap_read_fails, 1);
	metric_add(&n->metrics.rx_fails, 1);
	if (error == EBADFD || error == EFAULT || error == EIO ||
	    error == ENODEV)
		net_tap_lost(n, error);
	else /* do not retry in a loop; the next kick does */
		net_rx_watch(n, false);
}

static bool may_read_tap(const struct net *n)
{
	return !n->rx_limiter.throttled && !n->tap_gone;
}

/* Read a frame.  False if there is none, or no buffer is held. */
static bool read_frame(struct net *n) REQUIRES(device_lock)
{
	struct iovec iov[ARRAY_SIZE(n->rx.iov) + 2];
	struct net_rx *rx = &n->rx;
	ssize_t len;

	fill(n, usual_len(n));
	if (!rx->held_count) {
		metric_add(&n->metrics.no_rx_avail_buffer, 1);
		net_rx_watch(n, false); /* until the next kick */
		return false;
	}
	if (n->mmds.pending && net_mmds_read(n))
		return true;
	if (!may_read_tap(n)) {
		net_rx_watch(n, false);
		return false;
	}
	len = preadv2(n->tap_fd, iov, (int)where_to(n, iov), -1, 0);
	if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
		net_rx_watch(n, true);
		return false;
	}
	if (len <= 0) {
		read_failed(n, len ? errno : ENODEV);
		return false;
	}
	rx->frame_len = (uint64_t)len;
	rx->placed = min_u64(rx->frame_len,
			     min_u64(rx->room, NET_HEADER + NET_FRAME_MAX));
	rx->paid = false;
	if (len < NET_HEADER + NET_ETH ||
	    rx->frame_len > NET_HEADER + NET_FRAME_MAX || !guest_can_take(n))
		drop(n);
	else if (rx->placed < rx->frame_len)
		metric_add(&n->metrics.rx_partial_writes, 1);
	return true;
}

/*
 * Move the spill into the guest's buffers.  Returns false if they are too few:
 * then the frame waits, or was dropped because no more buffers may be held.
 */
static bool place(struct net *n) REQUIRES(device_lock)
{
	struct net_rx *rx = &n->rx;

	if (rx->placed == rx->frame_len)
		return true;
	fill(n, rx->frame_len);
	if (rx->room >= rx->frame_len) {
		put(n, rx->placed, rx->spill, rx->frame_len - rx->placed);
		rx->placed = rx->frame_len;
		return true;
	}
	if (is_full(n)) {
		drop(n);
	} else {
		metric_add(&n->metrics.no_rx_avail_buffer, 1);
		net_rx_watch(n, false);
	}
	return false;
}

static void push(struct net *n, const struct net_held *held,
		 const struct iovec *iov, uint64_t len) REQUIRES(device_lock)
{
	struct virtq_chain *c = &n->chain;

	c->head = held->head;
	c->out_count = 0;
	c->out_len = 0;
	c->in_count = held->iov_count;
	c->in_len = held->len;
	c->touched = n->rx.dirty ? held->len : 0;
	memcpy(c->iov, iov, held->iov_count * sizeof(*iov));
	virtq_push(&n->dev.queue[NET_RX], c, (uint32_t)len);
}

/*
 * The data is in place: store the header and return the buffers to the driver.
 */
static void deliver(struct net *n) REQUIRES(device_lock)
{
	struct net_rx *rx = &n->rx;
	const struct iovec *iov = rx->iov;
	unsigned count = 0;

	for (uint64_t room = 0; room < rx->frame_len; count++)
		room += rx->held[count].len;
	rx->header.num_buffers = (uint16_t)count;
	put(n, 0, &rx->header, NET_HEADER);
	for (unsigned i = 0; i < count; i++) {
		uint64_t part = min_u64(rx->held[i].len, rx->frame_len);

		push(n, &rx->held[i], iov, part);
		iov += rx->held[i].iov_count;
		rx->frame_len -= part;
	}
	forget(n, count);
}

/* Charge, place and deliver the frame.  Returns false if it has to wait. */
static bool finish_frame(struct net *n) REQUIRES(device_lock)
{
	struct net_rx *rx = &n->rx;
	uint64_t len = rx->frame_len;

	if (!len)
		return true; /* it was dropped */
	if (!rx->paid && !rate_limiter_take(&n->rx_limiter, len)) {
		metric_add(&n->metrics.rx_rate_limiter_throttled, 1);
		net_rx_watch(n, false); /* until the limiter is ready */
		return false;
	}
	rx->paid = true;
	if (!place(n))
		return !rx->frame_len;
	deliver(n);
	metric_add(&n->metrics.rx_bytes_count, len);
	metric_add(&n->metrics.rx_packets_count, 1);
	metric_add(&n->metrics.rx_count, 1);
	return true;
}

void net_rx_run(struct net *n)
{
	if (!may_read_tap(n) && !n->mmds.pending) {
		net_rx_watch(n, false);
		return;
	}
	for (unsigned i = 0; i < NET_FRAMES_A_TURN; i++) {
		if (!n->rx.frame_len && !read_frame(n))
			return;
		if (!finish_frame(n))
			return;
	}
	net_rx_watch(n, true); /* reports at once if there are more */
}
