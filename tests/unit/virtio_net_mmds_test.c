/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata service's frames: devices/virtio/net/net_mmds.c. */
#include <poll.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/metrics.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "tests/unit/responder_guest.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_net_guest.h"

static const struct responder_server *server;

static size_t answer(void *context, const char *request, size_t len,
		     bool is_all, struct buf *reply, bool *close)
{
	(void)context;
	(void)request;
	(void)is_all;
	*close = false;
	buf_text(reply, "answer");
	return len;
}

static const struct responder_server texts = {answer, NULL, &counters};

static void start_mmds(uint64_t features)
{
	struct err e;

	server = &texts;
	counters = (struct responder_metrics){0};
	create();
	assert_ok(net_use_mmds(d.dev, (uint32_t)ADDRESS, server, &e), e);
	driver_start(&d, features, SIZE);
}

/* In buffers that begin in the middle of each header. */
static void send_segment(const struct guest_segment *s)
{
	size_t len = NET_HEADER + guest_frame(frame + NET_HEADER, s);

	transmit_in((unsigned)len, 20, 10);
	driver_kick(&d, NET_TX);
	driver_run(&d);
	assert_true(driver_used(&d, NET_TX, NULL, NULL));
	assert_int_equal(host_got(), -1);
}

/* The TCP header of the frame that was received at @at. */
static const uint8_t *tcp_at(gpa_t at)
{
	return (uint8_t *)driver_at(&d, at) + NET_HEADER + 14 + 20;
}

static void connect_and_ask(uint32_t window)
{
	gpa_t at = offer(1526);
	uint32_t isn;

	kick_rx();
	send_segment(&(struct guest_segment){
		.port = 9, .flags = SYN, .window = 9000, .mss = 1460});
	assert_int_equal(received(), NET_HEADER + 14 + 20 + 24);
	assert_int_equal(tcp_at(at)[13], SYN | ACK);
	isn = (uint32_t)tcp_at(at)[4] << 24 | (uint32_t)tcp_at(at)[5] << 16 |
	      (uint32_t)tcp_at(at)[6] << 8 | tcp_at(at)[7];
	send_segment(&(struct guest_segment){.port = 9,
					     .seq = 1,
					     .ack = isn + 1,
					     .flags = ACK,
					     .window = (uint16_t)window,
					     .data = "ask",
					     .len = 3});
}

static void frames_for_it_do_not_reach_the_tap(void **state)
{
	gpa_t at;

	(void)state;
	start_mmds(MRG);
	connect_and_ask(9000);
	at = offer(1526);
	kick_rx();
	assert_int_equal(received(), NET_HEADER + 14 + 20 + 20 + 6);
	assert_memory_equal(tcp_at(at) + 20, "answer", 6);
	assert_int_equal(num_buffers(at), 1);
	assert_int_equal(metrics()->tx_packets_count, 0);
	assert_int_equal(counters.rx_accepted, 2);
	assert_int_equal(counters.tx_frames, 2);
}

static void all_others_reach_the_tap(void **state)
{
	const struct guest_segment s = {.port = 1, .flags = SYN};
	gpa_t at;

	(void)state;
	start_mmds(MRG);
	guest_frame(frame + NET_HEADER, &s);
	frame[NET_HEADER + 33] ^= 1;
	transmit(100);
	assert_sent(100);
	transmit(NET_HEADER + 14); /* too short for an address */
	assert_sent(NET_HEADER + 14);
	assert_int_equal(counters.rx_accepted, 0);
	at = offer(1526);
	kick_rx();
	host_sends(100);
	driver_run(&d);
	assert_int_equal(received(), 100);
	assert_memory_equal((uint8_t *)driver_at(&d, at) + NET_HEADER,
			    frame + NET_HEADER, 100 - NET_HEADER);
}

static void without_it_its_address_is_one_of_many(void **state)
{
	const struct guest_segment s = {.port = 1, .flags = SYN};
	size_t len;

	(void)state;
	start(MRG);
	len = NET_HEADER + guest_frame(frame + NET_HEADER, &s);
	transmit((unsigned)len);
	assert_sent((unsigned)len);
}

static void a_frame_that_is_too_long_is_dropped(void **state)
{
	const struct guest_segment s = {.port = 1, .flags = SYN};

	(void)state;
	start_mmds(MRG);
	guest_frame(frame + NET_HEADER, &s);
	transmit(65000);
	assert_int_equal(host_got(), -1);
	assert_int_equal(counters.rx_accepted_err, 1);
}

static void answers_and_the_taps_frames_share_the_buffers(void **state)
{
	(void)state;
	start_mmds(MRG);
	connect_and_ask(9000);
	host_sends(200);
	offer(1526);
	offer(1526);
	kick_rx();
	assert_int_equal(received(), NET_HEADER + 14 + 20 + 20 + 6);
	assert_int_equal(received(), 200);
}

static void buffers_of_any_size_will_do(void **state)
{
	uint8_t got[14 + 20 + 20 + 6];
	gpa_t at[20];

	(void)state;
	start_mmds(MRG);
	connect_and_ask(9000);
	for (unsigned i = 0; i < 5; i++)
		at[i] = offer(NET_HEADER + 3);
	kick_rx();
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(received(), i < 4 ? 15 : 72 - 60);
	assert_int_equal(num_buffers(at[0]), 5);
	memcpy(got, (uint8_t *)driver_at(&d, at[4]) + 6, 6);
	assert_memory_equal(got, "answer", 6);
}

static void it_is_sent_again_when_the_guest_is_silent(void **state)
{
	struct pollfd timer = {.fd = d.loop.epoll_fd, .events = POLLIN};

	(void)state;
	start_mmds(MRG);
	connect_and_ask(9000);
	offer(1526);
	kick_rx();
	assert_int_equal(received(), NET_HEADER + 14 + 20 + 20 + 6);
	offer(1526);
	kick_rx();
	assert_none_received();
	assert_int_equal(poll(&timer, 1, 2000), 1);
	driver_run(&d);
	assert_int_equal(received(), NET_HEADER + 14 + 20 + 20 + 6);
}

static void a_pause_does_not_lose_the_timer(void **state)
{
	struct pollfd timer = {.fd = d.loop.epoll_fd, .events = POLLIN};

	(void)state;
	start_mmds(MRG);
	connect_and_ask(9000);
	offer(1526);
	kick_rx();
	assert_int_equal(received(), NET_HEADER + 14 + 20 + 20 + 6);
	offer(1526);
	kick_rx();
	assert_true(virtio_quiesce(d.dev, 0));
	assert_int_equal(poll(&timer, 1, 2000), 1);
	driver_run(&d);
	assert_none_received();
	virtio_resume(d.dev);
	assert_int_equal(poll(&timer, 1, 2000), 1);
	driver_run(&d);
	assert_int_equal(received(), NET_HEADER + 14 + 20 + 20 + 6);
}

static void rate_limits_are_not_for_it(void **state)
{
	(void)state;
	config.tx_limiter.ops.size = config.rx_limiter.ops.size = 1;
	config.tx_limiter.ops.refill_time_ms = 100000;
	config.rx_limiter.ops.refill_time_ms = 100000;
	start_mmds(MRG);
	connect_and_ask(9000);
	offer(1526);
	kick_rx();
	assert_int_equal(received(), NET_HEADER + 14 + 20 + 20 + 6);
	frame[NET_HEADER + 30] ^= 1; /* to another address */
	transmit(100);
	assert_sent(100);
	transmit(100);
	assert_int_equal(host_got(), -1);
}

#define NET_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(frames_for_it_do_not_reach_the_tap),
		NET_TEST(all_others_reach_the_tap),
		NET_TEST(without_it_its_address_is_one_of_many),
		NET_TEST(a_frame_that_is_too_long_is_dropped),
		NET_TEST(answers_and_the_taps_frames_share_the_buffers),
		NET_TEST(buffers_of_any_size_will_do),
		NET_TEST(it_is_sent_again_when_the_guest_is_silent),
		NET_TEST(a_pause_does_not_lose_the_timer),
		NET_TEST(rate_limits_are_not_for_it),
	};

	return cmocka_run_group_tests_name("virtio_net_mmds", tests, NULL,
					   NULL);
}
