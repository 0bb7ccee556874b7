/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the network device share.  Under the device's lock. */
#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/base/util.h"
#include "devices/virtio/net/net.h"

/* Linux 6.2; headers may be older than the kernel. */
#ifndef VIRTIO_NET_F_HOST_USO
#define VIRTIO_NET_F_GUEST_USO4   54
#define VIRTIO_NET_F_GUEST_USO6   55
#define VIRTIO_NET_F_HOST_USO     56
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

enum {
	NET_HEADER = sizeof(struct virtio_net_hdr_v1), /* 12 */
	NET_ETH = 14,                                  /* of Ethernet */
	/* As section 5.1.6.3.1 bounds a frame: 64 KiB of IP and Ethernet. */
	NET_FRAME_MAX = 65550,
	NET_FRAMES_A_TURN = 64, /* from the tap, before others have theirs */
	NET_TAP_NAME_MAX = 24,  /* IFNAMSIZ is 16; or fd:N */
};

/* One of the guest's buffers that waits for a frame. */
struct net_held {
	uint32_t len;
	uint16_t head;
	uint16_t iov_count;
};

struct net_rx {
	/* Taken from the ring, in its order, to be given back in that. */
	struct net_held held[VIRTQ_SIZE_MAX];
	struct iovec iov[2 * VIRTQ_CHAIN_MAX]; /* theirs, one after another */
	unsigned held_count, iov_count;
	uint64_t room; /* bytes in all of them */

	/*
	 * A frame that was read and waits for buffers or for tokens: its
	 * header; the rest is in the buffers above, after room for the header,
	 * and what did not fit there is in @spill.
	 */
	uint64_t frame_len; /* with the header; 0: there is none */
	uint64_t placed;    /* of it, as if the header were in place */
	bool paid;          /* the limiter let it pass */
	bool dirty;         /* buffers may hold more than was reported */
	struct virtio_net_hdr_v1 header;
	uint8_t spill[NET_FRAME_MAX];
};

/* Zero, but for the descriptors, which are -1, without vhost. */
struct net_vhost {
	int fd;                   /* /dev/vhost-net */
	int stopped_fd, error_fd; /* eventfds: by us; it gave up */
	struct virtio_source stopped, error;
	bool running;  /* it has the rings; counts as in flight */
	uint64_t *log; /* a bit for each VHOST_PAGE_SIZE, or NULL */
	uint64_t log_len;
};

struct net {
	struct virtio_device dev;
	struct virtio_net_config config;
	int tap_fd;                      /* owned */
	bool is_tap;                     /* not a test's socket */
	bool tap_gone;                   /* deleted on the host */
	char tap_name[NET_TAP_NAME_MAX]; /* for the log */
	bool offload_set;         /* the tap knows what the guest can take */
	struct virtio_source tap; /* watched while there is room */
	struct rate_limiter rx_limiter, tx_limiter;
	struct net_vhost vhost;
	struct net_metrics metrics;
	struct net_rx rx;
	struct virtq_chain chain; /* scratch */
};

static inline struct net *net_of(struct virtio_device *dev)
{
	return container_of(dev, struct net, dev);
}

/*
 * Open the tap that @config names, ready for use.  The descriptor, which the
 * caller owns, or -1.
 */
int net_tap_open(const struct net_config *config, struct err *e);
/* Feature bits that depend on what the host's kernel can do. */
uint64_t net_tap_features(int fd);
/* Tell the tap what the guest can take: accepted feature bits. */
void net_tap_set_offload(int fd, uint64_t accepted);

void net_rx_run(struct net *n);
/* Read the tap from now on, or not. */
void net_rx_watch(struct net *n, bool on);
/*
 * The tap says with this errno that it was deleted.  Tells so, once, and leaves
 * it alone from now on: its descriptor would be ready all the time.  Main
 * thread.
 */
void net_tap_lost(struct net *n, int error);
/* For somebody else who reads it: watch for that only.  Main thread. */
void net_watch_loss(struct net *n);
/* Buffers go back to the ring; a frame that waits is lost. */
void net_rx_give_back(struct net *n);

void net_tx_run(struct net *n);

static inline bool net_has_vhost(const struct net *n)
{
	return n->vhost.fd >= 0;
}
/* Give it the rings.  Main thread. */
void net_vhost_start(struct net *n);
/* Take them back, and wait until it touches them no more.  Any thread. */
void net_vhost_stop(struct net *n);
void net_vhost_fini(struct net *n);
