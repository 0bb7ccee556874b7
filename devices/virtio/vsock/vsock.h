/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams between guest and host (Virtual I/O Device 1.2, section 5.10), as
 * Firecracker does it: AF_VSOCK in the guest is AF_UNIX on the host.
 *
 * A host program connects to uds_path, writes "CONNECT 52\n", and reads
 * "OK 1073741824\n" once something in the guest has accepted on port 52; if
 * nothing does, it sees the end of the stream.  A guest program that connects
 * to port 52 of CID 2 reaches who listens on "<uds_path>_52".
 *
 * Connections do not survive a snapshot: the guest that is loaded is told that
 * the transport was reset.  They do survive a pause.
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
	VSOCK_CONNS_MAX = 1023,     /* at once, as Firecracker's */
	VSOCK_BUFFER = 64 << 10,    /* bytes of a connection's that wait here */
	VSOCK_LINE_MAX = 32,        /* "CONNECT ...\n" */
	VSOCK_TIMEOUT_MS = 2000,    /* of the guest, to answer or to finish */
	VSOCK_FIRST_PORT = 1 << 30, /* of the host's */
	/* Of uds_path, so that "_4294967295" fits behind it: sun_path has 108,
	 * and needs no NUL. */
	VSOCK_PATH_MAX = 97,
};

struct vsock_config {
	uint32_t guest_cid;
	const char *uds_path; /* copied */
};

/* Firecracker's names.  Counted with metric_add(). */
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
	uint64_t conns_killed; /* by us: time-outs, rules broken */
	uint64_t conns_removed;
	uint64_t killq_resync;
	uint64_t tx_flush_fails;
	uint64_t tx_write_fails;
	uint64_t rx_read_fails;
};

/*
 * Could vsock_create() do this, now?  For a client that asks before there is a
 * machine.  Words as Firecracker's, from "Cannot create backend for vsock
 * device: " on.
 */
int vsock_check(const struct vsock_config *config, struct err *e);

extern const struct virtio_kind vsock_kind;

/* NULL on failure.  virtio_destroy() ends it, and removes the socket. */
struct virtio_device *vsock_create(const struct virtio_slot *slot,
				   const struct vsock_config *config,
				   struct err *e);

/* Connections that there are now. */
unsigned vsock_conn_count(const struct virtio_device *dev);

static inline const struct vsock_metrics *
vsock_metrics(const struct virtio_device *dev)
{
	return virtio_counters(dev);
}
