/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of vsock share.  Under the device's lock, main thread. */
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

enum vsock_conn_state {
	CONN_LINE,       /* a host program has yet to write CONNECT */
	CONN_CONNECTING, /* the guest has yet to answer */
	CONN_OPEN,
	CONN_DRAINING, /* none for the guest; the host has yet to read */
};

/* Packets that the guest is to get. */
enum {
	SEND_REQUEST = 1 << 0,
	SEND_RESPONSE = 1 << 1,
	SEND_DATA = 1 << 2, /* if there is any */
	SEND_SHUTDOWN = 1 << 3,
	SEND_CREDIT_REQUEST = 1 << 4,
	SEND_CREDIT_UPDATE = 1 << 5,
};

struct vsock_conn {
	struct vsock *v;
	struct vsock_conn *next;        /* all of them */
	struct vsock_conn **prev;       /* who points here */
	struct vsock_conn *bucket_next; /* of those that have ports */
	struct vsock_conn *ready_next;  /* of those with packets */
	bool is_ready;                  /* it is among those */
	struct event_source source;     /* watched for @events */
	uint32_t events;
	bool watched;
	int fd; /* owned */
	enum vsock_conn_state state;
	uint32_t host_port, guest_port;
	unsigned send;        /* SEND_* */
	uint64_t accepted_ns; /* CLOCK_MONOTONIC; while CONN_LINE */
	uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0: none */

	/* Credit, in bytes modulo 2^32; section 5.10.6.3. */
	uint32_t guest_alloc, guest_forwarded; /* what the guest said */
	uint32_t sent;                         /* to the guest */
	uint32_t forwarded, told;              /* to the host; told the guest */
	bool starved; /* no credit: wait for the guest */

	uint32_t guest_shutdown, host_shutdown; /* VIRTIO_VSOCK_SHUTDOWN_* */
	bool write_closed; /* the host was told that no more comes */

	/* From the guest, not yet taken by the host; a ring. */
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
	uint64_t timer_ns;  /* when it is armed for; 0: it is not */
	uint64_t accept_ns; /* accept again then; 0: it accepts, or is parked */

	struct vsock_conn *all;
	struct vsock_conn *bucket[VSOCK_BUCKETS];
	struct vsock_conn *ready, **ready_end;
	unsigned conn_count;
	uint32_t last_port;

	/* Resets for what is no connection (any more). */
	struct vsock_ports resets[VSOCK_RESETS_MAX];
	unsigned resets_at, resets_count;

	bool parked;              /* connections are not watched */
	bool stale;               /* they are of a driver that is gone */
	bool tell_restore;        /* on the event queue */
	struct virtq_chain chain; /* scratch */
};

static inline struct vsock *vsock_of(struct virtio_device *dev)
{
	return container_of(dev, struct vsock, dev);
}

/* Room in the guest for what we send. */
uint32_t vsock_credit(const struct vsock_conn *c);

/* --------------------------------------------------- vsock_conn.c: streams */

struct vsock_conn *vsock_conn_create(struct vsock *v, int fd,
				     enum vsock_conn_state state);
void vsock_conn_destroy(struct vsock_conn *c);
/* The same, because of a rule or a time-out; the guest gets a reset. */
void vsock_conn_kill(struct vsock_conn *c);
void vsock_conn_set_ports(struct vsock_conn *c, uint32_t host, uint32_t guest);
struct vsock_conn *vsock_conn_find(struct vsock *v, uint32_t host,
				   uint32_t guest);
/* Watch the descriptor for what matters now. */
void vsock_conn_watch(struct vsock_conn *c);
void vsock_conn_unwatch(struct vsock_conn *c);
/* Packets for the guest: SEND_*. */
void vsock_conn_send(struct vsock_conn *c, unsigned what);
/* When vsock.c looks for what is due: CLOCK_MONOTONIC; 0: never. */
void vsock_set_timer(struct vsock *v, uint64_t at_ns);
void vsock_conn_set_deadline(struct vsock_conn *c);
/* @len bytes of the guest's, from @offset on in v->chain.  False: it is dead */
bool vsock_conn_write(struct vsock_conn *c, uint64_t offset, uint32_t len);
/* False: nothing is left to do, and it is dead. */
bool vsock_conn_close_if_done(struct vsock_conn *c);
/* The host's program is gone, and all that it wrote was read. */
void vsock_conn_hang_up(struct vsock_conn *c);
/* The guest wants no more of it; what the host has yet to read it may. */
void vsock_conn_end(struct vsock_conn *c);

/* -------------------------------------------------- vsock_packet.c: packets */

void vsock_reset_ports(struct vsock *v, uint32_t host, uint32_t guest);
void vsock_rx_run(struct vsock *v);
void vsock_tx_run(struct vsock *v);

/* --------------------------------------------------- vsock_host.c: sockets */

int vsock_bind(struct vsock *v, const char *path, struct err *e);
/* No socket can be made at @path, in Firecracker's words.  Gives -1. */
int vsock_refuse(struct err *e, int error, const char *path,
		 const char *remark);
/*
 * Accept some of the programs that wait.  False if that does not work although
 * they do: their waiting would wake the loop for ever.
 */
bool vsock_accept(struct vsock *v);
/* More of a CONNECT line. */
void vsock_line_ready(struct vsock_conn *c);
/* The guest wants to reach a port of the host's. */
void vsock_connect(struct vsock *v, uint32_t host, uint32_t guest,
		   const struct virtio_vsock_hdr *h);
