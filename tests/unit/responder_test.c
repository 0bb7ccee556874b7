/* SPDX-License-Identifier: Apache-2.0 */
/* devices/mmds, as a guest's kernel meets it, and as a hostile guest does. */
#include <string.h>

#include "core/base/now.h"
#include "core/base/util.h"
#include "tests/unit/responder_guest.h"
#include "tests/unit/testing.h"

/* ---------------------------------------------------------------------- ARP */

static const uint8_t who_has[42] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0,   7,   8,   6,
	0,    1,    8,    0,    6,    4,    0, 1, 2, 0, 0,   0,   0,   7,
	10,   0,    0,    2,    0,    0,    0, 0, 0, 0, 169, 254, 169, 254};

static void arp_is_answered(void **state)
{
	static const uint8_t is_at[42] = {
		2,   0,   0, 0, 0, 7, 6, 1, 0x23, 0x45, 0x67, 1,    8, 6,   0,
		1,   8,   0, 6, 4, 0, 2, 6, 1,    0x23, 0x45, 0x67, 1, 169, 254,
		169, 254, 2, 0, 0, 0, 0, 7, 10,   0,    0,    2};
	uint8_t frame[RESPONDER_OUT_MAX];

	(void)state;
	assert_true(responder_wants(r, who_has, sizeof(who_has)));
	guest_sends_raw(who_has, sizeof(who_has));
	assert_int_equal(responder_next(r, frame, now), sizeof(is_at));
	assert_memory_equal(frame, is_at, sizeof(is_at));
	assert_int_equal(responder_next(r, frame, now), 0);
	assert_int_equal(counters.rx_accepted, 1);
	assert_int_equal(counters.tx_frames, 1);
	assert_int_equal(counters.tx_bytes, 42);
}

static void other_arp_is_taken_but_not_answered(void **state)
{
	uint8_t frame[60] = {0}, out[RESPONDER_OUT_MAX];

	(void)state;
	for (unsigned byte = 14; byte < 22; byte++) {
		memcpy(frame, who_has, sizeof(who_has));
		frame[byte] ^= 2;
		assert_true(responder_wants(r, frame, RESPONDER_HEAD));
		guest_sends_raw(frame, sizeof(frame));
		assert_int_equal(responder_next(r, out, now), 0);
	}
	assert_int_equal(counters.rx_bad_eth, 8);
}

static void only_its_own_address_is_wanted(void **state)
{
	const struct guest_segment syn = {.port = 1, .flags = SYN};
	uint8_t frame[100] = {0};

	(void)state;
	for (unsigned byte = 38; byte < 42; byte++) {
		memcpy(frame, who_has, sizeof(who_has));
		frame[byte] ^= 1;
		assert_false(responder_wants(r, frame, RESPONDER_HEAD));
	}
	for (unsigned byte = 30; byte < 34; byte++) {
		guest_frame(frame, &syn);
		assert_true(responder_wants(r, frame, RESPONDER_HEAD));
		frame[byte] ^= 1;
		assert_false(responder_wants(r, frame, RESPONDER_HEAD));
	}
	guest_frame(frame, &syn);
	frame[12] = 0x81; /* a VLAN */
	frame[13] = 0;
	assert_false(responder_wants(r, frame, RESPONDER_HEAD));
	guest_frame(frame, &syn);
	for (size_t len = 0; len < 34; len++)
		assert_false(responder_wants(r, frame, len));
}

/* ----------------------------------------------------------------- requests */

static void a_request_is_answered(void **state)
{
	struct guest_conn c = guest_connects(1000);
	uint8_t flags;

	(void)state;
	guest_says(&c, "hello\n");
	assert_int_equal(guest_reads(&c, 0, &flags), 10);
	assert_int_equal(flags, ACK | PSH);
	guest_gets_nothing();
	/* And again, on the same connection. */
	guest_says(&c, "hello\n");
	assert_int_equal(guest_reads(&c, 0, &flags), 10);
	guest_gets_nothing();
	assert_int_equal(answers, 2);
	assert_int_equal(counters.connections_created, 1);
	assert_int_equal(responder_deadline(r), 0);
}

static void a_request_may_come_a_byte_at_a_time(void **state)
{
	struct guest_conn c = guest_connects(1000);
	uint8_t flags;

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(guest_reads(&c, 0, &flags), 0);
		assert_int_equal(answers, 0);
		guest_says(&c, (const char[2]){"hello\n"[i], 0});
	}
	assert_int_equal(guest_reads(&c, 0, &flags), 10);
}

static void requests_in_a_row_are_answered_one_at_a_time(void **state)
{
	struct guest_conn c = guest_connects(1000);
	struct guest_segment s;
	uint8_t flags;

	(void)state;
	guest_says(&c, "one\ntwo\nthr");
	assert_int_equal(answers, 1);
	assert_true(guest_gets(&s));
	assert_int_equal(s.len, 10);
	guest_gets_nothing();
	c.ack += 10;
	guest_acks(&c);
	assert_int_equal(answers, 2);
	assert_int_equal(guest_reads(&c, 0, &flags), 10);
	assert_int_equal(answers, 2);
	guest_says(&c, "ee\n");
	assert_int_equal(guest_reads(&c, 0, &flags), 10);
}

static void a_request_waits_until_the_last_reply_has_arrived(void **state)
{
	struct guest_conn c = guest_connects(1000);
	struct guest_segment s;
	uint8_t flags;

	(void)state;
	guest_says(&c, "one\n");
	assert_true(guest_gets(&s));
	assert_int_equal(s.len, 10);
	guest_says(&c, "two\n"); /* acknowledges nothing new */
	assert_int_equal(answers, 1);
	assert_true(guest_gets(&s));
	assert_int_equal(s.len, 0);
	c.ack += 10;
	guest_acks(&c);
	assert_int_equal(answers, 2);
	assert_int_equal(guest_reads(&c, 0, &flags), 10);
}

static void
a_request_without_an_end_is_answered_when_there_is_no_room(void **state)
{
	static char text[RESPONDER_REQUEST_MAX + 41];
	struct guest_conn c = guest_connects(1000);
	struct guest_segment s;
	uint8_t flags;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[RESPONDER_REQUEST_MAX - 1] = '\0';
	guest_says(&c, text);
	assert_int_equal(answers, 0);
	assert_true(guest_gets(&s));
	assert_int_equal(s.window, 1);
	text[RESPONDER_REQUEST_MAX - 1] = 'x';
	/* Of the 41 bytes only one is taken. */
	guest_says(&c, text + RESPONDER_REQUEST_MAX - 1);
	assert_int_equal(answers, 1);
	c.seq -= 40;
	assert_int_equal(guest_reads(&c, 0, &flags), 10);
	assert_int_equal(flags, ACK | PSH | FIN);
}

/* ----------------------------------------------------------------- the ends */

static void the_guest_closes_first(void **state)
{
	struct guest_conn c = guest_connects(1000);
	struct guest_segment s;

	(void)state;
	guest_sends(&(struct guest_segment){.port = c.port,
					    .seq = c.seq,
					    .ack = c.ack,
					    .flags = FIN | ACK});
	assert_true(guest_gets(&s));
	assert_int_equal(s.flags, FIN | ACK);
	assert_int_equal(s.ack, c.seq + 1);
	c.seq++;
	c.ack++;
	guest_acks(&c);
	guest_gets_nothing();
	assert_int_equal(counters.connections_destroyed, 1);
	assert_int_equal(responder_deadline(r), 0);
}

static void it_closes_first_if_the_answer_says_so(void **state)
{
	struct guest_conn c = guest_connects(1000);
	struct guest_segment s;
	uint8_t flags;

	(void)state;
	answer_closes = true;
	guest_says(&c, "hello\n");
	assert_int_equal(guest_reads(&c, 0, &flags), 10);
	assert_int_equal(flags, ACK | PSH | FIN);
	assert_int_equal(counters.connections_destroyed, 0);
	guest_says(&c, "this is not looked at\n");
	assert_true(guest_gets(&s));
	assert_int_equal(s.ack, c.seq);
	guest_sends(&(struct guest_segment){.port = c.port,
					    .seq = c.seq,
					    .ack = c.ack,
					    .flags = FIN | ACK});
	assert_true(guest_gets(&s));
	assert_int_equal(s.flags, ACK);
	assert_int_equal(s.ack, c.seq + 1);
	assert_int_equal(counters.connections_destroyed, 1);
	assert_int_equal(answers, 1);
}

static void a_request_with_a_fin_is_answered(void **state)
{
	struct guest_conn c = guest_connects(1000);
	uint8_t flags;

	(void)state;
	guest_sends(&(struct guest_segment){.port = c.port,
					    .seq = c.seq,
					    .ack = c.ack,
					    .flags = FIN | ACK,
					    .window = c.window,
					    .data = "hello\n",
					    .len = 6});
	c.seq += 7;
	assert_int_equal(guest_reads(&c, 0, &flags), 10);
	assert_false(flags & FIN);
	assert_int_equal(guest_reads(&c, 10, &flags), 0);
	assert_true(flags & FIN);
	assert_int_equal(counters.connections_destroyed, 1);
}

static void only_the_expected_rst_ends_a_connection(void **state)
{
	struct guest_conn c = guest_connects(1000);

	(void)state;
	guest_sends(&(struct guest_segment){
		.port = c.port, .seq = c.seq + 1, .flags = RST});
	assert_int_equal(counters.connections_destroyed, 0);
	guest_sends(&(struct guest_segment){
		.port = c.port, .seq = c.seq, .flags = RST});
	assert_int_equal(counters.connections_destroyed, 1);
	guest_gets_nothing();
}

static void what_belongs_to_no_connection_is_reset(void **state)
{
	static const struct guest_segment cases[][2] = {
		{{.port = 5, .to = 81, .seq = 9, .flags = SYN, .mss = 1460},
		 {.flags = RST | ACK, .ack = 10}},
		{{.port = 5, .seq = 9, .ack = 77, .flags = ACK},
		 {.flags = RST, .seq = 77}},
		{{.port = 5, .seq = 9, .flags = FIN, .data = "ab", .len = 2},
		 {.flags = RST | ACK, .ack = 12}},
		{{.port = 5, .seq = 9, .ack = 3, .flags = SYN | ACK},
		 {.flags = RST, .seq = 3}},
	};
	struct guest_segment s;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		guest_sends(&cases[i][0]);
		assert_true(guest_gets(&s));
		assert_int_equal(s.flags, cases[i][1].flags);
		assert_int_equal(s.seq, cases[i][1].seq);
		assert_int_equal(s.ack, cases[i][1].ack);
		assert_int_equal(s.port, 5);
		assert_int_equal(s.to, cases[i][0].to ? cases[i][0].to : 80);
	}
	guest_sends(&(struct guest_segment){.port = 5, .flags = RST});
	guest_gets_nothing();
	assert_int_equal(counters.connections_created, 0);
}

static void resets_that_wait_are_bounded(void **state)
{
	struct guest_segment s;
	unsigned count = 0;

	(void)state;
	for (uint16_t port = 1; port < 1000; port++)
		guest_sends(
			&(struct guest_segment){.port = port, .flags = ACK});
	while (guest_gets(&s))
		count++;
	assert_int_equal(count, 8);
}

static void the_silent_connection_makes_room(void **state)
{
	struct guest_conn c[RESPONDER_CONNECTIONS + 1];
	struct guest_segment s;
	uint8_t flags;

	(void)state;
	for (unsigned i = 0; i < RESPONDER_CONNECTIONS; i++) {
		now += NS_PER_S;
		c[i] = guest_connects((uint16_t)(1000 + i));
	}
	now += NS_PER_S;
	guest_says(&c[0], "hello\n");
	assert_int_equal(guest_reads(&c[0], 0, &flags), 10);
	guest_sends(&(struct guest_segment){
		.port = 2000, .flags = SYN, .window = 1000});
	assert_true(guest_gets(&s));
	assert_int_equal(s.flags, RST | ACK);
	assert_int_equal(s.port, 1001);
	assert_int_equal(s.seq, c[1].ack);
	assert_true(guest_gets(&s));
	assert_int_equal(s.flags, SYN | ACK);
	assert_int_equal(s.port, 2000);
	assert_int_equal(counters.connections_created,
			 RESPONDER_CONNECTIONS + 1);
	assert_int_equal(counters.connections_destroyed, 1);
}

#define TEST_OF(test) \
	cmocka_unit_test_setup_teardown(test, responder_begin, responder_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_OF(arp_is_answered),
		TEST_OF(other_arp_is_taken_but_not_answered),
		TEST_OF(only_its_own_address_is_wanted),
		TEST_OF(a_request_is_answered),
		TEST_OF(a_request_may_come_a_byte_at_a_time),
		TEST_OF(requests_in_a_row_are_answered_one_at_a_time),
		TEST_OF(a_request_waits_until_the_last_reply_has_arrived),
		TEST_OF(a_request_without_an_end_is_answered_when_there_is_no_room),
		TEST_OF(the_guest_closes_first),
		TEST_OF(it_closes_first_if_the_answer_says_so),
		TEST_OF(a_request_with_a_fin_is_answered),
		TEST_OF(only_the_expected_rst_ends_a_connection),
		TEST_OF(what_belongs_to_no_connection_is_reset),
		TEST_OF(resets_that_wait_are_bounded),
		TEST_OF(the_silent_connection_makes_room),
	};

	return cmocka_run_group_tests_name("responder", tests, NULL, NULL);
}
