/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What VMClock tells of the time is true: at each look, what a guest computes
 * from the page is off from true TAI by no more than the page says, for hours,
 * whatever the host does to its clock and to the guest.
 */
#include "tests/unit/testing.h"
#include "tests/unit/time_world.h"

static void over_hours_on_a_good_host(void **state)
{
	(void)state;
	run_s(3 * 3600);
	/* Once a minute, when nothing changes. */
	assert_in_range(refreshes, 3 * 60, 3 * 60 + 10);
	assert_true(has(HAS_MAX | HAS_EST));
	assert_int_equal(get(0x22, 1), 2);
}

/* The oscillator is as bad as Linux thinks possible, and then gets worse the
 * other way; the daemon only notices. */
static void with_an_oscillator_that_wanders(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 60; n++) {
		host.ppb = (int64_t)any(980001) - 490000;
		run_s(60 + (unsigned)any(60));
		synchronise();
	}
}

/* Nobody disciplines the clock after it was right once: it is what the kernel
 * thinks of when it lets its bound grow. */
static void with_a_daemon_that_died(void **state)
{
	(void)state;
	for (int n = 0; n < 2; n++) {
		boot_host(n ? -499000 : 499000, 0);
		host.undisciplined = true;
		host.kernel.maxerror = 0;
		set_rate(0);
		resume(guest_counter());
		run_s(1800);
	}
}

static void while_the_clock_is_slewed(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 60; n++) {
		/* A source said that it was off, and bounded that. */
		host.clock_ns += (int64_t)any(40000000) - 20000000;
		synchronise();
		host.slews_aside = any(2);
		slew(500);
		run_s(20 + (unsigned)any(100));
	}
}

/* By its tick, as chrony does: 8 %. */
static void while_it_is_slewed_as_fast_as_it_can(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 60; n++) {
		host.clock_ns += (int64_t)any(1000000000) - 500000000;
		synchronise();
		slew(83333);
		/* It says each second how far it still is. */
		for (unsigned second = 20 + (unsigned)any(60); second--;) {
			run_s(1);
			synchronise();
		}
	}
}

static void when_the_clock_is_set(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 20; n++) {
		set_clock((wide)((int64_t)any(7200) - 3600) * BILLION);
		/* What was said before still holds. */
		look();
		refresh(true);
		assert_false(has(HAS_MAX | HAS_EST));
		assert_int_equal(get(0x22, 1), 3);
		run_s(5 + (unsigned)any(100));
		set_clock(-error_ns() + 300000);
		synchronise();
		refresh(true);
		assert_true(has(HAS_MAX));
		run_s(30 + (unsigned)any(100));
	}
}

/* What the kernel told before need not hold for what is read after. */
static void when_it_is_set_while_it_is_read(void **state)
{
	(void)state;
	host.asked = 0;
	host.spoilt_after = true;
	resume(guest_counter());
	assert_false(has(HAS_MAX));
	run_s(60);

	boot_host(0, 40000000);
	host.mended_before = true;
	resume(guest_counter());
	assert_true(has(HAS_MAX));
	run_s(60);
}

static void nothing_is_claimed_if_nobody_synchronises(void **state)
{
	(void)state;
	set_clock(123456789);
	resume(guest_counter());
	for (unsigned n = 0; n < 100; n++) {
		run_s(10);
		assert_false(has(HAS_MAX | HAS_EST));
		assert_int_equal(get(0x22, 1), 3);
		assert_int_equal(get(0x60, 8), 0);
	}
}

static void insert_leap_second(void)
{
	host.state = TIME_OOP;
	host.kernel.tai++;
	show_clocks();
}

static void through_a_leap_second(void **state)
{
	(void)state;
	host.kernel.status |= STA_INS;
	host.state = TIME_INS;
	run_s(120);
	assert_int_equal(get(0x26, 1), CLOCK_LEAP_PRE_POS);
	assert_int_equal(get(0x24, 2), 37);
	insert_leap_second();
	look();
	refresh(true); /* the clock was set: CLOCK_REALTIME */
	assert_int_equal(get(0x26, 1), CLOCK_LEAP_POS);
	assert_int_equal(get(0x24, 2), 38);
	host.state = TIME_WAIT;
	run_s(2);
	assert_int_equal(get(0x26, 1), CLOCK_LEAP_POST_POS);
	host.kernel.status = 0;
	host.state = TIME_OK;
	run_s(120);
	assert_int_equal(get(0x26, 1), CLOCK_LEAP_NONE);
	assert_int_equal(get(0x10, 8), 0);
}

static void one_that_is_left_out_is_told_too(void **state)
{
	(void)state;
	host.kernel.status |= STA_DEL;
	host.state = TIME_DEL;
	run_s(61);
	assert_int_equal(get(0x26, 1), CLOCK_LEAP_PRE_NEG);
	host.state = TIME_WAIT;
	host.kernel.tai--;
	refresh(true);
	assert_int_equal(get(0x26, 1), CLOCK_LEAP_POST_NEG);
	assert_int_equal(get(0x24, 2), 36);
	run_s(61);
}

/* Frozen, continuous, and restored by another process on another boot. */
static void through_pauses_and_restores(void **state)
{
	uint64_t marker = 0;

	(void)state;
	for (unsigned n = 0; n < 200; n++) {
		uint64_t stopped = guest_counter(), kind = any(3);
		unsigned s = 1 + (unsigned)any(4000);

		time_pages_announce(&pages, true);
		assert_true(has(SOON));
		look();
		for (unsigned i = 0; i < s; i++)
			pass_ms(1000);
		synchronise();
		if (kind == 0)
			resume_with(guest.offset);
		if (kind == 2) {
			struct vmclock saved = pages.vmclock;

			boot_host((int64_t)any(400000) - 200000,
				  (wide)any(1000000));
			set_pages();
			pages.vmclock.published = saved.published;
			pages.vmclock.seq = saved.seq;
			pages.vmclock.disruption = saved.disruption;
			pages.restored = true;
		}
		if (kind)
			resume(stopped);
		marker += kind != 0;
		assert_int_equal(get(0x10, 8), marker);
		assert_false(has(SOON));
		run_s((unsigned)any(100));
		assert_int_equal(get(0x10, 8), marker);
	}
	assert_true(marker > 100 && marker < 170);
}

#define TIME_TEST(name) cmocka_unit_test_setup(name, set_up_time)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TIME_TEST(over_hours_on_a_good_host),
		TIME_TEST(with_an_oscillator_that_wanders),
		TIME_TEST(with_a_daemon_that_died),
		TIME_TEST(while_the_clock_is_slewed),
		TIME_TEST(while_it_is_slewed_as_fast_as_it_can),
		TIME_TEST(when_the_clock_is_set),
		TIME_TEST(when_it_is_set_while_it_is_read),
		TIME_TEST(nothing_is_claimed_if_nobody_synchronises),
		TIME_TEST(through_a_leap_second),
		TIME_TEST(one_that_is_left_out_is_told_too),
		TIME_TEST(through_pauses_and_restores),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
