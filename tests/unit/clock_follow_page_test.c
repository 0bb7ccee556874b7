/* SPDX-License-Identifier: Apache-2.0 */
/* What clock-follow makes of VMClock's page: tools/guest/clock-follow/page.c,
 * against numbers of 128 bits and what the kernel does at leap seconds. */
#include "tests/unit/testing.h"
#include "tools/guest/clock-follow/page.h"

enum { HZ = 62500000, DAY_S = 86400 };

#define NOON (1800000000ll / DAY_S * DAY_S + DAY_S / 2)

/* TAI at counter 1000 is that of @utc_s and a quarter second. */
static struct page page_at(int64_t utc_s)
{
	return (struct page){
		.magic = 0x4b4c4356,
		.version = 1,
		.time_type = 1,
		.flags = 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 9,
		.status = 2,
		.tai_offset = 37,
		.period_shift = 25,
		.counter = 1000,
		.period = (uint64_t)(((unsigned __int128)1 << 89) / HZ),
		.time_sec = (uint64_t)utc_s + 37,
		.time_frac = 1ull << 62,
		.time_max_error = 2000000,
		.time_est_error = 3000,
	};
}

static int64_t utc_after(const struct page *p, uint64_t seconds)
{
	return page_utc_ns(p, 1000 + seconds * HZ);
}

static void time_goes_on_from_the_page(void **state)
{
	struct page p = page_at(NOON);

	(void)state;
	assert_true(page_is_usable(&p));
	assert_true(page_notifies(&p));
	assert_int_equal(utc_after(&p, 0), NOON * BILLION + 250000000);
	for (uint64_t s = 1; s < 1ull << 33; s *= 3)
		assert_in_range((int64_t)(NOON + s) * BILLION + 250000000 -
					utc_after(&p, s),
				0, 2);
	p.time_type = 0;
	assert_int_equal(utc_after(&p, 0), (NOON + 37) * BILLION + 250000000);
}

static void pages_of_others_are_not_used(void **state)
{
	struct page p = page_at(NOON);

	(void)state;
	p.counter_id = 0xff;
	assert_false(page_is_usable(&p));
	p = page_at(NOON);
	p.period = 0;
	assert_false(page_is_usable(&p));
	p = page_at(NOON);
	p.period_shift = 64;
	assert_false(page_is_usable(&p));
	p = page_at(NOON);
	p.flags = 0;
	assert_false(page_is_usable(&p));
	p = page_at(NOON);
	p.time_type = 2;
	assert_false(page_is_usable(&p));
}

static void the_rate_is_what_the_period_says(void **state)
{
	static const int64_t ppm[] = {-90000, -501, -20, 0, 1, 500, 90000};

	(void)state;
	for (unsigned i = 0; i < sizeof(ppm) / sizeof(ppm[0]); i++) {
		struct page p = page_at(NOON);
		unsigned __int128 period = (unsigned __int128)p.period *
					   (uint64_t)(1000000 + ppm[i]) /
					   1000000;
		struct reading r;

		if (period > UINT64_MAX) {
			period >>= 1;
			p.period_shift--;
		}
		p.period = (uint64_t)period;
		r = page_reading(&p, 1000, HZ, NOON * BILLION);
		assert_true(r.has_rate);
		assert_int_equal(r.rate, ppm[i] * 65536);
		assert_int_equal(r.ahead_ns, 250000000);
	}
}

static void the_error_grows_since(void **state)
{
	struct page p = page_at(NOON);
	struct reading r;

	(void)state;
	p.period_max_error = p.period / 1000000 * 500;
	p.period_est_error = p.period / 1000000;
	r = page_reading(&p, 1000 + 10ull * HZ, HZ, 0);
	assert_true(r.is_bounded);
	assert_in_range(r.max_error_us, 7000, 7001);
	assert_in_range(r.est_error_us, 12, 14);
	assert_int_equal(r.tai, 37);
	p.status = 3;
	assert_false(page_reading(&p, 1000, HZ, 0).is_bounded);
	p.status = 2;
	p.flags &= ~(1ull << 6);
	assert_false(page_reading(&p, 1000, HZ, 0).is_bounded);
}

/* It shows @utc_s and a quarter, rounded down, @seconds after the page. */
static void check(const struct page *p, uint64_t seconds, int64_t utc_s)
{
	assert_in_range(utc_s * BILLION + 250000000 - utc_after(p, seconds), 0,
			1);
}

/* The guest's kernel inserts it, too; the host says so some moments later. */
static void a_leap_second_is_no_step(void **state)
{
	const int64_t midnight = NOON + DAY_S / 2;
	struct page p = page_at(midnight - 10);

	(void)state;
	p.leap = 1;
	assert_int_equal(page_reading(&p, 1000, HZ, 0).leap, 1);
	check(&p, 9, midnight - 1);
	/* 23:59:60 is shown as 23:59:59 once more. */
	check(&p, 10, midnight - 1);
	check(&p, 11, midnight);
	p.leap = 2;
	assert_int_equal(page_reading(&p, 1000, HZ, 0).leap, -1);
	check(&p, 8, midnight - 2);
	check(&p, 9, midnight);
	p.leap = 4;
	assert_int_equal(page_reading(&p, 1000, HZ, 0).leap, 0);
	check(&p, 10, midnight);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_goes_on_from_the_page),
		cmocka_unit_test(pages_of_others_are_not_used),
		cmocka_unit_test(the_rate_is_what_the_period_says),
		cmocka_unit_test(the_error_grows_since),
		cmocka_unit_test(a_leap_second_is_no_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
