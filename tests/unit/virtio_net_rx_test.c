/* SPDX-License-Identifier: Apache-2.0 */
/* Network, to the guest: devices/virtio/net/net_rx.c. */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/util.h"
#include "snapshot/codec.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_net_guest.h"

/* Frame bytes that are in guest memory at @at, from @from on. */
static void assert_bytes(gpa_t at, unsigned from, unsigned len)
{
	assert_memory_equal(driver_at(&d, at), frame + from, len);
}

static void frame_arrives(void **state)
{
	gpa_t at;

	(void)state;
	start_all();
	at = offer(2000);
	kick_rx();
	driver_interrupts(&d);
	host_sends(1514);
	driver_run(&d);
	assert_int_equal(received(), 1514);
	assert_int_equal(num_buffers(at), 1);
	assert_bytes(at + NET_HEADER, NET_HEADER, 1514 - NET_HEADER);
	assert_int_equal(*(uint8_t *)driver_at(&d, at + 1514), 0xee);
	assert_int_equal(metrics()->rx_packets_count, 1);
	assert_int_equal(metrics()->rx_bytes_count, 1514);
	assert_int_equal(driver_interrupts(&d), 1);
}

static void frame_spans_mergeable_buffers(void **state)
{
	gpa_t at[4];

	(void)state;
	start_all();
	for (unsigned i = 0; i < 4; i++)
		at[i] = offer(1000);
	kick_rx();
	host_sends(2500);
	driver_run(&d);
	assert_int_equal(received(), 1000);
	assert_int_equal(received(), 1000);
	assert_int_equal(received(), 500);
	assert_none_received();
	assert_int_equal(num_buffers(at[0]), 3);
	assert_bytes(at[0] + NET_HEADER, NET_HEADER, 1000 - NET_HEADER);
	assert_bytes(at[1], 1000, 1000);
	assert_bytes(at[2], 2000, 500);
	host_sends(900);
	driver_run(&d);
	assert_int_equal(received(), 900);
	assert_int_equal(num_buffers(at[3]), 1);
}

static void frame_as_large_as_its_buffers(void **state)
{
	(void)state;
	start_all();
	offer(1000);
	offer(1000);
	offer(1000);
	kick_rx();
	host_sends(2000);
	driver_run(&d);
	assert_int_equal(received(), 1000);
	assert_int_equal(received(), 1000);
	assert_none_received();
}

static void buffer_of_several_parts(void **state)
{
	gpa_t at = driver_alloc(&d, 4096);
	struct driver_buffer three[] = {
		{at, 5, true}, {at + 100, 10, true}, {at + 200, 2000, true}};

	(void)state;
	start(0);
	driver_add(&d, NET_RX, three, 3);
	kick_rx();
	host_sends(1000);
	driver_run(&d);
	assert_int_equal(received(), 1000);
	assert_bytes(at + 107, NET_HEADER + 0, 3);
	assert_bytes(at + 200, 15, 985);
	/* num_buffers, across a border */
	assert_int_equal(*(uint8_t *)driver_at(&d, at + 105), 1);
}

static void rest_of_a_frame_waits_for_buffers(void **state)
{
	gpa_t at[2];

	(void)state;
	start_all();
	at[0] = offer(1000);
	kick_rx();
	host_sends(1500);
	host_sends(600);
	driver_run(&d);
	assert_none_received();
	assert_int_equal(driver_poll(&d, 0), 0); /* no busy loop */
	at[1] = offer(1000);
	offer(1000);
	kick_rx();
	assert_int_equal(received(), 1000);
	assert_int_equal(received(), 500);
	assert_int_equal(received(), 600);
	assert_int_equal(num_buffers(at[0]), 2);
	assert_bytes(at[0] + NET_HEADER, NET_HEADER, 1000 - NET_HEADER);
	assert_bytes(at[1], 1000, 500);
	assert_int_equal(metrics()->rx_partial_writes, 1);
	assert_int_equal(metrics()->rx_fails, 0);
}

static void largest_frame_arrives(void **state)
{
	(void)state;
	start_all();
	for (unsigned i = 0; i < SIZE; i++)
		offer(4096);
	kick_rx();
	host_sends(65536);
	driver_run(&d);
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(received(), 4096);
}

static void frame_that_no_ring_holds_is_dropped(void **state)
{
	(void)state;
	start_all();
	for (unsigned i = 0; i < SIZE; i++)
		offer(100);
	kick_rx();
	host_sends(3000);
	host_sends(90);
	driver_run(&d);
	assert_int_equal(received(), 90);
	assert_none_received();
	assert_int_equal(metrics()->rx_fails, 1);
}

static void without_merging_each_frame_has_its_buffer(void **state)
{
	gpa_t at[2];

	(void)state;
	start(BIT(VIRTIO_NET_F_GUEST_CSUM));
	at[0] = offer(1526);
	at[1] = offer(1526);
	kick_rx();
	host_sends(1527); /* too long */
	host_sends(1526);
	host_sends(60);
	driver_run(&d);
	assert_int_equal(received(), 1526);
	assert_int_equal(received(), 60);
	assert_int_equal(num_buffers(at[0]), 1);
	assert_int_equal(num_buffers(at[1]), 1);
	assert_bytes(at[0] + NET_HEADER, NET_HEADER, 1526 - NET_HEADER);
	assert_int_equal(metrics()->rx_fails, 1);
}

static void impossible_frames_are_dropped(void **state)
{
	static const unsigned wrong[] = {1, 12, 25, 65563, 69000};

	(void)state;
	start_all();
	offer(70000);
	kick_rx();
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++)
		host_sends(wrong[i]);
	driver_run(&d);
	assert_none_received();
	assert_int_equal(metrics()->rx_fails, ARRAY_SIZE(wrong));
	host_sends(26);
	driver_run(&d);
	assert_int_equal(received(), 26);
}

static void what_was_not_negotiated_does_not_arrive(void **state)
{
	(void)state;
	start(MRG);
	offer(2000);
	kick_rx();
	header()->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	host_sends(100);
	header()->flags = 0;
	header()->gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	host_sends(100);
	header()->gso_type = 77;
	host_sends(100);
	driver_run(&d);
	assert_none_received();
	assert_int_equal(metrics()->rx_fails, 3);
}

static void tap_is_not_read_without_buffers(void **state)
{
	(void)state;
	start_all();
	driver_run(&d);
	host_sends(100);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(driver_poll(&d, 0), 0);
	assert_int_equal(metrics()->rx_tap_event_count, 0);
	offer(200);
	kick_rx();
	assert_int_equal(received(), 100);
	host_sends(100);
	driver_run(&d);
	assert_none_received();
	assert_int_equal(driver_poll(&d, 0), 0);
	assert_true(metrics()->no_rx_avail_buffer > 0);
}

static void dead_tap_is_no_busy_loop(void **state)
{
	(void)state;
	start_all();
	offer(200);
	kick_rx();
	close(host);
	host = -1;
	driver_run(&d);
	assert_int_equal(metrics()->tap_read_fails, 1);
	assert_int_equal(metrics()->tap_gone_count, 1);
	assert_int_equal(driver_poll(&d, 0), 0);
	/* It is not asked again. */
	kick_rx();
	assert_int_equal(metrics()->tap_read_fails, 1);
	assert_int_equal(metrics()->tap_gone_count, 1);
	assert_int_equal(driver_poll(&d, 0), 0);
}

static void flood_leaves_others_their_turn(void **state)
{
	(void)state;
	create();
	driver_start(&d, d.dev->offered, 256);
	for (unsigned i = 0; i < 200; i++)
		offer(128);
	kick_rx();
	for (unsigned i = 0; i < 100; i++)
		host_sends(100);
	driver_poll(&d, 0);
	assert_int_equal(metrics()->rx_packets_count, 64);
	driver_run(&d);
	assert_int_equal(metrics()->rx_packets_count, 100);
}

static void bad_buffer_breaks_the_queue(struct driver_buffer *buffers,
					unsigned count)
{
	start_all();
	offer(500);
	driver_add(&d, NET_RX, buffers, count);
	kick_rx();
	assert_true(driver_get(&d, VIRTIO_MMIO_STATUS) &
		    VIRTIO_CONFIG_S_NEEDS_RESET);
	host_sends(100);
	driver_run(&d);
	assert_none_received();
	/* A reset revives it. */
	driver_start(&d, d.dev->offered, SIZE);
	offer(500);
	kick_rx();
	assert_int_equal(received(), 100);
}

static void buffer_to_read_breaks_the_queue(void **state)
{
	struct driver_buffer out = {DRIVER_DATA, 1000, false};

	(void)state;
	bad_buffer_breaks_the_queue(&out, 1);
}

static void buffer_without_room_for_a_header_breaks_the_queue(void **state)
{
	struct driver_buffer small = {DRIVER_DATA, 11, true};

	(void)state;
	bad_buffer_breaks_the_queue(&small, 1);
}

static void mixed_buffer_breaks_the_queue(void **state)
{
	struct driver_buffer two[] = {{DRIVER_DATA, 100, false},
				      {DRIVER_DATA, 1000, true}};

	(void)state;
	bad_buffer_breaks_the_queue(two, 2);
}

static void reset_forgets_buffers_and_frame(void **state)
{
	gpa_t old;

	(void)state;
	start_all();
	old = offer(1000);
	kick_rx();
	host_sends(1500); /* waits */
	driver_run(&d);
	driver_set(&d, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(d.dev->inflight, 0);
	memset(driver_at(&d, old), 0x77, 1000);
	driver_start(&d, d.dev->offered, SIZE);
	offer(1000);
	kick_rx();
	host_sends(300);
	driver_run(&d);
	assert_int_equal(received(), 300);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(((uint8_t *)driver_at(&d, old))[i], 0x77);
}

static void pause_loses_no_buffers(void **state)
{
	(void)state;
	start_all();
	offer(1000);
	offer(1000);
	kick_rx();
	assert_int_equal(d.dev->inflight, 2);
	virtio_quiesce(d.dev, UINT64_MAX);
	assert_int_equal(d.dev->inflight, 0);
	host_sends(200);
	driver_run(&d);
	assert_none_received();
	assert_int_equal(driver_poll(&d, 0), 0);
	virtio_resume(d.dev);
	driver_run(&d);
	assert_int_equal(received(), 200);
}

static void state_goes_on_in_another_device(void **state)
{
	struct snap out, in;
	const void *data;
	struct err e;
	size_t len;

	(void)state;
	start_all();
	offer(1000);
	offer(1000);
	kick_rx();
	host_sends(200);
	driver_run(&d);
	assert_int_equal(received(), 200);
	virtio_quiesce(d.dev, UINT64_MAX);
	snap_save(&out, 1);
	virtio_state(d.dev, &out);
	assert_ok(snap_finish(&out, &e), e);
	data = snap_data(&out, &len);
	virtio_destroy(d.dev);
	close(host);
	create();
	virtio_quiesce(d.dev, UINT64_MAX);
	snap_load(&in, data, len, 1);
	virtio_state(d.dev, &in);
	assert_ok(snap_finish(&in, &e), e);
	snap_fini(&out);
	virtio_await_wake(d.dev);
	host_sends(300);
	driver_run(&d);
	assert_true(d.knocked);
	virtio_resume(d.dev);
	driver_run(&d);
	assert_int_equal(received(), 300);
	transmit(100);
	assert_sent(100);
}

static void rx_limiter_holds_and_lets_go(void **state)
{
	const struct token_bucket_config none = {0};
	struct rate_limiter_update update = {&none, NULL};
	struct err e;

	(void)state;
	config.rx_limiter.bandwidth =
		(struct token_bucket_config){100, 1000000, 0};
	start_all();
	offer(1000);
	offer(1000);
	offer(1000);
	kick_rx();
	host_sends(100);
	host_sends(90);
	host_sends(80);
	driver_run(&d);
	assert_int_equal(received(), 100);
	assert_none_received();
	kick_rx();
	assert_none_received();
	assert_int_equal(driver_poll(&d, 0), 0);
	assert_int_equal(metrics()->rx_rate_limiter_throttled, 1);
	assert_ok(net_update_limiters(d.dev, &update, NULL, &e), e);
	driver_run(&d);
	assert_int_equal(received(), 90);
	assert_int_equal(received(), 80);
}

static void rx_timer_lets_go(void **state)
{
	(void)state;
	config.rx_limiter.ops = (struct token_bucket_config){1, 20, 0};
	start_all();
	offer(1000);
	offer(1000);
	kick_rx();
	host_sends(100);
	host_sends(90);
	driver_run(&d);
	assert_int_equal(received(), 100);
	assert_none_received();
	assert_true(driver_wait_used(&d, NET_RX));
	assert_int_equal(received(), 90);
	assert_int_equal(metrics()->rx_event_rate_limiter_count, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(frame_arrives),
		TEST(frame_spans_mergeable_buffers),
		TEST(frame_as_large_as_its_buffers),
		TEST(buffer_of_several_parts),
		TEST(rest_of_a_frame_waits_for_buffers),
		TEST(largest_frame_arrives),
		TEST(frame_that_no_ring_holds_is_dropped),
		TEST(without_merging_each_frame_has_its_buffer),
		TEST(impossible_frames_are_dropped),
		TEST(what_was_not_negotiated_does_not_arrive),
		TEST(tap_is_not_read_without_buffers),
		TEST(dead_tap_is_no_busy_loop),
		TEST(flood_leaves_others_their_turn),
		TEST(buffer_to_read_breaks_the_queue),
		TEST(buffer_without_room_for_a_header_breaks_the_queue),
		TEST(mixed_buffer_breaks_the_queue),
		TEST(reset_forgets_buffers_and_frame),
		TEST(pause_loses_no_buffers),
		TEST(state_goes_on_in_another_device),
		TEST(rx_limiter_holds_and_lets_go),
		TEST(rx_timer_lets_go),
	};

	return RUN_TESTS("net_rx", tests);
}
