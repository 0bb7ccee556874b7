/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/responder_guest.h"

#include <string.h>

#include "core/base/buf.h"
#include "tests/unit/testing.h"

enum { ETH = 14, IP = 20, TCP = 20 };

struct responder *r;
struct responder_metrics counters;
uint64_t now;
size_t answer_len;
bool answer_closes;
unsigned answers;

uint8_t pattern(size_t at)
{
	return (uint8_t)(at * 7 + at / 251);
}

static size_t answer(void *context, const char *request, size_t len,
		     bool is_all, struct buf *reply, bool *close)
{
	const char *end = memchr(request, '\n', len);

	assert_ptr_equal(context, &counters);
	if (!end && !is_all)
		return 0;
	answers++;
	for (size_t i = 0; i < answer_len; i++) {
		uint8_t byte = pattern(i);

		buf_add(reply, &byte, 1);
	}
	*close = answer_closes || !end;
	return end ? (size_t)(end - request) + 1 : len;
}

int responder_begin(void **state)
{
	static struct responder_server server;

	(void)state;
	server = (struct responder_server){answer, &counters, &counters};
	counters = (struct responder_metrics){0};
	now = 1000000000;
	answer_len = 10;
	answer_closes = false;
	answers = 0;
	r = responder_create((uint32_t)ADDRESS, &server);
	return r ? 0 : -1;
}

int responder_end(void **state)
{
	(void)state;
	responder_destroy(r);
	return 0;
}

/* ------------------------------------------------------------------- frames */

static void put16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static void put32(uint8_t *at, uint32_t v)
{
	put16(at, v >> 16);
	put16(at + 2, v);
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

void guest_sends_raw(const void *frame, size_t len)
{
	responder_take(r, frame, len, now);
}

size_t guest_frame(uint8_t *frame, const struct guest_segment *s)
{
	uint8_t *ip = frame + ETH, *tcp = ip + IP;
	size_t head = TCP + (s->mss ? 8 : 0);

	memset(frame, 0, ETH + IP + head);
	memcpy(frame, "\x06\x01\x23\x45\x67\x01\x02\x00\x00\x00\x00\x07\x08",
	       13);
	ip[0] = 0x45;
	put16(ip + 2, (uint32_t)(IP + head + s->len));
	ip[8] = 64;
	ip[9] = 6;
	put32(ip + 12, GUEST);
	put32(ip + 16, (uint32_t)ADDRESS);
	put16(tcp, s->port);
	put16(tcp + 2, s->to ? s->to : 80);
	put32(tcp + 4, s->seq);
	put32(tcp + 8, s->ack);
	tcp[12] = (uint8_t)(head << 2);
	tcp[13] = s->flags;
	put16(tcp + 14, s->window);
	if (s->mss) {
		put32(tcp + TCP, 0x01010101); /* four that mean nothing */
		put32(tcp + TCP + 4, 0x02040000u | s->mss);
	}
	if (s->len)
		memcpy(tcp + head, s->data, s->len);
	return ETH + IP + head + s->len;
}

void guest_sends(const struct guest_segment *s)
{
	uint8_t frame[RESPONDER_IN_MAX + 100];
	size_t len = guest_frame(frame, s);

	assert_true(responder_wants(r, frame, RESPONDER_HEAD));
	guest_sends_raw(frame, len);
}

/* Of the Internet: right if it is 0 with the checksum in it. */
static uint16_t checksum(uint32_t sum, const uint8_t *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint32_t pseudo(const uint8_t *ip, size_t len)
{
	return get16(ip + 12) + get16(ip + 14) + get16(ip + 16) +
	       get16(ip + 18) + 6u + (uint32_t)len;
}

bool guest_gets(struct guest_segment *s)
{
	static uint8_t frame[RESPONDER_OUT_MAX];
	uint8_t *ip = frame + ETH, *tcp = ip + IP;
	size_t len = responder_next(r, frame, now), head;

	if (!len)
		return false;
	assert_memory_equal(frame,
			    "\x02\x00\x00\x00\x00\x07\x06\x01\x23\x45\x67\x01"
			    "\x08",
			    13);
	assert_int_equal(ip[0], 0x45);
	assert_int_equal(get16(ip + 2), len - ETH);
	assert_int_equal(ip[9], 6);
	assert_int_equal(get32(ip + 12), (uint32_t)ADDRESS);
	assert_int_equal(get32(ip + 16), GUEST);
	assert_int_equal(checksum(0, ip, IP), 0);
	len -= ETH + IP;
	assert_int_equal(checksum(pseudo(ip, len), tcp, len), 0);
	head = tcp[12] >> 4 << 2;
	*s = (struct guest_segment){
		.port = get16(tcp + 2),
		.to = get16(tcp),
		.seq = get32(tcp + 4),
		.ack = get32(tcp + 8),
		.flags = tcp[13],
		.window = get16(tcp + 14),
		.data = tcp + head,
		.len = len - head,
	};
	if (head == TCP + 4) {
		assert_int_equal(get16(tcp + TCP), 0x0204);
		s->mss = get16(tcp + TCP + 2);
	} else {
		assert_int_equal(head, TCP);
	}
	return true;
}

void guest_gets_nothing(void)
{
	struct guest_segment s = {0};

	if (guest_gets(&s))
		fail_msg("it sends flags %x, %zu bytes", s.flags, s.len);
}

/* -------------------------------------------------------------- connections */

struct guest_conn guest_connects(uint16_t port)
{
	struct guest_conn c = {.port = port,
			       .window = 65535,
			       .mss = 1460,
			       .seq = (uint32_t)ISN};
	struct guest_segment s = {0};

	guest_sends(&(struct guest_segment){.port = port,
					    .seq = c.seq++,
					    .flags = SYN,
					    .window = c.window,
					    .mss = c.mss});
	assert_true(guest_gets(&s));
	assert_int_equal(s.flags, SYN | ACK);
	assert_int_equal(s.port, port);
	assert_int_equal(s.ack, c.seq);
	assert_int_equal(s.mss, 1460);
	assert_int_equal(s.window, RESPONDER_REQUEST_MAX);
	c.ack = s.seq + 1;
	guest_acks(&c);
	guest_gets_nothing();
	return c;
}

void guest_acks(struct guest_conn *c)
{
	guest_sends(&(struct guest_segment){.port = c->port,
					    .seq = c->seq,
					    .ack = c->ack,
					    .flags = ACK,
					    .window = c->window});
}

void guest_says(struct guest_conn *c, const char *text)
{
	guest_sends(&(struct guest_segment){.port = c->port,
					    .seq = c->seq,
					    .ack = c->ack,
					    .flags = ACK | PSH,
					    .window = c->window,
					    .data = text,
					    .len = strlen(text)});
	c->seq += (uint32_t)strlen(text);
}

size_t guest_reads(struct guest_conn *c, size_t at, uint8_t *flags)
{
	struct guest_segment s = {0};
	size_t begin = at;

	*flags = 0;
	while (guest_gets(&s)) {
		const uint8_t *data = s.data;

		assert_int_equal(s.port, c->port);
		assert_int_equal(s.ack, c->seq);
		assert_int_equal(s.seq, c->ack);
		for (size_t i = 0; i < s.len; i++)
			assert_int_equal(data[i], pattern(at + i));
		at += s.len;
		c->ack += (uint32_t)s.len + !!(s.flags & FIN);
		*flags |= s.flags;
	}
	guest_acks(c);
	return at - begin;
}
