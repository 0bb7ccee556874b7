/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host of its own on the guest's link: one IPv4 address that answers ARP
 * requests and serves TCP port 80, for the metadata service.  Frames in, frames
 * out; it does no I/O and does not know what it serves.
 *
 *	from the guest   responder_take()   ARP
 *	                        |           IPv4 -> TCP -> a connection
 *	                        v
 *	                 server->answer()   a request's bytes -> a reply
 *	                        |
 *	to the guest     responder_next()   <- the reply, in segments
 *
 * Frames are made when the guest has room for them, so none wait here.  What
 * the guest does not acknowledge is sent again, when responder_tick() is called
 * after responder_deadline().
 *
 * Memory is bounded: a table of connections, each with room for one request,
 * and at most one reply per connection.  When the table is full, the connection
 * that was silent for longest is reset.
 *
 * Left out: checksums of what arrives, because the frames have crossed no wire
 * and the guest may have left them to an offload; fragments; options but the
 * segment size; congestion control; TIME-WAIT.
 *
 * Sources: RFC 826 (ARP), RFC 791 (IPv4), RFC 9293 (TCP).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum {
	RESPONDER_CONNECTIONS = 16,
	RESPONDER_REQUEST_MAX = 2560, /* bytes of a request, with headers */
	/* Bytes that responder_wants() looks at. */
	RESPONDER_HEAD = 42,
	/* A frame with a whole request: the largest that is not dropped. */
	RESPONDER_IN_MAX = 14 + 60 + 60 + RESPONDER_REQUEST_MAX,
	RESPONDER_OUT_MAX = 1514, /* the largest that responder_next() makes */
};

/* Firecracker's metric names of its group "mmds". */
struct responder_metrics {
	uint64_t rx_accepted;         /* frames that were for it */
	uint64_t rx_accepted_err;     /* ... but not valid */
	uint64_t rx_accepted_unusual; /* ... but neither ARP nor TCP */
	uint64_t rx_bad_eth;          /* ... ARP, but not valid */
	uint64_t rx_invalid_token;
	uint64_t rx_no_token;
	uint64_t rx_count; /* TCP segments */
	uint64_t tx_bytes;
	uint64_t tx_count;
	uint64_t tx_errors; /* connections reset for want of memory or ACKs */
	uint64_t tx_frames;
	uint64_t connections_created;
	uint64_t connections_destroyed;
};

struct responder_server {
	/*
	 * Append to @reply (empty) the answer to the request that begins at
	 * @request.  Returns how many of the @len bytes belong to it, or 0 if
	 * it is incomplete; not if @is_all, because there is no room for more.
	 * *close: close the connection after the reply.
	 */
	size_t (*answer)(void *context, const char *request, size_t len,
			 bool is_all, struct buf *reply, bool *close);
	void *context;
	struct responder_metrics *metrics; /* updated with metric_add() */
};

struct responder;

/* @address: IPv4, in host byte order.  @server outlives the result.  NULL if
 * there is no memory, or no random number. */
struct responder *responder_create(uint32_t address,
				   const struct responder_server *server);
void responder_destroy(struct responder *r);

/* Is a frame that begins with the @len bytes at @head (RESPONDER_HEAD of them,
 * or all) for this address, so that no other may see it? */
bool responder_wants(const struct responder *r, const uint8_t *head,
		     size_t len);

/* Take in a frame that responder_wants().  @now: CLOCK_MONOTONIC, ns. */
void responder_take(struct responder *r, const uint8_t *frame, size_t len,
		    uint64_t now);

/*
 * Make the next frame for the guest, of at most RESPONDER_OUT_MAX bytes, at
 * @frame.  Returns its length, or 0 if there is none now.
 */
size_t responder_next(struct responder *r, uint8_t *frame, uint64_t now);

/* When to call responder_tick(); 0: not before the next frame. */
uint64_t responder_deadline(const struct responder *r);
/* What was not acknowledged in time is to be sent again, or given up. */
void responder_tick(struct responder *r, uint64_t now);
