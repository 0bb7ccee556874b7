/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's buffers that wait for frames, and guests that do:
 * devices/virtio/net/net_rx.c. */
#include "core/base/util.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_net_guest.h"

/* Buffers of many parts: the table of parts is full long before the ring's
 * buffers are all held, and a frame that needs more is dropped. */
static void buffers_of_many_parts_are_held_up_to_a_bound(void **state)
{
	enum { PARTS = 250, BUFFERS = 24 };
	struct driver_buffer parts[PARTS];

	(void)state;
	create();
	driver_start(&d, d.dev->offered, 256);
	d.indirect = true;
	for (unsigned i = 0; i < BUFFERS; i++) {
		gpa_t at = driver_alloc(&d, PARTS);

		for (unsigned k = 0; k < PARTS; k++)
			parts[k] = (struct driver_buffer){at + k, 1, true};
		driver_add(&d, NET_RX, parts, PARTS);
	}
	kick_rx();
	host_sends(3000);
	host_sends(400);
	driver_run(&d);
	assert_int_equal(received(), 250);
	assert_int_equal(received(), 150);
	assert_none_received();
	assert_int_equal(metrics()->rx_fails, 1);
}

static void offer_tracked(uint32_t len)
{
	struct driver_buffer buffer = {DRIVER_RAM + (4 << 20), len, true};
	struct err e;

	start(MRG);
	assert_ok(guest_mem_track(&d.mem, &e), e);
	driver_add(&d, NET_RX, &buffer, 1);
	kick_rx();
}

/* Whether byte @at of the buffer is marked as written. */
static bool is_marked(uint64_t at)
{
	const struct guest_mem_dirty *dirty = d.mem.dirty;
	uint64_t page = ((4 << 20) + at) / dirty->page;

	return dirty->bits[0][page / 64] >> page % 64 & 1;
}

static void host_sends_what_is_dropped(void)
{
	header()->gso_type = VIRTIO_NET_HDR_GSO_TCPV4; /* not negotiated */
	host_sends(60000);
	header()->gso_type = 0;
}

/* The bytes of a frame that was dropped are in the buffer of the next one, and
 * a diff must have them. */
static void what_a_dropped_frame_wrote_is_marked(void **state)
{
	(void)state;
	offer_tracked(1 << 17);
	host_sends_what_is_dropped();
	host_sends(100);
	driver_run(&d);
	assert_int_equal(received(), 100);
	assert_int_equal(metrics()->rx_fails, 1);
	assert_true(is_marked(50000));
}

/* There is no next frame before the buffers are given back. */
static void what_a_dropped_frame_wrote_is_marked_by_a_pause(void **state)
{
	(void)state;
	offer_tracked(1 << 17);
	host_sends_what_is_dropped();
	driver_run(&d);
	assert_int_equal(metrics()->rx_fails, 1);
	assert_false(is_marked(50000));
	virtio_quiesce(d.dev, UINT64_MAX);
	assert_true(is_marked(50000));
	assert_false(is_marked(1 << 17));
}

static void what_a_frame_wrote_that_waited_is_marked_by_a_pause(void **state)
{
	(void)state;
	offer_tracked(1000);
	host_sends(1500);
	driver_run(&d);
	assert_none_received();
	assert_false(is_marked(0));
	virtio_quiesce(d.dev, UINT64_MAX);
	assert_int_equal(metrics()->rx_fails, 1);
	assert_true(is_marked(0));
}

/* -------------------------------------------- a guest that has suspended
 * itself */

static void frame_wakes_a_guest_that_sleeps(void **state)
{
	(void)state;
	start_all();
	offer(2000);
	kick_rx();
	virtio_quiesce(d.dev, UINT64_MAX);
	virtio_await_wake(d.dev);
	driver_run(&d);
	assert_false(d.knocked);
	host_sends(1514);
	driver_run(&d);
	assert_true(d.knocked);
	assert_int_equal(driver_poll(&d, 0), 0); /* no busy loop */
	/* Again, as one that was not woken. */
	d.knocked = false;
	virtio_await_wake(d.dev);
	driver_run(&d);
	assert_true(d.knocked);
	virtio_resume(d.dev);
	driver_run(&d);
	assert_int_equal(received(), 1514);
}

/* A device that was loaded is not quiesced. */
static void frame_wakes_a_guest_that_was_loaded(void **state)
{
	(void)state;
	start_all();
	offer(2000);
	virtio_await_wake(d.dev);
	host_sends(1514);
	driver_run(&d);
	assert_true(d.knocked);
	assert_none_received();
	virtio_resume(d.dev);
	driver_run(&d);
	assert_int_equal(received(), 1514);
}

/* As Linux leaves it. */
static void frame_wakes_a_guest_that_has_reset_the_device(void **state)
{
	(void)state;
	create();
	virtio_quiesce(d.dev, UINT64_MAX);
	virtio_await_wake(d.dev);
	host_sends(1514);
	driver_run(&d);
	assert_true(d.knocked);
}

/* Nobody waits for it. */
static void frame_does_not_wake_one_that_runs(void **state)
{
	(void)state;
	start_all();
	offer(2000);
	kick_rx();
	host_sends(1514);
	driver_run(&d);
	assert_false(d.knocked);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(buffers_of_many_parts_are_held_up_to_a_bound),
		TEST(what_a_dropped_frame_wrote_is_marked),
		TEST(what_a_dropped_frame_wrote_is_marked_by_a_pause),
		TEST(what_a_frame_wrote_that_waited_is_marked_by_a_pause),
		TEST(frame_wakes_a_guest_that_sleeps),
		TEST(frame_wakes_a_guest_that_was_loaded),
		TEST(frame_wakes_a_guest_that_has_reset_the_device),
		TEST(frame_does_not_wake_one_that_runs),
	};

	return RUN_TESTS("net_held", tests);
}
