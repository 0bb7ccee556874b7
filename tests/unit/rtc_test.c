/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real-time clock: devices/rtc.c.  The host's clock is the test's; its
 * timers are not, for which all times here have passed: they expire at once,
 * as if the host's clock had been set back since.
 */
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "devices/rtc.h"
#include "snapshot/codec.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/irq_counter.h"
#include "tests/unit/testing.h"

enum {
	DR = 0x00,
	MR = 0x04,
	LR = 0x08,
	CR = 0x0c,
	IMSC = 0x10,
	RIS = 0x14,
	MIS = 0x18,
	ICR = 0x1c,
	NOW = 1700000000,
};

static struct event_loop loop;
static struct rtc rtc;
static unsigned raised, timer_sets;
static int wake_fd;
static struct itimerspec timer;

/* The linker's --wrap leads all calls here. */
int __real_timerfd_settime(int fd, int flags, const struct itimerspec *spec,
			   struct itimerspec *old);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *spec,
			   struct itimerspec *old);

int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *spec,
			   struct itimerspec *old)
{
	assert_int_equal(flags, TFD_TIMER_ABSTIME);
	timer_sets++;
	timer = *spec;
	return __real_timerfd_settime(fd, flags, spec, old);
}

static int reset(void **state)
{
	struct err e;

	(void)state;
	rtc = (struct rtc){0};
	raised = timer_sets = 0;
	wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_ok(loop_init(&loop, &e), e);
	rtc_init(&rtc, &loop, irq_counter(&raised), wake_fd);
	fake_clock_set(NOW, 999999999);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rtc_fini(&rtc);
	loop_fini(&loop);
	close(wake_fd);
	return 0;
}

/* The main thread's turn; it must have nothing more to do then. */
static void turn(void)
{
	struct epoll_event event;

	if (epoll_wait(loop.epoll_fd, &event, 1, 0) == 1)
		rtc.alarm.ready(&rtc.alarm, event.events);
}

static bool is_idle(void)
{
	struct pollfd fd = {.fd = loop.epoll_fd, .events = POLLIN};

	return poll(&fd, 1, 0) == 0;
}

static uint64_t get(uint64_t offset)
{
	return rtc_mmio_ops.read(&rtc, offset, 4);
}

static void set(uint64_t offset, uint64_t value)
{
	rtc_mmio_ops.write(&rtc, offset, 4, value);
	/* As the main thread, which is not the one that writes. */
	if (testing_take_event(wake_fd))
		rtc_look(&rtc);
}

static void data_is_the_hosts_time(void **state)
{
	(void)state;
	assert_int_equal(get(DR), 1700000000);
	fake_clock_set(1700000100, 0);
	assert_int_equal(get(DR), 1700000100);
}

static void load_sets_the_guests_time(void **state)
{
	(void)state;
	set(LR, 1000);
	assert_int_equal(get(LR), 1000);
	assert_int_equal(get(DR), 1000);
	fake_clock_set(1700000005, 0);
	assert_int_equal(get(DR), 1005);
}

static void time_wraps_at_32_bits(void **state)
{
	(void)state;
	set(LR, UINT32_MAX);
	assert_int_equal(get(DR), UINT32_MAX);
	fake_clock_set(1700000001, 0);
	assert_int_equal(get(DR), 0);
}

static void host_time_after_2106_wraps(void **state)
{
	(void)state;
	fake_clock_set(0x100000002, 0);
	assert_int_equal(get(DR), 2);
}

/* What the guest sets is on top of it. */
static void the_time_may_have_a_distance_to_the_hosts(void **state)
{
	(void)state;
	rtc_start(&rtc, 1000000000);
	assert_int_equal(get(DR), NOW + 1);
	rtc_start(&rtc, 1000000001);
	assert_int_equal(get(DR), NOW + 2);
	rtc_start(&rtc, -2000000000);
	assert_int_equal(get(DR), NOW - 2);
	set(LR, 100);
	assert_int_equal(get(DR), 100);
	rtc_start(&rtc, 8000000000);
	assert_int_equal(get(DR), 110);
	rtc_start(&rtc, INT64_MIN);
	assert_int_equal(get(DR), (uint32_t)(100 - (NOW - 2)));
}

static void match_and_mask_are_kept(void **state)
{
	(void)state;
	set(MR, 0x12345678);
	set(IMSC, 0xff);
	assert_int_equal(get(MR), 0x12345678);
	assert_int_equal(get(IMSC), 1);
}

static void control_is_always_enabled(void **state)
{
	(void)state;
	set(CR, 0);
	assert_int_equal(get(CR), 1);
}

/* ---------------------------------------------------------------- the alarm */

/* As Linux does. */
static void set_alarm(uint32_t when)
{
	set(MR, when);
	set(ICR, 1);
	set(IMSC, 1);
}

/* Its timer is the host's. */
static void an_alarm_has_that_distance_too(void **state)
{
	(void)state;
	rtc_start(&rtc, 3600500000000);
	set_alarm(NOW + 3600 + 9);
	assert_int_equal(timer.it_value.tv_sec, NOW + 8);
	assert_int_equal(timer.it_value.tv_nsec, 500000000);
	rtc_start(&rtc, 3601500000000);
	assert_int_equal(timer.it_value.tv_sec, NOW + 7);
	assert_int_equal(raised, 0);
	rtc_start(&rtc, 3700000000000);
	assert_int_equal(raised, 1);
}

static void an_alarm_interrupts_when_its_time_has_come(void **state)
{
	(void)state;
	set_alarm(NOW + 5);
	assert_int_equal(timer.it_value.tv_sec, NOW + 5);
	fake_clock_set(NOW + 5, 0);
	assert_false(rtc_has_alarm(&rtc));
	turn();
	assert_int_equal(raised, 1);
	assert_true(rtc_has_alarm(&rtc));
	assert_true(testing_take_event(wake_fd) > 0);
	assert_int_equal(get(RIS), 1);
	assert_int_equal(get(MIS), 1);
	turn();
	assert_int_equal(raised, 1);
	set(ICR, 1);
	assert_false(rtc_has_alarm(&rtc));
	assert_int_equal(get(RIS) | get(MIS), 0);
	assert_true(is_idle());
}

static void an_alarm_is_of_the_time_that_is_shown(void **state)
{
	(void)state;
	set(LR, 1000);
	set_alarm(1010);
	assert_int_equal(timer.it_value.tv_sec, NOW + 10);
	/* Setting the time moves the alarm. */
	set(LR, 1008);
	assert_int_equal(timer.it_value.tv_sec, NOW + 2);
	fake_clock_set(NOW + 2, 0);
	turn();
	assert_int_equal(raised, 1);
}

static void a_clock_that_is_set_back_delays_an_alarm(void **state)
{
	(void)state;
	set_alarm(NOW + 5);
	fake_clock_set(NOW - 100, 0);
	turn();
	assert_int_equal(raised, 0);
	assert_int_equal(timer_sets, 2);
	assert_int_equal(timer.it_value.tv_sec, NOW + 5);
	fake_clock_set(NOW + 7, 0);
	turn();
	assert_int_equal(raised, 1);
}

static void without_an_alarm_there_is_no_timer(void **state)
{
	(void)state;
	set(MR, NOW + 1);
	set(LR, NOW);
	get(DR);
	assert_int_equal(rtc.alarm.fd, -1);
	set(IMSC, 1);
	assert_true(rtc.alarm.fd >= 0);
	set(IMSC, 0);
	assert_int_equal(timer.it_value.tv_sec, 0);
	assert_true(is_idle());
}

/* The raw status does not depend on the mask. */
static void a_masked_alarm_is_seen_and_interrupts_when_unmasked(void **state)
{
	(void)state;
	set(MR, NOW + 5);
	assert_int_equal(get(RIS), 0);
	fake_clock_set(NOW + 6, 0);
	assert_int_equal(get(RIS), 1);
	assert_int_equal(get(MIS), 0);
	assert_int_equal(raised, 0);
	set(IMSC, 1);
	assert_int_equal(raised, 1);
	set(IMSC, 0);
	set(IMSC, 1);
	assert_int_equal(raised, 2);
}

static void an_alarm_of_now_rings_at_once(void **state)
{
	(void)state;
	set_alarm(NOW);
	assert_int_equal(raised, 0); /* cleared before it was enabled */
	set(IMSC, 1);
	set(MR, NOW);
	assert_int_equal(raised, 1);
}

static void one_of_the_past_waits_for_the_wrap(void **state)
{
	(void)state;
	set_alarm(NOW - 1);
	assert_int_equal(timer.it_value.tv_sec, NOW + 0xffffffffll);
	assert_int_equal(raised, 0);
}

static void clear_is_of_one_bit(void **state)
{
	(void)state;
	set(MR, NOW);
	set(ICR, 2);
	assert_int_equal(get(RIS), 1);
	set(ICR, 3);
	assert_int_equal(get(RIS), 0);
}

static void without_a_descriptor_one_alarm_is_lost(void **state)
{
	struct rlimit before, none;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &before);
	none = (struct rlimit){.rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	set_alarm(NOW + 5);
	set(MR, NOW + 6);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(rtc.alarm.fd, -1);
	assert_true(rtc.warned);
	/* It shows, and the next one rings. */
	fake_clock_set(NOW + 6, 0);
	assert_int_equal(get(RIS), 1);
	set_alarm(NOW + 9);
	fake_clock_set(NOW + 9, 0);
	turn();
	assert_int_equal(raised, 2);
}

static void save(struct snap *s)
{
	struct err e;

	snap_save(s, SNAPSHOT_VERSION);
	rtc_state(&rtc, s);
	rtc_alarm_state(&rtc, s);
	assert_ok(snap_finish(s, &e), e);
}

static int load(const struct snap *from)
{
	struct snap s;
	struct err e;
	size_t len;
	const void *data = snap_data(from, &len);

	snap_load(&s, data, len, SNAPSHOT_VERSION);
	rtc_state(&rtc, &s);
	rtc_alarm_state(&rtc, &s);
	if (!snap_failed(&s))
		rtc_start(&rtc, 0);
	return snap_finish(&s, &e);
}

static void an_alarm_is_kept_in_a_snapshot(void **state)
{
	struct snap s;

	set(LR, 1000);
	set_alarm(1005);
	save(&s);
	tear_down(state);
	reset(state);
	assert_int_equal(load(&s), 0);
	assert_int_equal(timer.it_value.tv_sec, NOW + 5);
	fake_clock_set(NOW + 5, 0);
	turn();
	assert_int_equal(raised, 1);
	snap_fini(&s);
}

/* The interrupt controller's state has it already. */
static void an_interrupt_that_was_told_is_not_told_again(void **state)
{
	struct snap s;

	set(IMSC, 1);
	set(MR, NOW);
	save(&s);
	tear_down(state);
	reset(state);
	assert_int_equal(load(&s), 0);
	assert_int_equal(get(MIS), 1);
	assert_int_equal(raised, 0);
	snap_fini(&s);
}

static void a_time_that_no_timer_takes_is_refused(void **state)
{
	struct snap s;

	(void)state;
	set_alarm(NOW + 5);
	save(&s);
	/* The last byte of it, before two bools. */
	s.out[s.len - 3] = 0x80;
	assert_int_equal(load(&s), -1);
	snap_fini(&s);
}

static void data_is_read_only(void **state)
{
	(void)state;
	set(DR, 1);
	assert_int_equal(get(DR), 1700000000);
}

static void ids_are_those_of_a_pl031(void **state)
{
	static const uint8_t id[] = {0x31, 0x10, 0x14, 0x00,
				     0x0d, 0xf0, 0x05, 0xb1};

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(get(0xfe0 + 4 * i), id[i]);
	assert_int_equal(get(0xfdc), 0);
}

static void other_widths_do_nothing(void **state)
{
	static const unsigned widths[] = {1, 2, 8};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(rtc_mmio_ops.read(&rtc, DR, widths[i]), 0);
		rtc_mmio_ops.write(&rtc, LR, widths[i], 5);
		assert_int_equal(get(LR), 0);
	}
}

static void unaligned_words_are_nothing(void **state)
{
	(void)state;
	assert_int_equal(get(0xfe1), 0);
	assert_int_equal(get(1), 0);
	set(LR + 1, 5);
	assert_int_equal(get(LR), 0);
}

#define RTC_TEST(name) cmocka_unit_test_setup_teardown(name, reset, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RTC_TEST(data_is_the_hosts_time),
		RTC_TEST(load_sets_the_guests_time),
		RTC_TEST(time_wraps_at_32_bits),
		RTC_TEST(host_time_after_2106_wraps),
		RTC_TEST(the_time_may_have_a_distance_to_the_hosts),
		RTC_TEST(an_alarm_has_that_distance_too),
		RTC_TEST(match_and_mask_are_kept),
		RTC_TEST(control_is_always_enabled),
		RTC_TEST(an_alarm_interrupts_when_its_time_has_come),
		RTC_TEST(an_alarm_is_of_the_time_that_is_shown),
		RTC_TEST(a_clock_that_is_set_back_delays_an_alarm),
		RTC_TEST(without_an_alarm_there_is_no_timer),
		RTC_TEST(a_masked_alarm_is_seen_and_interrupts_when_unmasked),
		RTC_TEST(an_alarm_of_now_rings_at_once),
		RTC_TEST(one_of_the_past_waits_for_the_wrap),
		RTC_TEST(clear_is_of_one_bit),
		RTC_TEST(without_a_descriptor_one_alarm_is_lost),
		RTC_TEST(an_alarm_is_kept_in_a_snapshot),
		RTC_TEST(an_interrupt_that_was_told_is_not_told_again),
		RTC_TEST(a_time_that_no_timer_takes_is_refused),
		RTC_TEST(data_is_read_only),
		RTC_TEST(ids_are_those_of_a_pl031),
		RTC_TEST(other_widths_do_nothing),
		RTC_TEST(unaligned_words_are_nothing),
	};

	return RUN_TESTS("rtc", tests);
}
