/* SPDX-License-Identifier: Apache-2.0 */
/* Frames from the guest.  Each is written completely or not at all. */
#include <errno.h>
#include <string.h>

#include "core/base/metrics.h"
#include "devices/virtio/net/net_internal.h"

/* True if the driver may request this kind of segmentation. */
static bool gso_ok(const struct net *n, uint8_t type) REQUIRES(device_lock)
{
	switch (type) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return virtio_has(&n->dev, VIRTIO_NET_F_HOST_TSO4);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return virtio_has(&n->dev, VIRTIO_NET_F_HOST_TSO6);
	case VIRTIO_NET_HDR_GSO_UDP:
		return virtio_has(&n->dev, VIRTIO_NET_F_HOST_UFO);
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return virtio_has(&n->dev, VIRTIO_NET_F_HOST_USO);
	default:
		return false;
	}
}

/*
 * Check the header of a frame of @len bytes (section 5.1.6.2.1), and reduce it
 * to what the tap may see.
 */
static bool header_ok(const struct net *n, struct virtio_net_hdr_v1 *h,
		      uint64_t len) REQUIRES(device_lock)
{
	bool csum = h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;

	h->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	h->num_buffers = 0;
	if (csum && (!virtio_has(&n->dev, VIRTIO_NET_F_CSUM) ||
		     (uint64_t)h->csum_start + h->csum_offset + 2 > len))
		return false;
	if (!csum)
		h->csum_start = h->csum_offset = 0;
	if (h->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		h->hdr_len = h->gso_size = 0; /* not meaningful without GSO */
		return true;
	}
	return csum && h->gso_size && h->hdr_len <= len &&
	       gso_ok(n, h->gso_type);
}

static void count_spoofed(struct net *n)
{
	uint8_t source[NET_MAC_LEN];

	if (!(n->dev.offered >> VIRTIO_NET_F_MAC & 1))
		return;
	if (virtq_read(&n->chain, NET_HEADER + NET_MAC_LEN, source,
		       sizeof(source)) &&
	    memcmp(source, n->config.mac, sizeof(source)) != 0)
		metric_add(&n->metrics.tx_spoofed_mac_count, 1);
}

static void write_frame(struct net *n, struct virtio_net_hdr_v1 *header)
{
	struct iovec iov[1 + VIRTQ_CHAIN_MAX];
	uint64_t len = n->chain.out_len;
	uint64_t began;
	unsigned count;
	ssize_t done;

	/* The checked copy, because the guest may have changed its own. */
	iov[0] = (struct iovec){header, NET_HEADER};
	count = 1 + virtq_slice(n->chain.iov, n->chain.out_count, NET_HEADER,
				len - NET_HEADER, iov + 1);
	began = metric_clock();
	do {
		done = pwritev2(n->tap_fd, iov, (int)count, -1, 0);
	} while (done < 0 && errno == EINTR);
	metric_took(&n->metrics.tap_write_agg, began);
	if (done < 0 && (errno == EBADFD || errno == ENODEV))
		net_tap_lost(n, errno); /* a tap that is down reports EIO */
	if (done < 0 || (uint64_t)done != len) {
		metric_add(&n->metrics.tap_write_fails, 1);
		metric_add(&n->metrics.tx_fails, 1);
		return;
	}
	metric_add(&n->metrics.tx_bytes_count, len);
	metric_add(&n->metrics.tx_packets_count, 1);
	metric_add(&n->metrics.tx_count, 1);
}

static bool frame_ok(const struct net *n, struct virtio_net_hdr_v1 *header)
	REQUIRES(device_lock)
{
	const struct virtq_chain *c = &n->chain;

	return !c->in_count && c->out_len >= NET_HEADER + NET_ETH &&
	       c->out_len <= NET_HEADER + NET_FRAME_MAX &&
	       virtq_read(c, 0, header, NET_HEADER) &&
	       header_ok(n, header, c->out_len - NET_HEADER);
}

void net_tx_run(struct net *n)
{
	struct virtq *vq = &n->dev.queue[NET_TX];
	uint16_t before = vq->next_avail;

	while (!n->tx_limiter.throttled && virtq_pop(vq, &n->chain)) {
		struct virtio_net_hdr_v1 header;

		if (!frame_ok(n, &header)) {
			virtio_mistake(&n->dev, "sent an impossible frame");
			metric_add(&n->metrics.tx_malformed_frames, 1);
			metric_add(&n->metrics.tx_fails, 1);
			virtq_push(vq, &n->chain, 0);
			continue;
		}
		if (n->mmds.responder && net_mmds_take(n)) {
			virtq_push(vq, &n->chain, 0);
			continue;
		}
		if (!rate_limiter_take(&n->tx_limiter, n->chain.out_len)) {
			metric_add(&n->metrics.tx_rate_limiter_throttled, 1);
			virtq_unpop(vq);
			break;
		}
		count_spoofed(n);
		write_frame(n, &header);
		virtq_push(vq, &n->chain, 0);
	}
	if (vq->next_avail == before)
		metric_add(&n->metrics.no_tx_avail_buffer, 1);
	if (n->mmds.pending && virtio_is_live(&n->dev, NET_RX))
		net_rx_run(n);
}
