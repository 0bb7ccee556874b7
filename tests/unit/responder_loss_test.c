/* SPDX-License-Identifier: Apache-2.0 */
/* devices/mmds: long replies, small windows, and segments that are lost. */
#include <string.h>

#include "core/base/now.h"
#include "core/base/util.h"
#include "tests/unit/responder_guest.h"
#include "tests/unit/testing.h"

static void a_long_reply_comes_in_segments(void **state)
{
	struct guest_conn c = guest_connects(1000);
	uint8_t flags;

	(void)state;
	answer_len = 200000;
	guest_says(&c, "hello\n");
	/* As much as the window has room for, each time. */
	assert_int_equal(guest_reads(&c, 0, &flags), 65535);
	assert_int_equal(guest_reads(&c, 65535, &flags), 65535);
	assert_int_equal(guest_reads(&c, 131070, &flags), 65535);
	assert_int_equal(guest_reads(&c, 196605, &flags), 3395);
	guest_gets_nothing();
	assert_int_equal(responder_deadline(r), 0);
}

static void segments_are_as_large_as_the_guest_says(void **state)
{
	static const struct {
		uint16_t said;
		size_t len;
	} cases[] = {{0, 536}, {1, 64}, {500, 500}, {9000, 1460}};

	(void)state;
	answer_len = 2000;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guest_conn c = {.port = (uint16_t)(1 + i),
				       .window = 60000};
		struct guest_segment s;

		guest_sends(&(struct guest_segment){
			.port = c.port, .flags = SYN, .mss = cases[i].said});
		assert_true(guest_gets(&s));
		c.seq = 1;
		c.ack = s.seq + 1;
		guest_says(&c, "hello\n");
		assert_true(guest_gets(&s));
		assert_int_equal(s.len, cases[i].len);
		while (guest_gets(&s))
			c.ack = s.seq + (uint32_t)s.len;
		guest_acks(&c);
	}
}

static void what_is_lost_is_sent_again(void **state)
{
	struct guest_conn c = guest_connects(1000);
	struct guest_segment s;
	uint8_t flags;

	(void)state;
	answer_len = 5000;
	guest_says(&c, "hello\n");
	assert_int_equal(responder_deadline(r), 0);
	while (guest_gets(&s))
		;
	assert_int_equal(responder_deadline(r), now + NS_PER_S / 5);
	now += NS_PER_S / 5 - 1;
	responder_tick(r, now);
	guest_gets_nothing();
	now++;
	responder_tick(r, now);
	/* Of these the guest gets only the first. */
	assert_true(guest_gets(&s));
	assert_int_equal(s.seq, c.ack);
	while (guest_gets(&s))
		;
	c.ack += 1460;
	guest_acks(&c);
	guest_gets_nothing();
	assert_int_equal(responder_deadline(r), now + NS_PER_S / 5);
	now += NS_PER_S / 5;
	responder_tick(r, now);
	/* An acknowledgement of the first round, while the second is sent. */
	assert_true(guest_gets(&s));
	c.ack += 2 * 1460;
	guest_acks(&c);
	assert_int_equal(guest_reads(&c, 3 * 1460, &flags), 620);
	guest_gets_nothing();
	assert_int_equal(responder_deadline(r), 0);
}

static void a_lost_syn_or_fin_is_sent_again(void **state)
{
	struct guest_conn c = {.port = 7, .seq = 1, .window = 1000};
	struct guest_segment s;
	const struct guest_segment syn = {
		.port = 7, .flags = SYN, .window = 1000};
	uint8_t flags;

	(void)state;
	guest_sends(&syn);
	assert_true(guest_gets(&s));
	c.ack = s.seq + 1;
	guest_gets_nothing();
	now = responder_deadline(r);
	responder_tick(r, now);
	assert_true(guest_gets(&s));
	assert_int_equal(s.flags, SYN | ACK);
	/* The guest asks again itself. */
	guest_sends(&syn);
	assert_true(guest_gets(&s));
	assert_int_equal(s.flags, SYN | ACK);
	assert_int_equal(s.seq + 1, c.ack);
	answer_closes = true;
	guest_says(&c, "hello\n");
	while (guest_gets(&s))
		;
	now = responder_deadline(r);
	responder_tick(r, now);
	assert_int_equal(guest_reads(&c, 0, &flags), 10);
	assert_true(flags & FIN);
	assert_int_equal(responder_deadline(r), 0);
}

static void it_gives_up_in_the_end(void **state)
{
	struct guest_conn c = guest_connects(1000);
	struct guest_segment s;
	uint64_t began;

	(void)state;
	guest_says(&c, "hello\n");
	while (guest_gets(&s))
		;
	began = now;
	for (unsigned i = 0; responder_deadline(r); i++) {
		assert_in_range(i, 0, 8);
		now = responder_deadline(r);
		responder_tick(r, now);
		assert_true(guest_gets(&s));
		guest_gets_nothing();
	}
	assert_int_equal(s.flags, RST | ACK);
	assert_int_equal((now - began) / NS_PER_S, 102);
	assert_int_equal(counters.connections_destroyed, 1);
	assert_int_equal(counters.tx_errors, 1);
}

static void a_closed_window_is_probed(void **state)
{
	struct guest_conn c = guest_connects(1000);
	struct guest_segment s;
	uint8_t flags;

	(void)state;
	answer_len = 100;
	c.window = 0;
	guest_says(&c, "hello\n");
	assert_true(guest_gets(&s));
	assert_int_equal(s.len, 0); /* it acknowledges the request */
	guest_gets_nothing();
	now = responder_deadline(r);
	responder_tick(r, now);
	assert_int_equal(guest_reads(&c, 0, &flags), 1);
	guest_gets_nothing();
	c.window = 1000;
	guest_acks(&c);
	assert_int_equal(guest_reads(&c, 1, &flags), 99);
}

static void data_from_the_future_is_asked_for_again(void **state)
{
	struct guest_conn c = guest_connects(1000);
	struct guest_segment s;
	uint8_t flags;

	(void)state;
	c.seq += 3;
	guest_says(&c, "lo\n");
	c.seq -= 6;
	assert_true(guest_gets(&s));
	assert_int_equal(s.ack, c.seq);
	assert_int_equal(answers, 0);
	guest_says(&c, "hel");
	assert_int_equal(guest_reads(&c, 0, &flags), 0);
	/* Half of it is old. */
	c.seq -= 2;
	guest_says(&c, "ello\n");
	assert_int_equal(answers, 1);
	assert_int_equal(guest_reads(&c, 0, &flags), 10);
	/* All of it is. */
	c.seq -= 5;
	guest_says(&c, "ello\n");
	assert_true(guest_gets(&s));
	assert_int_equal(s.ack, c.seq);
	assert_int_equal(answers, 1);
}

static void a_keep_alive_is_answered(void **state)
{
	struct guest_conn c = guest_connects(1000);
	struct guest_segment s;

	(void)state;
	c.seq--;
	guest_acks(&c);
	assert_true(guest_gets(&s));
	assert_int_equal(s.flags, ACK);
	assert_int_equal(s.ack, c.seq + 1);
	guest_gets_nothing();
}

static void what_was_not_sent_cannot_be_acknowledged(void **state)
{
	struct guest_conn c = guest_connects(1000);
	struct guest_segment s;

	(void)state;
	c.ack += 5;
	guest_says(&c, "hello\n");
	assert_int_equal(answers, 0);
	assert_true(guest_gets(&s));
	assert_int_equal(s.ack, c.seq - 6);
	assert_int_equal(s.seq, c.ack - 5);
}

/* ------------------------------------------------------------------ garbage */

static void bad_headers_are_counted(void **state)
{
	static const struct {
		unsigned at;
		uint8_t value;
		bool unusual;
	} cases[] = {
		{14, 0x65, false}, /* IPv6 */
		{14, 0x44, false}, /* 16 bytes of header */
		{14, 0x4f, false}, /* more header than packet */
		{16, 0xff, false}, /* longer than the frame */
		{17, 19, false},   /* shorter than its header */
		{20, 0x20, false}, /* a first fragment */
		{21, 1, false},    /* a later one */
		{23, 17, true},    /* UDP */
		{23, 1, true},     /* ICMP */
		{46, 0x40, false}, /* 16 bytes of TCP header */
		{46, 0xf0, false}, /* more TCP header than packet */
	};
	uint8_t frame[100];
	unsigned unusual = 0;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = guest_frame(
			frame,
			&(struct guest_segment){.port = 1, .flags = SYN});

		frame[cases[i].at] = cases[i].value;
		guest_sends_raw(frame, len);
		guest_gets_nothing();
		unusual += cases[i].unusual;
		assert_int_equal(counters.rx_accepted_unusual, unusual);
		assert_int_equal(counters.rx_accepted_err, i + 1 - unusual);
	}
	assert_int_equal(counters.rx_count, 0);
}

static void padding_is_no_data(void **state)
{
	struct guest_conn c = guest_connects(1000);
	const struct guest_segment s = {.port = c.port,
					.seq = c.seq,
					.ack = c.ack,
					.flags = ACK,
					.data = "x",
					.len = 1};
	uint8_t frame[200] = {0};

	(void)state;
	guest_frame(frame, &s);
	memcpy(frame + 55, "\n\n\n\n\n", 5);
	guest_sends_raw(frame, 60);
	assert_int_equal(answers, 0);
}

static void a_flood_of_syns_is_bounded(void **state)
{
	struct guest_conn c = {.port = 33333, .seq = 1, .window = 100};
	struct guest_segment s;
	uint8_t flags;

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		now++;
		guest_sends(&(struct guest_segment){
			.port = (uint16_t)i, .flags = SYN, .seq = i});
	}
	assert_int_equal(counters.connections_created -
				 counters.connections_destroyed,
			 RESPONDER_CONNECTIONS);
	while (guest_gets(&s))
		;
	now++;
	guest_sends(&(struct guest_segment){.port = c.port, .flags = SYN});
	assert_true(guest_gets(&s));
	assert_int_equal(s.flags, RST | ACK); /* makes room */
	assert_true(guest_gets(&s));
	c.ack = s.seq + 1;
	guest_says(&c, "hello\n");
	assert_int_equal(guest_reads(&c, 0, &flags), 10);
}

#define TEST_OF(test) \
	cmocka_unit_test_setup_teardown(test, responder_begin, responder_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_OF(a_long_reply_comes_in_segments),
		TEST_OF(segments_are_as_large_as_the_guest_says),
		TEST_OF(what_is_lost_is_sent_again),
		TEST_OF(a_lost_syn_or_fin_is_sent_again),
		TEST_OF(it_gives_up_in_the_end),
		TEST_OF(a_closed_window_is_probed),
		TEST_OF(data_from_the_future_is_asked_for_again),
		TEST_OF(a_keep_alive_is_answered),
		TEST_OF(what_was_not_sent_cannot_be_acknowledged),
		TEST_OF(bad_headers_are_counted),
		TEST_OF(padding_is_no_data),
		TEST_OF(a_flood_of_syns_is_bounded),
	};

	return cmocka_run_group_tests_name("responder_loss", tests, NULL, NULL);
}
