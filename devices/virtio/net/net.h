/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network interface: a tap of the host (Virtual I/O Device 1.2, section 5.1;
 * Linux's Documentation/networking/tuntap.rst).
 *
 * Two queues, one frame at a time, straight between the tap and the guest's
 * buffers.  Frames carry the 12 byte virtio header both ways, so checksums and
 * segmentation are left to whoever does them last.
 *
 * The tap is read only while the guest has room; what it cannot take waits in
 * the tap, which drops when it is full.  What the tap refuses is dropped and
 * counted.  Or all that is the kernel's to do: net_use_vhost().
 *
 * All functions: main thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/rate_limiter.h"
#include "devices/virtio/virtio.h"

struct err;

enum { NET_RX, NET_TX, NET_QUEUES };
enum { NET_MTU_MIN = 68, NET_MTU_MAX = 65535, NET_MAC_LEN = 6 };

struct net_config {
	const char *id; /* for the log; copied */
	/*
	 * Of a tap, or "fd:N": descriptor N of this process, a tap that was
	 * opened with IFF_TAP | IFF_NO_PI | IFF_VNET_HDR.  N is duplicated
	 * and stays the caller's.
	 */
	const char *host_dev_name;
	const uint8_t *mac; /* NET_MAC_LEN bytes; NULL: the guest chooses */
	uint16_t mtu;       /* bytes; 0: the guest chooses */
	struct rate_limiter_config rx_limiter, tx_limiter;
};

/* Firecracker's names.  Counted with metric_add(). */
struct net_metrics {
	uint64_t activate_fails;
	uint64_t cfg_fails;
	uint64_t mac_address_updates;
	uint64_t no_rx_avail_buffer;
	uint64_t no_tx_avail_buffer;
	uint64_t event_fails;
	uint64_t rx_queue_event_count;
	uint64_t rx_event_rate_limiter_count;
	uint64_t rx_partial_writes;
	uint64_t rx_rate_limiter_throttled;
	uint64_t rx_tap_event_count;
	uint64_t rx_bytes_count; /* with the virtio header, as tx's */
	uint64_t rx_packets_count;
	uint64_t rx_fails;
	uint64_t rx_count;
	uint64_t tap_read_fails;
	uint64_t tap_write_fails;
	uint64_t tx_bytes_count;
	uint64_t tx_malformed_frames;
	uint64_t tx_fails;
	uint64_t tx_count;
	uint64_t tx_packets_count;
	uint64_t tx_partial_reads;
	uint64_t tx_queue_event_count;
	uint64_t tx_rate_limiter_event_count;
	uint64_t tx_rate_limiter_throttled;
	uint64_t tx_spoofed_mac_count;
	uint64_t tx_remaining_reqs_count;
	/* Not Firecracker's. */
	uint64_t tap_gone_count;
};

/*
 * Could net_create() do this, now?  For a client that asks before there is a
 * machine.  Words as Firecracker's, from "Open tap device failed: " on.
 */
int net_check(const struct net_config *config, struct err *e);

extern const struct virtio_kind net_kind;

/* NULL on failure.  virtio_destroy() ends it. */
struct virtio_device *net_create(const struct virtio_slot *slot,
				 const struct net_config *config,
				 struct err *e);

/*
 * The same on @fd, which takes and gives frames with their headers and does not
 * block, but is no tap: for tests.  It is closed in any case.
 */
struct virtio_device *net_create_on(const struct virtio_slot *slot,
				    const struct net_config *config, int fd,
				    struct err *e);

/*
 * Leave the frames to the kernel's vhost-net, which has neither limiters nor
 * counters: before the device is first resumed.  On failure it is of no use any
 * more.
 */
int net_use_vhost(struct virtio_device *dev, struct err *e);
/* Could it?  A descriptor of /dev/vhost-net, which the caller owns, or -1. */
int net_vhost_check(struct err *e);

/* NULL: that direction stays as it is.  On failure the tx side is unchanged. */
int net_update_limiters(struct virtio_device *dev,
			const struct rate_limiter_update *rx,
			const struct rate_limiter_update *tx, struct err *e);

static inline const struct net_metrics *
net_metrics(const struct virtio_device *dev)
{
	return virtio_counters(dev);
}
