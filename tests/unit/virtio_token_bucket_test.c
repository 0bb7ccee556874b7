/* SPDX-License-Identifier: Apache-2.0 */
/* Limits, to the token and the nanosecond: core/base/token_bucket.c. */
#include "core/base/token_bucket.h"
#include "tests/unit/testing.h"

#define MS 1000000ull

static struct token_bucket b;

static void begin(uint64_t size, uint64_t refill_ms, uint64_t burst)
{
	struct token_bucket_config config = {size, refill_ms, burst};

	token_bucket_init(&b, &config, 0);
}

static void zero_is_no_limit(void **state)
{
	(void)state;
	begin(0, 100, 5);
	assert_false(token_bucket_is_limited(&b));
	assert_true(token_bucket_take(&b, UINT64_MAX, 0));
	begin(100, 0, 5);
	assert_false(token_bucket_is_limited(&b));
	assert_true(token_bucket_take(&b, UINT64_MAX, 0));
	token_bucket_give(&b, 7);
	assert_true(token_bucket_wait_ns(&b, 7) == 0);
}

static void full_bucket_gives_its_size_at_once(void **state)
{
	(void)state;
	begin(1000, 100, 0);
	assert_true(token_bucket_take(&b, 999, 0));
	assert_false(token_bucket_take(&b, 2, 0));
	assert_true(token_bucket_take(&b, 1, 0));
	assert_false(token_bucket_take(&b, 1, 0));
}

static void refills_at_the_rate(void **state)
{
	(void)state;
	begin(1000, 100, 0); /* a token each 100 us */
	assert_true(token_bucket_take(&b, 1000, 0));
	assert_false(token_bucket_take(&b, 1, MS / 10 - 1));
	assert_true(token_bucket_take(&b, 1, MS / 10));
	assert_true(token_bucket_take(&b, 500, MS / 10 + 50 * MS));
	assert_false(token_bucket_take(&b, 1, MS / 10 + 50 * MS));
}

static void holds_no_more_than_its_size(void **state)
{
	(void)state;
	begin(1000, 100, 0);
	assert_true(token_bucket_take(&b, 10, 0));
	assert_true(token_bucket_take(&b, 1000, 10000 * MS));
	assert_false(token_bucket_take(&b, 1, 10000 * MS));
}

static void wait_is_exact(void **state)
{
	static const uint64_t tokens[] = {1, 2, 3, 7, 500, 999, 1000};
	uint64_t now = 0;

	(void)state;
	begin(1000, 3, 0); /* 3000 ns each */
	assert_true(token_bucket_take(&b, 1000, now));
	for (unsigned i = 0; i < sizeof(tokens) / sizeof(*tokens); i++) {
		uint64_t wait;

		now += 1; /* fractions of a token */
		assert_false(token_bucket_take(&b, tokens[i], now));
		wait = token_bucket_wait_ns(&b, tokens[i]);
		assert_false(token_bucket_take(&b, tokens[i], now + wait - 1));
		assert_true(token_bucket_take(&b, tokens[i], now + wait));
		now += wait;
	}
}

static void fractions_are_not_lost(void **state)
{
	uint64_t taken = 0;

	(void)state;
	begin(3, 1, 0); /* 3 tokens per 1,000,000 ns */
	assert_true(token_bucket_take(&b, 3, 0));
	for (uint64_t now = 7; now <= 700 * MS; now += 77777)
		taken += token_bucket_take(&b, 1, now);
	/* 700 ms at 3 per ms. */
	assert_in_range(taken, 2099, 2100);
}

static void burst_is_spent_first_and_once(void **state)
{
	(void)state;
	begin(100, 100, 50);
	assert_true(token_bucket_take(&b, 50, 0));
	assert_true(token_bucket_take(&b, 100, 0));
	assert_false(token_bucket_take(&b, 1, 0));
	assert_true(token_bucket_take(&b, 100, 100 * MS));
	assert_false(token_bucket_take(&b, 101, 100 * MS) && !b.debt);
	assert_int_equal(b.burst, 0);
}

static void request_may_span_burst_and_budget(void **state)
{
	(void)state;
	begin(100, 100, 50);
	assert_true(token_bucket_take(&b, 120, 0));
	assert_int_equal(b.burst, 0);
	assert_int_equal(b.budget, 30);
}

static void failed_request_spends_no_burst(void **state)
{
	(void)state;
	begin(100, 100, 50);
	b.budget = 10;
	assert_false(token_bucket_take(&b, 70, 0));
	assert_int_equal(b.burst, 50);
	assert_int_equal(b.budget, 10);
	assert_true(token_bucket_wait_ns(&b, 70) == 10 * MS);
}

static void larger_than_the_bucket_is_paid_off(void **state)
{
	(void)state;
	begin(100, 100, 0);
	assert_true(token_bucket_take(&b, 350, 0)); /* 250 in debt */
	assert_false(token_bucket_take(&b, 1, 250 * MS));
	assert_true(token_bucket_wait_ns(&b, 1) == MS);
	assert_true(token_bucket_take(&b, 1, 251 * MS));
	/* And again at once, from an empty bucket without debt. */
	assert_true(token_bucket_take(&b, 200, 251 * MS));
	assert_false(token_bucket_take(&b, 200, 450 * MS));
	assert_true(token_bucket_wait_ns(&b, 200) == MS);
	assert_true(token_bucket_take(&b, 200, 451 * MS));
}

static void what_is_given_back_can_be_taken(void **state)
{
	(void)state;
	begin(100, 100, 0);
	assert_true(token_bucket_take(&b, 100, 0));
	token_bucket_give(&b, 30);
	assert_true(token_bucket_take(&b, 30, 0));
	token_bucket_give(&b, 1000);
	assert_int_equal(b.budget, 100);
}

static void extremes_do_not_overflow(void **state)
{
	(void)state;
	begin(UINT64_MAX, UINT64_MAX, UINT64_MAX);
	assert_true(token_bucket_take(&b, UINT64_MAX, 0));
	assert_true(token_bucket_take(&b, UINT64_MAX, 1));
	assert_false(token_bucket_take(&b, UINT64_MAX, 2));
	assert_true(token_bucket_wait_ns(&b, UINT64_MAX) > 0);
	begin(1, UINT64_MAX, 0);
	assert_true(token_bucket_take(&b, UINT64_MAX, 0));
	assert_false(token_bucket_take(&b, 1, UINT64_MAX));
	assert_true(token_bucket_wait_ns(&b, 1) == UINT64_MAX);
	begin(UINT64_MAX, 1, 0);
	assert_true(token_bucket_take(&b, UINT64_MAX, 0));
	assert_true(token_bucket_take(&b, UINT64_MAX, UINT64_MAX));
}

static void time_that_goes_back_refills_nothing(void **state)
{
	(void)state;
	begin(100, 100, 0);
	assert_true(token_bucket_take(&b, 100, 50 * MS));
	assert_false(token_bucket_take(&b, 1, 10 * MS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zero_is_no_limit),
		cmocka_unit_test(full_bucket_gives_its_size_at_once),
		cmocka_unit_test(refills_at_the_rate),
		cmocka_unit_test(holds_no_more_than_its_size),
		cmocka_unit_test(wait_is_exact),
		cmocka_unit_test(fractions_are_not_lost),
		cmocka_unit_test(burst_is_spent_first_and_once),
		cmocka_unit_test(request_may_span_burst_and_budget),
		cmocka_unit_test(failed_request_spends_no_burst),
		cmocka_unit_test(larger_than_the_bucket_is_paid_off),
		cmocka_unit_test(what_is_given_back_can_be_taken),
		cmocka_unit_test(extremes_do_not_overflow),
		cmocka_unit_test(time_that_goes_back_refills_nothing),
	};

	return RUN_TESTS("token_bucket", tests);
}
