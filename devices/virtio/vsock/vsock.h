/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams between guest and host (Virtual I/O Device 1.2, section 5.10) with
 * Firecracker's mapping: AF_VSOCK in the guest is AF_UNIX on the host.
 *
 * A host program connects to uds_path, writes "CONNECT 52\n", and reads "OK
 * 1073741824\n" once a guest program has accepted on port 52; if none does, it
 * reads end of file.  A guest program that connects to port 52 of CID 2 reaches
 * the host program that listens on "<uds_path>_52".
 *
 * Connections survive a pause, but a guest that is restored from a snapshot has
 * none: it gets a transport reset event.
 *
 * All functions: main thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/virtio.h"

struct err;

enum { VSOCK_RX, VSOCK_TX, VSOCK_EVENT, VSOCK_QUEUES };
enum {
	VSOCK_CID_MIN = 3,
	VSOCK_CONNS_MAX = 1023,     /* at once, the same as Firecracker's */
	VSOCK_BUFFER = 64 << 10,    /* bytes per connection, guest to host */
	VSOCK_LINE_MAX = 32,        /* "CONNECT ...\n" */
	VSOCK_TIMEOUT_MS = 2000,    /* for the guest to answer or to finish */
	VSOCK_FIRST_PORT = 1 << 30, /* lowest port of host programs */
	/*
	 * Longest uds_path, so that sun_path (108 bytes, NUL not needed) has
	 * room for "_4294967295" behind it.
	 */
	VSOCK_PATH_MAX = 97,
};

/* Strings are the caller's, and copied. */
struct vsock_config {
	uint32_t guest_cid;
	char *uds_path;
	char *id; /* for who configures it: the device has no use for it */
};

/* Firecracker's metric names.  Updated with metric_add(). */
struct vsock_metrics {
	uint64_t activate_fails;
	uint64_t cfg_fails;
	uint64_t rx_queue_event_fails;
	uint64_t tx_queue_event_fails;
	uint64_t ev_queue_event_fails;
	uint64_t muxer_event_fails;
	uint64_t conn_event_fails;
	uint64_t rx_queue_event_count;
	uint64_t tx_queue_event_count;
	uint64_t rx_bytes_count;
	uint64_t tx_bytes_count;
	uint64_t rx_packets_count;
	uint64_t tx_packets_count;
	uint64_t conns_added;
	uint64_t conns_killed; /* by the device: time-outs, protocol errors */
	uint64_t conns_removed;
	uint64_t killq_resync;
	uint64_t tx_flush_fails;
	uint64_t tx_write_fails;
	uint64_t rx_read_fails;
};

/*
 * Check whether vsock_create() would succeed now, for clients that ask before
 * there is a machine.  Returns 0 or -1.  The error's wording is Firecracker's,
 * starting with "Cannot create backend for vsock device: ".
 */
int vsock_check(const struct vsock_config *config, struct err *e);

extern const struct virtio_kind vsock_kind;

/*
 * Returns NULL on failure.  virtio_destroy() frees the device and removes the
 * socket.
 */
struct virtio_device *vsock_create(const struct virtio_slot *slot,
				   const struct vsock_config *config,
				   struct err *e);

/* The current number of connections. */
unsigned vsock_conn_count(const struct virtio_device *dev);

/* The device's live counters; valid as long as the device. */
static inline const struct vsock_metrics *
vsock_metrics(const struct virtio_device *dev)
{
	return virtio_counters(dev);
}
