/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's end of the link to a responder (devices/mmds), whose server takes
 * lines: it answers each with `answer_len` bytes of a pattern.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/mmds/responder.h"

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };
enum { ADDRESS = (int)0xa9fea9fe, GUEST = 0x0a000002, ISN = -40 };

struct guest_segment {
	uint16_t port, to, window, mss;
	uint32_t seq, ack;
	uint8_t flags;
	const void *data;
	size_t len;
};

/* A connection, as the guest sees it. */
struct guest_conn {
	uint16_t port, window, mss;
	uint32_t seq, ack; /* that it sends next */
};

extern struct responder *r;
extern struct responder_metrics counters;
extern uint64_t now;
extern size_t answer_len; /* of the next answers */
extern bool answer_closes;
extern unsigned answers;

/* Around each test. */
int responder_begin(void **state);
int responder_end(void **state);

uint8_t pattern(size_t at);

/* A frame of the guest's, as it is. */
void guest_sends_raw(const void *frame, size_t len);
/* Build the frame of a segment at @frame; returns its length. */
size_t guest_frame(uint8_t *frame, const struct guest_segment *s);
void guest_sends(const struct guest_segment *s);
/* Receive a segment, whose checksums are right; false if there is none. */
bool guest_gets(struct guest_segment *s);
void guest_gets_nothing(void);

/* A handshake from @port; then data, of which all but the reply is checked. */
struct guest_conn guest_connects(uint16_t port);
void guest_says(struct guest_conn *c, const char *text);
void guest_acks(struct guest_conn *c);
/* Receive what there is of a reply, from byte @at on, and acknowledge all of
 * it.  Returns how much came. */
size_t guest_reads(struct guest_conn *c, size_t at, uint8_t *flags);
