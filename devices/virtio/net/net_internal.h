/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the parts of the network device.  Under the device's lock. */
#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/base/util.h"
#include "devices/mmds/responder.h"
#include "devices/virtio/net/net.h"

/* Since Linux 6.2; headers may be older than the running kernel. */
#ifndef VIRTIO_NET_F_HOST_USO
#define VIRTIO_NET_F_GUEST_USO4   54
#define VIRTIO_NET_F_GUEST_USO6   55
#define VIRTIO_NET_F_HOST_USO     56
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

enum {
	NET_HEADER = sizeof(struct virtio_net_hdr_v1), /* 12 */
	NET_ETH = 14,                                  /* Ethernet header */
	/* Section 5.1.6.3.1: at most 64 KiB of IP, plus Ethernet. */
	NET_FRAME_MAX = 65550,
	NET_FRAMES_A_TURN = 64, /* read from the tap before other sources run */
	NET_TAP_NAME_MAX = 24,  /* IFNAMSIZ is 16; or fd:N */
};

/* A receive buffer of the guest's that waits for a frame. */
struct net_held {
	uint32_t len;
	uint16_t head;
	uint16_t iov_count;
};

struct net_rx {
	/* Taken from the avail ring and returned in the same order. */
	struct net_held held[VIRTQ_SIZE_MAX];
	struct iovec iov[2 * VIRTQ_CHAIN_MAX]; /* of @held, in order */
	unsigned held_count, iov_count;
	uint64_t room; /* bytes in all held buffers */

	/*
	 * A frame that was read and waits for buffers or for tokens.  Its
	 * header is in @header; its data is in the held buffers, after room for
	 * the header, and what did not fit there is in @spill.
	 */
	uint64_t frame_len; /* bytes with the header; 0: no frame */
	uint64_t placed;    /* bytes in held buffers, header included */
	bool paid;          /* charged to the rate limiter */
	bool dirty;         /* buffers may hold more than gets reported */
	struct virtio_net_hdr_v1 header;
	uint8_t spill[NET_FRAME_MAX];
};

/* Without vhost: descriptors are -1, the rest is zero. */
struct net_vhost {
	int fd;                   /* /dev/vhost-net */
	int stopped_fd, error_fd; /* eventfds: we stopped it; it failed */
	struct virtio_source stopped, error;
	bool running;  /* vhost has the rings; counts as one in flight */
	uint64_t *log; /* dirty log: a bit per VHOST_PAGE_SIZE; or NULL */
	uint64_t log_len;
};

/* Without a metadata service: zeroes, and no descriptor. */
struct net_mmds {
	struct responder *responder; /* owned; NULL: there is no service */
	bool pending;                /* it may have frames for the guest */
	int timer_fd;                /* for what has to be sent again */
	uint64_t armed;              /* CLOCK_MONOTONIC, ns; 0: not armed */
	struct virtio_source timer;
};

struct net {
	struct virtio_device dev;
	struct virtio_net_config config;
	int tap_fd;                      /* owned */
	bool is_tap;                     /* false: a test's socket */
	bool tap_gone;                   /* the tap was deleted on the host */
	char tap_name[NET_TAP_NAME_MAX]; /* for the log */
	bool offload_set;                /* net_tap_set_offload() was called */
	struct virtio_source tap;        /* watched while the guest has room */
	struct rate_limiter rx_limiter, tx_limiter;
	struct net_vhost vhost;
	struct net_mmds mmds;
	struct net_metrics metrics;
	struct net_rx rx;
	struct virtq_chain chain; /* scratch */
};

static inline struct net *net_of(struct virtio_device *dev)
{
	return container_of(dev, struct net, dev);
}

/*
 * Open and set up the tap that @config names.  Returns a descriptor, which the
 * caller owns, or -1.
 */
int net_tap_open(const struct net_config *config, struct err *e);
/* Feature bits that the host's kernel supports for this tap. */
uint64_t net_tap_features(int fd);
/* Set the tap's offloads to what the driver accepted. */
void net_tap_set_offload(int fd, uint64_t accepted);

/* Move frames from the tap to the guest: at most NET_FRAMES_A_TURN. */
void net_rx_run(struct net *n) REQUIRES(device_lock);
/* Start or stop waiting for frames from the tap.  Main thread. */
void net_rx_watch(struct net *n, bool on);
/*
 * The tap reported with errno @error that it was deleted.  Log that once and
 * stop watching the tap, because its descriptor is ready all the time now.
 * Main thread.
 */
void net_tap_lost(struct net *n, int error);
/* While vhost reads the tap: watch only for its deletion.  Main thread. */
void net_watch_loss(struct net *n);
/* Return all held buffers to the avail ring.  A waiting frame is dropped. */
void net_rx_give_back(struct net *n) REQUIRES(device_lock);

/* Send the available frames of the guest to the tap. */
void net_tx_run(struct net *n) REQUIRES(device_lock);

/*
 * If the guest's frame in n->chain is for the metadata service, take it, so
 * that the tap never sees it.
 */
bool net_mmds_take(struct net *n) REQUIRES(device_lock);
/* Read a frame of the service's instead of the tap's; false if there is none.
 */
bool net_mmds_read(struct net *n);
void net_mmds_fini(struct net *n);

static inline bool net_has_vhost(const struct net *n)
{
	return n->vhost.fd >= 0;
}
/* Give vhost the rings.  Main thread. */
void net_vhost_start(struct net *n) REQUIRES(device_lock);
/*
 * Take the rings back; returns once vhost no longer accesses them.  Any thread.
 */
void net_vhost_stop(struct net *n) REQUIRES(device_lock);
void net_vhost_fini(struct net *n);
