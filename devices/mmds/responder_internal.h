/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the parts of the responder. */
#pragma once

#include "core/base/buf.h"
#include "devices/mmds/responder.h"

enum { MAC_LEN = 6, RESETS_MAX = 8, HTTP_PORT = 80 };
enum {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
};

/* The guest's end of a connection. */
struct peer {
	uint8_t mac[MAC_LEN];
	uint16_t port, local_port;
	uint32_t address;
};

/* A segment that was received, or is to be sent. */
struct segment {
	struct peer peer;
	uint32_t seq, ack;
	uint16_t window, mss; /* mss 0: no such option */
	uint8_t flags;
	const uint8_t *data;
	size_t len;
};

struct connection {
	bool used;
	struct peer peer;
	uint64_t last_heard; /* ns */
	uint16_t mss;        /* of what we send */

	/* From the guest. */
	uint32_t next_in; /* the sequence number that it sends next */
	bool fin_in;      /* it has sent all */
	bool ack_due;
	size_t request_len;
	char request[RESPONDER_REQUEST_MAX];

	/*
	 * To the guest: a SYN, or what is left of the reply and then perhaps
	 * a FIN.
	 *
	 *	una          una+sent      una+highest
	 *	 |  in flight  |  to be sent   |  never sent
	 *
	 * Less than the highest is in flight after a loss.
	 */
	uint32_t una, sent, highest;
	uint16_t window; /* that the guest offers */
	bool syn;        /* ours is not acknowledged */
	bool closing;    /* a FIN follows the reply */
	bool fin_acked;
	bool probe;        /* one byte may be sent into a closed window */
	struct buf reply;  /* empty: there is none */
	size_t acked;      /* bytes of it that have arrived */
	uint64_t deadline; /* ns; 0: nothing to wait for */
	unsigned retries;
};

struct responder {
	uint32_t address;
	const struct responder_server *server;
	uint32_t next_isn; /* of the next connection */

	bool arp_due;
	struct peer arp; /* whom to answer */
	struct segment reset[RESETS_MAX];
	unsigned reset_count;
	unsigned turn; /* the connection that may send next */
	struct connection connection[RESPONDER_CONNECTIONS];
};

/* A segment from the guest. */
void responder_segment(struct responder *r, const struct segment *s,
		       uint64_t now);
/* Fill @s with the next segment to send; false if there is none. */
bool responder_next_segment(struct responder *r, struct segment *s,
			    uint64_t now);
