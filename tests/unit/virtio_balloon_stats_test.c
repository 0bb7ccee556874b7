/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics of the guest: devices/virtio/balloon/balloon_stats.c. */
#include <linux/virtio_balloon.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "core/base/util.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_balloon_guest.h"

enum { STATS = 2 };

static int begin(void **state)
{
	balloon_begin(state);
	g.config.stats_polling_interval_s = 9;
	return 0;
}

static void send(uint16_t tag, uint64_t value)
{
	struct virtio_balloon_stat entry = {tag, value};

	balloon_send(STATS, &entry, sizeof(entry));
}

static struct balloon_stats stats(void)
{
	struct balloon_stats got;
	struct err e;

	assert_ok(balloon_stats(g.d.dev, &got, &e), e);
	return got;
}

static bool given_back(void)
{
	return driver_used(&g.d, STATS, NULL, NULL);
}

static void numbers_are_those_of_the_guest(void **state)
{
	struct virtio_balloon_stat all[BALLOON_STATS];

	(void)state;
	balloon_up();
	for (unsigned i = 0; i < BALLOON_STATS; i++)
		all[i] = (struct virtio_balloon_stat){
			(uint16_t)(BALLOON_STATS - 1 - i), UINT64_MAX - i};
	balloon_send(STATS, all, sizeof(all));
	assert_int_equal(stats().known, 0xffff);
	for (unsigned i = 0; i < BALLOON_STATS; i++)
		assert_int_equal(stats().value[i],
				 UINT64_MAX - (BALLOON_STATS - 1 - i));
	assert_int_equal(balloon_metrics(g.d.dev)->stats_updates_count, 1);
	assert_int_equal(balloon_metrics(g.d.dev)->stats_update_fails, 0);
}

static void names_are_in_the_order_of_the_tags(void **state)
{
	(void)state;
	assert_string_equal(balloon_stat_names[0], "swap_in");
	assert_string_equal(balloon_stat_names[VIRTIO_BALLOON_S_AVAIL],
			    "available_memory");
	for (unsigned i = 0; i < BALLOON_STATS; i++)
		assert_non_null(balloon_stat_names[i]);
	assert_string_equal(balloon_stat_names[15], "direct_reclaim");
}

static void only_what_was_told_is_known(void **state)
{
	(void)state;
	balloon_up();
	assert_int_equal(stats().known, 0);
	send(VIRTIO_BALLOON_S_MEMFREE, 0);
	assert_int_equal(stats().known, 1 << VIRTIO_BALLOON_S_MEMFREE);
}

static void buffer_is_kept_until_it_is_time(void **state)
{
	(void)state;
	balloon_up();
	assert_int_equal(g.armed_s, 0); /* nobody to ask yet */
	send(VIRTIO_BALLOON_S_MEMFREE, 111);
	assert_int_equal(g.armed_s, 9);
	assert_false(given_back());
	assert_int_equal(driver_interrupts(&g.d), 0);
	assert_true(driver_wait_used(&g.d, STATS));
	assert_true(given_back());
	assert_int_equal(driver_interrupts(&g.d), 1);
	assert_int_equal(g.armed_s, 0); /* until there is an answer */
	send(VIRTIO_BALLOON_S_MEMFREE, 222);
	assert_int_equal(stats().value[VIRTIO_BALLOON_S_MEMFREE], 222);
	assert_int_equal(g.armed_s, 9);
}

static void kick_without_a_buffer_puts_nothing_off(void **state)
{
	(void)state;
	balloon_up();
	send(VIRTIO_BALLOON_S_MEMFREE, 1);
	g.armed_s = 0;
	driver_kick(&g.d, STATS);
	driver_poll(&g.d, 0);
	assert_int_equal(g.armed_s, 0);
	assert_true(driver_wait_used(&g.d, STATS));
}

static void new_interval_asks_at_once(void **state)
{
	struct balloon_config config;
	struct err e;

	(void)state;
	balloon_up();
	send(VIRTIO_BALLOON_S_MEMFREE, 1);
	assert_ok(balloon_set_stats_interval(g.d.dev, 65535, &e), e);
	assert_true(given_back());
	assert_int_equal(driver_interrupts(&g.d), 1);
	assert_int_equal(g.armed_s, 0);
	send(VIRTIO_BALLOON_S_MEMFREE, 2);
	assert_int_equal(g.armed_s, 65535);
	balloon_config_get(g.d.dev, &config);
	assert_int_equal(config.stats_polling_interval_s, 65535);
	/* The same again is no reason to ask. */
	assert_ok(balloon_set_stats_interval(g.d.dev, 65535, &e), e);
	assert_false(given_back());
}

static void new_interval_without_a_driver_is_kept(void **state)
{
	struct err e;

	(void)state;
	balloon_new();
	assert_ok(balloon_set_stats_interval(g.d.dev, 77, &e), e);
	balloon_up();
	send(VIRTIO_BALLOON_S_MEMFREE, 1);
	assert_int_equal(g.armed_s, 77);
}

static void statistics_are_not_switched_off(void **state)
{
	struct err e;

	(void)state;
	balloon_up();
	assert_err(balloon_set_stats_interval(g.d.dev, 0, &e), e,
		   "Cannot enable/disable the statistics after boot.");
	send(VIRTIO_BALLOON_S_MEMFREE, 1);
	assert_int_equal(g.armed_s, 9);
}

static void statistics_are_not_switched_on(void **state)
{
	struct balloon_stats got;
	struct err e;

	(void)state;
	g.config.stats_polling_interval_s = 0;
	balloon_up();
	assert_err(balloon_set_stats_interval(g.d.dev, 1, &e), e,
		   "Cannot enable/disable the statistics after boot.");
	assert_ok(balloon_set_stats_interval(g.d.dev, 0, &e), e);
	assert_err(balloon_stats(g.d.dev, &got, &e), e,
		   "Statistics for the balloon device are not enabled");
}

static void unknown_numbers_are_passed_over(void **state)
{
	const struct virtio_balloon_stat three[] = {
		{16, 1}, {65535, 2}, {VIRTIO_BALLOON_S_MAJFLT, 3}};

	(void)state;
	balloon_up();
	balloon_send(STATS, three, sizeof(three));
	assert_int_equal(stats().known, 1 << VIRTIO_BALLOON_S_MAJFLT);
	assert_int_equal(stats().value[VIRTIO_BALLOON_S_MAJFLT], 3);
	assert_int_equal(balloon_metrics(g.d.dev)->stats_update_fails, 0);
}

static void odd_buffer_is_read_as_far_as_it_goes(void **state)
{
	const struct virtio_balloon_stat two[] = {
		{VIRTIO_BALLOON_S_SWAP_IN, 1}, {VIRTIO_BALLOON_S_SWAP_OUT, 2}};

	(void)state;
	balloon_up();
	balloon_send(STATS, two, sizeof(two) - 1);
	assert_int_equal(stats().known, 1 << VIRTIO_BALLOON_S_SWAP_IN);
	assert_int_equal(balloon_metrics(g.d.dev)->stats_update_fails, 1);
	assert_true(driver_wait_used(&g.d, STATS));
}

static void empty_buffer_is_kept_too(void **state)
{
	(void)state;
	balloon_up();
	balloon_send(STATS, "", 0);
	assert_int_equal(stats().known, 0);
	assert_true(driver_wait_used(&g.d, STATS));
}

static void buffer_that_is_too_long_is_cut(void **state)
{
	struct virtio_balloon_stat many[65];

	(void)state;
	balloon_up();
	for (unsigned i = 0; i < 65; i++)
		many[i] = (struct virtio_balloon_stat){i < 64 ? 3 : 4, i};
	balloon_send(STATS, many, sizeof(many));
	assert_int_equal(stats().known, 1 << 3);
	assert_int_equal(stats().value[3], 63);
	assert_int_equal(balloon_metrics(g.d.dev)->stats_update_fails, 1);
}

static void buffer_to_write_to_is_left_alone(void **state)
{
	struct driver_buffer in = {driver_alloc(&g.d, 100), 100, true};

	(void)state;
	balloon_up();
	memset(driver_at(&g.d, in.gpa), 1, 100);
	driver_add(&g.d, STATS, &in, 1);
	driver_kick(&g.d, STATS);
	driver_run(&g.d);
	assert_int_equal(stats().known, 0);
	assert_int_equal(balloon_metrics(g.d.dev)->stats_update_fails, 1);
	balloon_check_bytes(in.gpa, 100, 1);
}

static void second_buffer_sends_the_first_back(void **state)
{
	uint32_t head = 99;

	(void)state;
	balloon_up();
	send(1, 10);
	send(1, 20);
	assert_true(driver_used(&g.d, STATS, &head, NULL));
	assert_int_equal(head, 0);
	assert_false(given_back());
	assert_int_equal(stats().value[1], 20);
	assert_int_equal(g.armed_s, 9);
	assert_true(driver_wait_used(&g.d, STATS));
	assert_true(driver_used(&g.d, STATS, &head, NULL));
	assert_int_equal(head, 1);
}

static void reset_forgets_the_buffer(void **state)
{
	(void)state;
	balloon_up();
	send(1, 10);
	driver_set(&g.d, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(g.armed_s, 0);
	balloon_up();
	driver_poll(&g.d, 20);
	assert_false(given_back());
	send(1, 10);
	assert_true(driver_wait_used(&g.d, STATS));
}

/* The timer had expired when the driver reset the device. */
static void late_timer_means_nothing(void **state)
{
	struct epoll_event event;

	(void)state;
	balloon_up();
	send(1, 10);
	assert_int_equal(epoll_wait(g.d.loop.epoll_fd, &event, 1, 5000), 1);
	balloon_up();
	send(1, 20);
	driver_set(&g.d, VIRTIO_MMIO_STATUS, 0);
	((struct event_source *)event.data.ptr)->ready(event.data.ptr, EPOLLIN);
	assert_int_equal(driver_interrupts(&g.d), 0);
}

static void pause_keeps_the_buffer(void **state)
{
	(void)state;
	balloon_up();
	send(1, 10);
	virtio_quiesce(g.d.dev, UINT64_MAX);
	assert_int_equal(driver_poll(&g.d, 1000), 1); /* the timer */
	assert_false(given_back());
	virtio_resume(g.d.dev);
	driver_poll(&g.d, 0);
	assert_int_equal(g.armed_s, 9);
	assert_true(driver_wait_used(&g.d, STATS));
}

static void new_interval_while_paused_counts_later(void **state)
{
	struct err e;

	(void)state;
	balloon_up();
	send(1, 10);
	virtio_quiesce(g.d.dev, UINT64_MAX);
	assert_ok(balloon_set_stats_interval(g.d.dev, 5, &e), e);
	assert_false(given_back());
	virtio_resume(g.d.dev);
	driver_run(&g.d);
	assert_true(driver_wait_used(&g.d, STATS));
	assert_true(given_back());
	send(1, 10);
	assert_int_equal(g.armed_s, 5);
}

static void snapshot_keeps_the_buffer_and_the_interval(void **state)
{
	uint32_t head = 99;
	struct err e;

	(void)state;
	balloon_up();
	send(1, 10);
	assert_ok(balloon_set_stats_interval(g.d.dev, 4, &e), e);
	assert_true(given_back());
	send(1, 10);
	balloon_restore(NULL);
	assert_int_equal(stats().known, 0);
	assert_int_equal(g.armed_s, 4);
	assert_true(driver_wait_used(&g.d, STATS));
	assert_true(driver_used(&g.d, STATS, &head, NULL));
	assert_int_equal(head, 1);
}

static void snapshot_does_not_switch_statistics_on(void **state)
{
	(void)state;
	g.config.stats_polling_interval_s = 0;
	g.config.free_page_hinting = true;
	balloon_up_with(0);
	g.config.stats_polling_interval_s = 3;
	g.config.free_page_hinting = false; /* as many queues */
	balloon_restore_fails(NULL, "switched on or off");
}

/* It ends with: held, and the buffer's index of 16 bits. */
static void hold_a_buffer(uint8_t *data, size_t len)
{
	data[len - 3] = 1;
}

static void snapshot_with_a_buffer_from_nowhere_is_refused(void **state)
{
	(void)state;
	g.config.stats_polling_interval_s = 0;
	balloon_up();
	balloon_restore_fails(hold_a_buffer, "should not have");
}

static void driver_without_statistics_has_no_such_queue(void **state)
{
	(void)state;
	balloon_up_with(0);
	send(1, 10);
	assert_int_equal(stats().known, 0);
	assert_int_equal(balloon_metrics(g.d.dev)->stats_updates_count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, balloon_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(numbers_are_those_of_the_guest),
		TEST(names_are_in_the_order_of_the_tags),
		TEST(only_what_was_told_is_known),
		TEST(buffer_is_kept_until_it_is_time),
		TEST(kick_without_a_buffer_puts_nothing_off),
		TEST(new_interval_asks_at_once),
		TEST(new_interval_without_a_driver_is_kept),
		TEST(statistics_are_not_switched_off),
		TEST(statistics_are_not_switched_on),
		TEST(unknown_numbers_are_passed_over),
		TEST(odd_buffer_is_read_as_far_as_it_goes),
		TEST(empty_buffer_is_kept_too),
		TEST(buffer_that_is_too_long_is_cut),
		TEST(buffer_to_write_to_is_left_alone),
		TEST(second_buffer_sends_the_first_back),
		TEST(reset_forgets_the_buffer),
		TEST(late_timer_means_nothing),
		TEST(pause_keeps_the_buffer),
		TEST(new_interval_while_paused_counts_later),
		TEST(snapshot_keeps_the_buffer_and_the_interval),
		TEST(snapshot_does_not_switch_statistics_on),
		TEST(snapshot_with_a_buffer_from_nowhere_is_refused),
		TEST(driver_without_statistics_has_no_such_queue),
	};

	return RUN_TESTS("balloon_stats", tests);
}
