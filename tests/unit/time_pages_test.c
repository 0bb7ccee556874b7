/* SPDX-License-Identifier: Apache-2.0 */
/* What VMClock says of the host's clock, and how often: vmm/vm/time/. */
#include "tests/unit/testing.h"
#include "tests/unit/time_world.h"

static void the_period_is_that_of_the_hosts_clock(void **state)
{
	wide bound, tai, early;

	(void)state;
	/* Right to less than a microsecond, and a minute ago: only by the
	 * rate that the host gives its clock, 12 ppm off what is nominal. */
	boot_host(12345, 0);
	host.ppb = 12345;
	resume(guest_counter());
	never_refresh();
	early = guest_tai(&bound) - host.true_ns;
	for (unsigned i = 0; i < 600; i++)
		pass_ms(1000);
	tai = guest_tai(&bound);
	assert_true(absolute(tai - host.true_ns - early) < 20000);
	assert_true(bound < 600ll * 520000 + 1000000);
}

static void how_well_the_rate_is_known_is_measured(void **state)
{
	uint64_t good;

	(void)state;
	assert_false(has(HAS_RATE_EST));
	run_s(600);
	assert_true(has(HAS_RATE_EST));
	good = get(0x38, 8);
	/* Less than 0.1 ppm of the period. */
	assert_true(good < get(0x30, 8) / 10000000);
	host.clock_ns += BILLION / 2;
	synchronise();
	refresh(true);
	host.slews_aside = true;
	slew(100);
	run_s(61);
	assert_in_range(get(0x38, 8), get(0x30, 8) / 1000000 * 10,
			get(0x30, 8) / 1000000 * 101);
	/* An estimate is not more than the bound. */
	pass_ms(1000);
	set_clock((wide)3600 * BILLION);
	refresh(true);
	assert_true(get(0x38, 8) <= get(0x40, 8));
}

static void the_guest_is_interrupted_but_not_disrupted(void **state)
{
	uint64_t seq = get(0x0c, 4);

	(void)state;
	raised = 0;
	run_s(3600);
	assert_int_equal(raised, refreshes);
	assert_int_equal(get(0x0c, 4), seq + 2 * refreshes);
	assert_int_equal(get(0x10, 8), 0);
}

static void a_change_is_looked_for_more_often(void **state)
{
	uint64_t before;

	(void)state;
	run_s(600);
	before = refreshes;
	host.clock_ns += 10000000;
	synchronise();
	slew(100);
	run_s(64);
	assert_in_range(refreshes - before, 3, 9);
}

static void a_counter_that_was_written_is_less_exact(void **state)
{
	uint64_t exact;

	(void)state;
	resume(guest_counter());
	exact = get(0x60, 8);
	guest.error_ticks = 1000;
	resume(guest_counter());
	assert_in_range(get(0x60, 8) - exact, 1000 * (BILLION / HZ) - 200,
			1000 * (BILLION / HZ) + 200);
}

static void a_host_that_does_not_tell_is_nominal(void **state)
{
	(void)state;
	host.refuses = true;
	run_s(100);
	resume(guest_counter());
	assert_false(has(HAS_MAX | HAS_EST));
	assert_int_equal(get(0x22, 1), 3);
	assert_true(get(0x30, 8) ==
		    (uint64_t)(((unsigned __int128)1 << 89) / HZ));
	/* Its TAI offset is in its clocks. */
	assert_int_equal(get(0x24, 2), 37);
	assert_true((wide)get(0x48, 8) == host.clock_ns / BILLION);
	assert_true(pages.is_told);
}

/* ---------------------------------------------------------------- smearing */

static uint64_t bound_at(int64_t utc_s)
{
	host.clock_ns = host.true_ns = (wide)(utc_s + 37) * BILLION;
	synchronise();
	show_clocks();
	resume(guest_counter());
	return get(0x60, 8);
}

static void a_smeared_second_may_be_missing_at_a_months_end(void **state)
{
	enum { JULY = 1782864000 /* 2026-07-01 */, DAY = 86400 };
	static const int64_t far[] = {JULY - 2 * DAY, JULY + 2 * DAY,
				      JULY + 15 * DAY,
				      4107412800 /* 2100-02-27 12:00 */};
	static const int64_t near[] = {JULY - DAY / 2,
				       JULY - 1,
				       JULY,
				       JULY + DAY / 2,
				       1709208000 /* 2024-02-29 12:00 */,
				       1772280000 /* 2026-02-28 12:00 */,
				       4107499200 /* 2100-02-28 12:00 */};

	(void)state;
	assert_true(bound_at(JULY) < 2000000);
	assert_int_equal(get(0x23, 1), 0);
	pages.smear = CLOCK_SMEAR_UTC_SLS;
	for (unsigned i = 0; i < sizeof(far) / sizeof(far[0]); i++)
		assert_true(bound_at(far[i]) < 2000000);
	for (unsigned i = 0; i < sizeof(near) / sizeof(near[0]); i++)
		assert_in_range(bound_at(near[i]), BILLION, BILLION + 2000000);
	assert_int_equal(get(0x23, 1), 2);
}

#define TIME_TEST(name) cmocka_unit_test_setup(name, set_up_time)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TIME_TEST(the_period_is_that_of_the_hosts_clock),
		TIME_TEST(how_well_the_rate_is_known_is_measured),
		TIME_TEST(the_guest_is_interrupted_but_not_disrupted),
		TIME_TEST(a_change_is_looked_for_more_often),
		TIME_TEST(a_counter_that_was_written_is_less_exact),
		TIME_TEST(a_host_that_does_not_tell_is_nominal),
		TIME_TEST(a_smeared_second_may_be_missing_at_a_months_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
