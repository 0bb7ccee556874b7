/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the parts of vsock.  Under the device's lock, main thread. */
#pragma once

#include <linux/virtio_vsock.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/util.h"
#include "core/io/listener.h"
#include "devices/virtio/vsock/vsock.h"

enum { VSOCK_BUCKETS = 256, VSOCK_HEADER = sizeof(struct virtio_vsock_hdr) };
enum { VSOCK_RESETS_MAX = 1024, VSOCK_HOST_CID = 2 };
enum { VSOCK_ACCEPT_PAUSE_MS = 100 };
enum {
	VSOCK_SHUTDOWN_BOTH =
		VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND,
};

enum vsock_conn_state {
	CONN_LINE,       /* waits for a host program to write CONNECT */
	CONN_CONNECTING, /* waits for the guest to answer */
	CONN_OPEN,
	CONN_DRAINING, /* closed for the guest; the host still reads */
};

/* Packets to send to the guest. */
enum {
	SEND_REQUEST = 1 << 0,
	SEND_RESPONSE = 1 << 1,
	SEND_DATA = 1 << 2, /* if the host program wrote any */
	SEND_SHUTDOWN = 1 << 3,
	SEND_CREDIT_REQUEST = 1 << 4,
	SEND_CREDIT_UPDATE = 1 << 5,
};

struct vsock_conn {
	struct vsock *v;
	struct vsock_conn *next;        /* list of all connections */
	struct vsock_conn **prev;       /* the pointer to this entry */
	struct vsock_conn *bucket_next; /* of one bucket; has ports */
	struct vsock_conn *ready_next;  /* of those with packets */
	bool is_ready;                  /* it is in that list */
	struct event_source source;     /* the socket, watched for @events */
	uint32_t events;
	bool watched;
	int fd; /* owned */
	enum vsock_conn_state state;
	uint32_t host_port, guest_port;
	unsigned send;        /* SEND_* */
	uint64_t accepted_ns; /* CLOCK_MONOTONIC; only for CONN_LINE */
	uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0: none */

	/* Credit in bytes, modulo 2^32 (section 5.10.6.3). */
	uint32_t guest_alloc, guest_forwarded; /* from the guest's packets */
	uint32_t sent;                         /* bytes sent to the guest */
	uint32_t forwarded, told; /* bytes sent to the host; reported as such */
	bool starved;             /* no credit left: waits for the guest */

	uint32_t guest_shutdown, host_shutdown; /* VIRTIO_VSOCK_SHUTDOWN_* */
	bool write_closed; /* shutdown(SHUT_WR) was called */

	/*
	 * Ring of bytes from the guest that the host program has not read yet.
	 */
	uint8_t *buffer; /* VSOCK_BUFFER bytes, or NULL while empty */
	uint32_t buffer_at, buffer_len;

	char line[VSOCK_LINE_MAX];
	unsigned line_len;
};

struct vsock_ports {
	uint32_t host, guest;
};

struct vsock {
	struct virtio_device dev;
	struct virtio_vsock_config config;
	struct vsock_metrics metrics;
	struct listener_name name;
	int listen_fd, timer_fd; /* owned */
	struct virtio_source listener, timer;
	uint64_t timer_ns;  /* what it is armed for; 0: it is not */
	uint64_t accept_ns; /* accept again then; 0: accepting, or parked */

	struct vsock_conn *all;
	struct vsock_conn *bucket[VSOCK_BUCKETS];
	struct vsock_conn *ready, **ready_end;
	unsigned conn_count;
	uint32_t last_port;

	/* RST packets to send for ports without a connection. */
	struct vsock_ports resets[VSOCK_RESETS_MAX];
	unsigned resets_at, resets_count;

	bool parked; /* connections are not watched */
	bool stale;  /* they belong to a driver that has reset the device */
	bool tell_restore;        /* send TRANSPORT_RESET on the event queue */
	struct virtq_chain chain; /* scratch */
};

static inline struct vsock *vsock_of(struct virtio_device *dev)
{
	return container_of(dev, struct vsock, dev);
}

/* Bytes that may be sent to the guest: its free buffer space. */
uint32_t vsock_credit(const struct vsock_conn *c);

/* --------------------------------------------------- vsock_conn.c: streams */

/*
 * Create a connection that owns @fd.  Returns NULL if there are VSOCK_CONNS_MAX
 * connections or there is no memory; then @fd remains the caller's.
 */
struct vsock_conn *vsock_conn_create(struct vsock *v, int fd,
				     enum vsock_conn_state state);
void vsock_conn_destroy(struct vsock_conn *c);
/*
 * Destroy it because of a protocol error or a time-out; the guest gets an RST.
 */
void vsock_conn_kill(struct vsock_conn *c);
void vsock_conn_set_ports(struct vsock_conn *c, uint32_t host, uint32_t guest);
struct vsock_conn *vsock_conn_find(struct vsock *v, uint32_t host,
				   uint32_t guest);
/* Watch the socket for the events that matter in the current state. */
void vsock_conn_watch(struct vsock_conn *c);
void vsock_conn_unwatch(struct vsock_conn *c);
/* Queue packets for the guest (SEND_*); vsock_rx_run() sends them. */
void vsock_conn_send(struct vsock_conn *c, unsigned what);
/* Arm the device's timer for @at_ns (CLOCK_MONOTONIC); 0 disarms it. */
void vsock_set_timer(struct vsock *v, uint64_t at_ns);
/*
 * The guest has VSOCK_TIMEOUT_MS from now on, unless a deadline is set already.
 */
void vsock_conn_set_deadline(struct vsock_conn *c);
/*
 * Send @len bytes at @offset in v->chain to the host program, or buffer them.
 * Returns false if that failed and @c was destroyed.
 */
bool vsock_conn_write(struct vsock_conn *c, uint64_t offset, uint32_t len);
/*
 * Once the buffer is empty, destroy a draining connection, or close the host's
 * side if the guest sends no more.  Returns false if @c was destroyed.
 */
bool vsock_conn_close_if_done(struct vsock_conn *c);
/* The host program has closed its socket, and all that it wrote was read. */
void vsock_conn_hang_up(struct vsock_conn *c);
/*
 * The guest has closed the connection; the host program may still read what is
 * buffered.
 */
void vsock_conn_end(struct vsock_conn *c);

/* -------------------------------------------------- vsock_packet.c: packets */

/* Queue an RST packet for a pair of ports. */
void vsock_reset_ports(struct vsock *v, uint32_t host, uint32_t guest);
/* Send packets to the guest, as far as it offers buffers. */
void vsock_rx_run(struct vsock *v) REQUIRES(device_lock);
/* Handle the packets that the guest has sent. */
void vsock_tx_run(struct vsock *v) REQUIRES(device_lock);

/* --------------------------------------------------- vsock_host.c: sockets */

/* Listen on @path.  Returns 0 or -1. */
int vsock_bind(struct vsock *v, const char *path, struct err *e);
/*
 * Report that no socket can be created at @path, in Firecracker's words.
 * @error is an errno, @remark more text or "".  Returns -1.
 */
int vsock_refuse(struct err *e, int error, const char *path,
		 const char *remark);
/*
 * Accept some of the waiting host programs.  Returns false if accept() fails
 * although programs wait, which would wake the loop without end.
 */
bool vsock_accept(struct vsock *v);
/* Read more of a CONNECT line. */
void vsock_line_ready(struct vsock_conn *c);
/*
 * Connect the guest's port @guest to the host's port @host; @h is its REQUEST.
 */
void vsock_connect(struct vsock *v, uint32_t host, uint32_t guest,
		   const struct virtio_vsock_hdr *h);
