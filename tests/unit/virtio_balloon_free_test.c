/* SPDX-License-Identifier: Apache-2.0 */
/* Free page hinting and reporting: devices/virtio/balloon/balloon_free.c. */
#include <linux/virtio_balloon.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "core/base/util.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_balloon_guest.h"

enum { PAGE = 4096, LARGE = 65536 };
enum { QUEUE = 2 }; /* of the one that is tried */

/* ---------------------------------------------------------------- reporting */

static int begin_reporting(void **state)
{
	balloon_begin(state);
	g.config.free_page_reporting = true;
	balloon_up();
	return 0;
}

static const struct balloon_metrics *metrics(void)
{
	return balloon_metrics(g.d.dev);
}

static void free_range(gpa_t gpa, uint32_t len)
{
	struct driver_buffer buffer = {gpa, len, true};

	balloon_free_pages(QUEUE, &buffer, 1);
}

static void reported_memory_goes_back_to_the_host(void **state)
{
	gpa_t gpa = balloon_filled(32 * PAGE);
	const struct driver_buffer three[] = {
		{gpa + 2 * PAGE, 4 * PAGE, true},
		{gpa + 20 * PAGE, 10 * PAGE, true},
		{gpa + 8 * PAGE, PAGE, true},
	};

	(void)state;
	balloon_free_pages(QUEUE, three, 3);
	assert_int_equal(balloon_resident(gpa, 32 * PAGE), 17);
	balloon_check_bytes(gpa + 20 * PAGE, 10 * PAGE, 0);
	balloon_check_bytes(gpa + 9 * PAGE, 11 * PAGE, 0x55);
	assert_int_equal(driver_interrupts(&g.d), 1);
	assert_int_equal(metrics()->free_page_report_count, 3);
	assert_int_equal(metrics()->free_page_report_freed, 15 * PAGE);
	assert_int_equal(metrics()->free_page_report_fails, 0);
	assert_int_equal(metrics()->event_fails, 0);
}

static void parts_of_pages_stay(void **state)
{
	gpa_t gpa = balloon_filled(4 * PAGE);

	(void)state;
	free_range(gpa + 100, 2 * PAGE);
	balloon_check_bytes(gpa, PAGE, 0x55);
	balloon_check_bytes(gpa + PAGE, PAGE, 0);
	balloon_check_bytes(gpa + 2 * PAGE, PAGE, 0x55);
	assert_int_equal(metrics()->free_page_report_freed, PAGE);
	free_range(gpa + 3 * PAGE, PAGE - 1);
	balloon_check_bytes(gpa + 3 * PAGE, PAGE, 0x55);
	assert_int_equal(metrics()->free_page_report_freed, PAGE);
	assert_int_equal(metrics()->free_page_report_fails, 1);
	assert_int_equal(metrics()->free_page_report_count, 2);
}

static void memory_to_read_is_not_free(void **state)
{
	gpa_t gpa = balloon_filled(2 * PAGE);
	const struct driver_buffer two[] = {{gpa, PAGE, false},
					    {gpa + PAGE, PAGE, true}};

	(void)state;
	balloon_free_pages(QUEUE, two, 2);
	balloon_check_bytes(gpa, PAGE, 0x55);
	balloon_check_bytes(gpa + PAGE, PAGE, 0);
	assert_int_equal(metrics()->event_fails, 1);
}

static void more_than_ram_is_not_free(void **state)
{
	const struct driver_buffer twice[] = {
		{DRIVER_DATA, DRIVER_RAM_SIZE / 2 + PAGE, true},
		{DRIVER_DATA, DRIVER_RAM_SIZE / 2, true}};

	(void)state;
	balloon_free_pages(QUEUE, twice, 2);
	assert_int_equal(g.calls, 0);
	assert_int_equal(metrics()->free_page_report_fails, 1);
	assert_int_equal(metrics()->free_page_report_freed, 0);
	free_range(DRIVER_DATA, DRIVER_RAM_SIZE / 2);
	assert_int_equal(g.calls, 1);
}

static void host_that_takes_nothing_back_is_counted(void **state)
{
	gpa_t gpa = balloon_filled(PAGE);

	(void)state;
	g.refuse = true;
	free_range(gpa, PAGE);
	balloon_check_bytes(gpa, PAGE, 0x55);
	assert_int_equal(metrics()->free_page_report_fails, 1);
	assert_int_equal(metrics()->free_page_report_freed, 0);
}

static void large_page_of_the_host_is_freed_whole(void **state)
{
	gpa_t gpa;

	(void)state;
	virtio_destroy(g.d.dev);
	g.d.dev = NULL;
	g.host_page = LARGE;
	balloon_up();
	gpa = balloon_filled(3 * LARGE);
	free_range(gpa + PAGE, 2 * LARGE);
	assert_int_equal(metrics()->free_page_report_freed, LARGE);
	assert_int_equal(balloon_resident(gpa, 3 * LARGE), 2 * LARGE / PAGE);
	balloon_check_bytes(gpa + LARGE, LARGE, 0);
}

/* ------------------------------------------------------------------ hinting */

static int begin_hinting(void **state)
{
	balloon_begin(state);
	g.config.free_page_hinting = true;
	balloon_up();
	return 0;
}

static uint32_t host_cmd(void)
{
	return (uint32_t)driver_config(&g.d, 8, 4);
}

static struct balloon_hinting_status status(void)
{
	struct balloon_hinting_status got;
	struct err e;

	assert_ok(balloon_hinting_status(g.d.dev, &got, &e), e);
	assert_int_equal(got.host_cmd, host_cmd());
	return got;
}

static void start(bool acknowledge)
{
	struct err e;

	assert_ok(balloon_hinting_start(g.d.dev, acknowledge, &e), e);
}

static void stop(void)
{
	struct err e;

	assert_ok(balloon_hinting_stop(g.d.dev, &e), e);
}

static void say(uint32_t cmd)
{
	balloon_send(QUEUE, &cmd, sizeof(cmd));
	assert_true(driver_used(&g.d, QUEUE, NULL, NULL));
}

/* Is a hint acted on? */
static bool hint(void)
{
	gpa_t gpa = balloon_filled(LARGE);
	uint64_t before = metrics()->free_page_hint_freed;
	bool gone;

	free_range(gpa, LARGE);
	gone = balloon_resident(gpa, LARGE) == 0;
	assert_int_equal(metrics()->free_page_hint_freed - before,
			 gone ? LARGE : 0);
	balloon_check_bytes(gpa, LARGE, gone ? 0 : 0x55);
	g.d.free = DRIVER_DATA + MIB(1);
	return gone;
}

static void run_from_start_to_end(void **state)
{
	(void)state;
	assert_int_equal(status().host_cmd, BALLOON_HINT_STOP);
	assert_false(status().has_guest_cmd);
	start(true);
	assert_int_equal(host_cmd(), 2);
	assert_int_equal(driver_interrupts(&g.d), 1);
	assert_false(status().has_guest_cmd);
	say(2);
	assert_true(status().has_guest_cmd);
	assert_int_equal(status().guest_cmd, 2);
	assert_true(hint());
	assert_true(hint());
	assert_int_equal(metrics()->free_page_hint_count, 2);
	driver_interrupts(&g.d);
	driver_set(&g.d, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_CONFIG);
	say(BALLOON_HINT_STOP);
	assert_int_equal(status().guest_cmd, BALLOON_HINT_STOP);
	assert_int_equal(status().host_cmd, BALLOON_HINT_DONE);
	assert_true(driver_interrupts(&g.d) > 0);
	assert_true(driver_get(&g.d, VIRTIO_MMIO_INTERRUPT_STATUS) &
		    VIRTIO_MMIO_INT_CONFIG);
	assert_false(hint());
	start(true);
	assert_int_equal(status().host_cmd, 3);
}

static void hints_before_a_run_are_passed_over(void **state)
{
	(void)state;
	assert_false(hint());
	start(true);
	assert_false(hint()); /* it did not say which run */
	assert_int_equal(metrics()->free_page_hint_count, 0);
}

static void guest_does_not_begin_runs(void **state)
{
	(void)state;
	say(2);
	assert_false(hint());
	say(BALLOON_HINT_STOP);
	assert_false(hint());
	assert_int_equal(host_cmd(), BALLOON_HINT_STOP);
}

static void end_is_not_acknowledged_unless_asked_for(void **state)
{
	(void)state;
	start(false);
	say(2);
	say(BALLOON_HINT_STOP);
	assert_int_equal(host_cmd(), 2);
	assert_false(hint());
	stop();
	assert_int_equal(host_cmd(), BALLOON_HINT_DONE);
}

static void host_can_end_a_run(void **state)
{
	(void)state;
	start(true);
	say(2);
	assert_true(hint());
	driver_interrupts(&g.d);
	stop();
	assert_int_equal(driver_interrupts(&g.d), 1);
	assert_int_equal(host_cmd(), BALLOON_HINT_DONE);
	assert_false(hint());
	say(BALLOON_HINT_STOP);
	assert_int_equal(host_cmd(), BALLOON_HINT_DONE);
}

static void hints_of_an_earlier_run_are_passed_over(void **state)
{
	(void)state;
	start(true);
	say(2);
	start(true);
	assert_false(hint());
	say(3);
	assert_true(hint());
}

/* Linux ends the run it was at, then begins the new one. */
static void end_of_an_earlier_run_ends_no_other(void **state)
{
	(void)state;
	start(true);
	say(2);
	start(true);
	say(BALLOON_HINT_STOP);
	assert_int_equal(host_cmd(), 3);
	say(3);
	assert_true(hint());
	say(BALLOON_HINT_STOP);
	assert_int_equal(host_cmd(), BALLOON_HINT_DONE);
}

static void done_from_the_guest_ends_the_run(void **state)
{
	(void)state;
	start(true);
	say(2);
	say(BALLOON_HINT_DONE);
	assert_int_equal(host_cmd(), BALLOON_HINT_DONE);
	assert_int_equal(metrics()->event_fails, 1);
	assert_false(hint());
}

static void command_of_another_length_is_none(void **state)
{
	const uint32_t cmd[2] = {2, 2};

	(void)state;
	start(true);
	balloon_send(QUEUE, cmd, 3);
	balloon_send(QUEUE, cmd, 8);
	assert_true(driver_used(&g.d, QUEUE, NULL, NULL));
	assert_true(driver_used(&g.d, QUEUE, NULL, NULL));
	assert_false(status().has_guest_cmd);
	assert_int_equal(metrics()->event_fails, 2);
}

static void command_and_hint_may_be_one_request(void **state)
{
	gpa_t cmd = driver_alloc(&g.d, 4), gpa = balloon_filled(LARGE);
	const struct driver_buffer two[] = {{cmd, 4, false},
					    {gpa, LARGE, true}};

	(void)state;
	start(true);
	*(uint32_t *)driver_at(&g.d, cmd) = 2;
	balloon_free_pages(QUEUE, two, 2);
	balloon_check_bytes(gpa, LARGE, 0);
}

/* Four bytes are a hint, too, if the guest offers them for writing. */
static void small_hint_is_no_command(void **state)
{
	gpa_t gpa = balloon_filled(PAGE);

	(void)state;
	start(true);
	say(2);
	free_range(gpa, 4);
	assert_int_equal(status().guest_cmd, 2);
	assert_int_equal(metrics()->free_page_hint_fails, 1);
	balloon_check_bytes(gpa, PAGE, 0x55);
}

static void reset_ends_the_run(void **state)
{
	(void)state;
	start(true);
	say(2);
	balloon_up();
	assert_int_equal(status().host_cmd, BALLOON_HINT_STOP);
	assert_false(status().has_guest_cmd);
	assert_false(hint());
	start(true); /* with a command that was not used yet */
	assert_int_equal(host_cmd(), 3);
}

static void snapshot_keeps_the_run(void **state)
{
	(void)state;
	start(true);
	say(2);
	balloon_restore(NULL);
	assert_int_equal(status().guest_cmd, 2);
	assert_true(hint());
	say(BALLOON_HINT_STOP);
	assert_int_equal(host_cmd(), BALLOON_HINT_DONE);
	start(false);
	assert_int_equal(host_cmd(), 3);
}

/* What is told and what was used last, side by side. */
static void to_the_last_command(uint8_t *data, size_t len)
{
	const uint32_t from[2] = {2, 2}, to[2] = {UINT32_MAX, UINT32_MAX};

	for (size_t i = 0; i + sizeof(from) <= len; i++) {
		if (!memcmp(data + i, from, sizeof(from)))
			memcpy(data + i, to, sizeof(to));
	}
}

static void commands_that_begin_no_run_are_left_out(void **state)
{
	(void)state;
	start(true);
	balloon_restore(to_the_last_command);
	assert_int_equal(host_cmd(), UINT32_MAX);
	start(true);
	assert_int_equal(host_cmd(), 2);
}

static void hinting_that_is_off_is_refused(void **state)
{
	const char *words = "Attempting to use hinting when not enabled";
	struct balloon_hinting_status got;
	struct err e;

	(void)state;
	virtio_destroy(g.d.dev);
	g.d.dev = NULL;
	g.config.free_page_hinting = false;
	balloon_up();
	assert_err(balloon_hinting_start(g.d.dev, true, &e), e, words);
	assert_err(balloon_hinting_stop(g.d.dev, &e), e, words);
	assert_err(balloon_hinting_status(g.d.dev, &got, &e), e, words);
}

/* ------------------------------------------------------------------- queues */

static void up_with_all(uint64_t without)
{
	virtio_destroy(g.d.dev);
	g.config = (struct balloon_config){.stats_polling_interval_s = 9,
					   .free_page_hinting = true,
					   .free_page_reporting = true};
	balloon_new();
	balloon_up_with(g.d.dev->offered & ~without);
}

static bool report(unsigned queue)
{
	gpa_t gpa = balloon_filled(PAGE);
	const struct driver_buffer page = {gpa, PAGE, true};

	driver_add(&g.d, queue, &page, 1);
	driver_kick(&g.d, queue);
	driver_run(&g.d);
	return balloon_resident(gpa, PAGE) == 0;
}

/* Linux numbers them by what it took. */
static void queues_follow_each_other(void **state)
{
	const uint32_t cmd = 2;

	(void)state;
	up_with_all(0);
	start(true);
	balloon_send(2, &cmd, sizeof(cmd)); /* no statistics; no matter */
	balloon_send(3, &cmd, sizeof(cmd));
	assert_int_equal(status().guest_cmd, 2);
	assert_true(report(4));
	assert_int_equal(metrics()->free_page_report_count, 1);

	up_with_all(1 << VIRTIO_BALLOON_F_FREE_PAGE_HINT);
	assert_true(report(3));
	assert_false(report(4));

	up_with_all(1 << VIRTIO_BALLOON_F_STATS_VQ |
		    1 << VIRTIO_BALLOON_F_FREE_PAGE_HINT);
	assert_true(report(2));
	assert_false(report(3));
	assert_int_equal(metrics()->free_page_report_count, 1);
}

#define REPORTING(name) \
	cmocka_unit_test_setup_teardown(name, begin_reporting, balloon_end)
#define HINTING(name) \
	cmocka_unit_test_setup_teardown(name, begin_hinting, balloon_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		REPORTING(reported_memory_goes_back_to_the_host),
		REPORTING(parts_of_pages_stay),
		REPORTING(memory_to_read_is_not_free),
		REPORTING(more_than_ram_is_not_free),
		REPORTING(host_that_takes_nothing_back_is_counted),
		REPORTING(large_page_of_the_host_is_freed_whole),
		HINTING(run_from_start_to_end),
		HINTING(hints_before_a_run_are_passed_over),
		HINTING(guest_does_not_begin_runs),
		HINTING(end_is_not_acknowledged_unless_asked_for),
		HINTING(host_can_end_a_run),
		HINTING(hints_of_an_earlier_run_are_passed_over),
		HINTING(end_of_an_earlier_run_ends_no_other),
		HINTING(done_from_the_guest_ends_the_run),
		HINTING(command_of_another_length_is_none),
		HINTING(command_and_hint_may_be_one_request),
		HINTING(small_hint_is_no_command),
		HINTING(reset_ends_the_run),
		HINTING(snapshot_keeps_the_run),
		HINTING(commands_that_begin_no_run_are_left_out),
		HINTING(hinting_that_is_off_is_refused),
		HINTING(queues_follow_each_other),
	};

	return RUN_TESTS("balloon_free", tests);
}
