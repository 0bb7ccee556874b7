/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network interface backed by a tap device of the host (Virtual I/O Device
 * 1.2, section 5.1; Linux's Documentation/networking/tuntap.rst).
 *
 * Two queues.  Frames go one at a time, straight between the tap and the
 * guest's buffers, with the 12-byte virtio header in both directions, so
 * checksums and segmentation are left to the last hop that needs them.
 *
 * The tap is read only while the guest has room; other frames wait in the tap,
 * which drops frames when it is full.  Frames that the tap rejects are dropped
 * and counted.  With net_use_vhost(), the kernel's vhost-net does all this
 * instead.
 *
 * All functions: main thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/metrics.h"
#include "devices/virtio/rate_limiter.h"
#include "devices/virtio/virtio.h"

struct err;

enum { NET_RX, NET_TX, NET_QUEUES };
enum { NET_MTU_MIN = 68, NET_MTU_MAX = 65535, NET_MAC_LEN = 6 };

/* Strings are the caller's, and copied. */
struct net_config {
	char *id; /* for the log */
	/*
	 * The name of a tap, or "fd:N": descriptor N of this process, a tap
	 * that was opened with IFF_TAP | IFF_NO_PI | IFF_VNET_HDR.  N is
	 * duplicated and remains the caller's.
	 */
	char *tap;
	bool has_mac; /* false: the guest chooses one */
	uint8_t mac[NET_MAC_LEN];
	uint16_t mtu; /* bytes; 0: the guest chooses */
	struct rate_limiter_config rx_limiter, tx_limiter;
};

/* Firecracker's metric names.  Updated with metric_add(). */
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
	uint64_t rx_bytes_count; /* with the virtio header, like tx's */
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
	struct metric_latency tap_write_agg;
};

/*
 * Check whether net_create() would succeed now, for clients that ask before
 * there is a machine.  Returns 0 or -1.  The error's wording is Firecracker's,
 * starting with "Open tap device failed: ".
 */
int net_check(const struct net_config *config, struct err *e);

extern const struct virtio_kind net_kind;

/* Returns NULL on failure.  virtio_destroy() frees the device. */
struct virtio_device *net_create(const struct virtio_slot *slot,
				 const struct net_config *config,
				 struct err *e);

/*
 * The same on @fd, for tests: a non-blocking descriptor that transfers frames
 * with their headers, but is not a tap.  Takes ownership of @fd, also on
 * failure.
 */
struct virtio_device *net_create_on(const struct virtio_slot *slot,
				    const struct net_config *config, int fd,
				    struct err *e);

/*
 * Let the kernel's vhost-net transfer the frames; it has neither rate limiters
 * nor counters.  Call before the device is first resumed.  Returns 0, or -1:
 * the device can then only be destroyed.
 */
int net_use_vhost(struct virtio_device *dev, struct err *e);
/*
 * Check whether vhost-net can be used.  Returns a descriptor of /dev/vhost-net,
 * which the caller owns, or -1.
 */
int net_vhost_check(struct err *e);

struct responder_server;

/*
 * Serve @server's metadata to the guest, at the IPv4 @address (host byte
 * order).  Frames for that address do not reach the tap, and neither they nor
 * the answers count for the rate limits.  @server outlives the device.  Not
 * with vhost, which would not let us see the frames.  Call before the device is
 * first resumed.  Returns 0, or -1: the device can then only be destroyed.
 */
int net_use_mmds(struct virtio_device *dev, uint32_t address,
		 const struct responder_server *server, struct err *e);

/*
 * Change rate limits; a direction that is NULL stays as it is.  Returns 0, or
 * -1 with both directions unchanged.
 */
int net_update_limiters(struct virtio_device *dev,
			const struct rate_limiter_update *rx,
			const struct rate_limiter_update *tx, struct err *e);

/* The device's live counters; valid as long as the device. */
static inline const struct net_metrics *
net_metrics(const struct virtio_device *dev)
{
	return virtio_counters(dev);
}
