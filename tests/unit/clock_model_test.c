/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic of guest time against 128-bit numbers that never wrap, over
 * ten million cases: random ones, and those at the ends of the counters' range.
 */
#include <stdlib.h>

#include "arch/aarch64/clock_model.h"
#include "tests/unit/testing.h"

typedef unsigned __int128 u128;

enum { CASES = 10000000 };

#define RANGE   ((u128)1 << 64) /* of a counter */
#define BILLION 1000000000u

static uint64_t random64(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

/* A third lies near 0, 2^63 and 2^64, and a third is of any magnitude. */
static uint64_t random_counter(void)
{
	uint64_t x = random64();

	switch (x % 3) {
	case 0:
		return (x >> 8 & 3) * (1ull << 62) * 2 + x % 17 - 8;
	case 1:
		return random64() >> (x >> 8 & 63);
	default:
		return random64();
	}
}

/* From one that is slow to that of QEMU's max, and what CPUs really have. */
static uint32_t random_hz(void)
{
	static const uint32_t hz[] = {19200000, 24000000,   25000000,
				      31250000, 62500000,   100000000,
				      54000000, 1000000000, 1050000000};
	uint64_t x = random64();

	return x & 1 ? hz[(x >> 8) % (sizeof(hz) / sizeof(*hz))]
		     : (uint32_t)(x >> 32) | 1;
}

/* assert_true() takes a while. */
static void must(bool condition, const char *what, uint64_t a, uint64_t b)
{
	if (!condition)
		fail_msg("%s: %llu, %llu", what, (unsigned long long)a,
			 (unsigned long long)b);
}

static uint64_t minus(uint64_t a, uint64_t b)
{
	return (uint64_t)((RANGE + a - b) % RANGE);
}

static uint64_t plus(uint64_t a, uint64_t b)
{
	return (uint64_t)(((u128)a + b) % RANGE);
}

/*
 * A guest stopped when the host was at @stop.  Its host is at @resume now:
 * later, or anywhere, because it is another, or was rebooted.
 */
static void check_frozen(void)
{
	uint64_t stop = random_counter(), offset = random_counter();
	uint64_t resume =
		random64() & 1 ? random_counter() : stop + (random64() >> 8);
	uint64_t on = random64() >> 1, stopped = clock_guest(stop, offset);
	uint64_t moved = clock_offset(resume, stopped);

	must(stopped == minus(stop, offset), "guest", stop, offset);
	must(moved == minus(resume, stopped), "offset", resume, stopped);
	must(minus(moved, offset) == minus(resume, stop), "O' = O + D", moved,
	     offset);
	must(clock_guest(plus(resume, on), moved) == plus(stopped, on),
	     "no time is lost or won", resume, on);
	must(!clock_goes_back(stopped, clock_guest(plus(resume, on), moved)),
	     "never back", stopped, on);
}

static void check_back(void)
{
	uint64_t from = random_counter(), by = random_counter();
	uint64_t half = (uint64_t)(RANGE / 2);

	must(clock_goes_back(from, plus(from, by)) == (by >= half), "back",
	     from, by);
}

static void check_bracket(void)
{
	uint64_t before = random_counter(), offset = random_counter();
	uint64_t took = random64() >> (1 + random64() % 63);
	uint64_t at = random_counter(); /* after before */
	uint64_t guest = minus(plus(before, at), offset);

	must(clock_bracketed(before, guest, plus(before, took), offset) ==
		     (at <= took),
	     "bracket", at, took);
}

static void check_products(void)
{
	uint64_t ticks = random_counter(), ms = random_counter();
	uint32_t hz = random_hz();
	uint64_t ns = clock_ns(ticks, hz);

	must((u128)ns * hz <= (u128)ticks * BILLION, "ns: floor", ticks, hz);
	must(ns == UINT64_MAX || (u128)ticks * BILLION < ((u128)ns + 1) * hz,
	     "ns: not less", ticks, hz);
	/* In tenths of nothing: whole and rest apart. */
	must(clock_longer_than(ticks, hz, ms) ==
		     (ticks / hz > ms / 1000 ||
		      (ticks / hz == ms / 1000 &&
		       (u128)(ticks % hz) * 1000 > (u128)(ms % 1000) * hz)),
	     "longer than", ticks, ms);
}

static void ten_million_cases_agree_with_128_bits(void **state)
{
	(void)state;
	for (int i = 0; i < CASES; i++) {
		check_frozen();
		check_back();
		check_bracket();
		check_products();
	}
}

static void a_bracket_takes_what_lies_within(void **state)
{
	(void)state;
	assert_true(clock_bracketed(100, 60, 100, 40));
	assert_true(clock_bracketed(100, 65, 105, 40));
	assert_true(clock_bracketed(5, UINT64_MAX, 9, 6));
}

static void a_bracket_refuses_one_tick_outside(void **state)
{
	(void)state;
	assert_false(clock_bracketed(100, 59, 105, 40));
	assert_false(clock_bracketed(100, 66, 105, 40));
	assert_false(clock_bracketed(5, UINT64_MAX - 2, 9, 6));
}

static void nanoseconds_neither_wrap_nor_round_up(void **state)
{
	(void)state;
	assert_int_equal(clock_ns(1, 1000000000), 1);
	assert_int_equal(clock_ns(3, 2000000000), 1);
	/* 768 s at 24 MHz is where 64-bit products wrap. */
	assert_int_equal(clock_ns(24000000ull * 10000, 24000000),
			 10000ull * 1000000000);
	assert_int_equal(clock_ns(UINT64_MAX, 1), UINT64_MAX);
	assert_int_equal(clock_ns(5, 0), 0);
}

static void jumps_beyond_64_bits_are_right(void **state)
{
	(void)state;
	assert_true(clock_longer_than(600ull * 24000000 + 1, 24000000, 600000));
	assert_false(clock_longer_than(600ull * 24000000, 24000000, 600000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ten_million_cases_agree_with_128_bits),
		cmocka_unit_test(a_bracket_takes_what_lies_within),
		cmocka_unit_test(a_bracket_refuses_one_tick_outside),
		cmocka_unit_test(nanoseconds_neither_wrap_nor_round_up),
		cmocka_unit_test(jumps_beyond_64_bits_are_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
