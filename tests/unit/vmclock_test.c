/* SPDX-License-Identifier: Apache-2.0 */
/* The VMClock page, byte by byte: devices/vmclock.c. */
#include <string.h>

#include "devices/vmclock.h"
#include "tests/unit/irq_counter.h"
#include "tests/unit/testing.h"

static _Alignas(8) uint8_t page[VMCLOCK_SIZE];
static struct vmclock vmclock;
static unsigned raised;

static const struct vmclock_pair some_time = {
	.counter = 0x1122334455667788,
	.hz = 62500000,
	.tai_sec = 1800000037,
	.tai_ns = 500000000,
	.tai_offset = 37,
	.rate_max_error = 500 << 16,
};

static int set_up(void **state)
{
	(void)state;
	memset(page, 0, sizeof(page));
	raised = 0;
	vmclock_init(&vmclock, page, irq_counter(&raised));
	return 0;
}

static uint64_t get(unsigned offset, unsigned len)
{
	uint64_t value = 0;

	for (unsigned i = len; i--;)
		value = value << 8 | page[offset + i];
	return value;
}

static unsigned interrupts(void)
{
	unsigned count = raised;

	raised = 0;
	return count;
}

static void it_is_a_clock_of_the_virtual_counter_in_tai(void **state)
{
	(void)state;
	vmclock_publish(&vmclock, &some_time, true);
	assert_memory_equal(page, "VCLK", 4);
	assert_int_equal(get(0x04, 4), 4096);
	assert_int_equal(get(0x08, 2), 1);
	assert_int_equal(get(0x0a, 1), 0); /* CNTVCT_EL0 */
	assert_int_equal(get(0x0b, 1), 1); /* TAI */
	assert_int_equal(get(0x18, 8), 1 << 0 | 1 << 4 | 1 << 8 | 1 << 9);
	assert_int_equal(get(0x22, 1), 3); /* free-running */
	assert_int_equal(get(0x24, 2), 37);
	assert_int_equal(get(0x28, 8), 0x1122334455667788);
	assert_int_equal(get(0x48, 8), 1800000037);
	assert_true(get(0x50, 8) == 1ull << 63); /* half a second */
	assert_int_equal(get(0x68, 8), 0);
}

static void an_error_is_told_if_the_host_knows_it(void **state)
{
	struct vmclock_pair pair = some_time;

	(void)state;
	pair.synchronized = true;
	pair.max_error = 1234;
	vmclock_publish(&vmclock, &pair, true);
	assert_true(get(0x18, 8) & 1 << 6);
	assert_int_equal(get(0x22, 1), 2);
	assert_int_equal(get(0x60, 8), 1234);
	vmclock_publish(&vmclock, &some_time, true);
	assert_false(get(0x18, 8) & 1 << 6);
	assert_int_equal(get(0x60, 8), 0);
}

/* What a driver computes: delta * period >> shift, in 2^-64 seconds. */
static void the_period_counts_a_second_exactly(void **state)
{
	static const uint32_t rates[] = {
		2,          3,        1000000,        24000000,  62500000,
		1000000000, 1u << 29, (1u << 29) + 1, UINT32_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct vmclock_pair pair = some_time;
		unsigned __int128 second;
		uint64_t off;

		pair.hz = rates[i];
		vmclock_publish(&vmclock, &pair, true);
		assert_true(get(0x30, 8) >> 63);
		second = (unsigned __int128)get(0x30, 8) * rates[i] >>
			 get(0x27, 1);
		/* 2^64, less what rounding takes. */
		off = (uint64_t)(((unsigned __int128)1 << 64) - second);
		assert_true(off <= 4);
	}
}

/* Of the nominal period, also where the period is far from that. */
static void errors_of_the_rate_are_parts_of_the_nominal_period(void **state)
{
	static const int64_t ppm[] = {-100000, -500, 0, 500, 100000};

	(void)state;
	for (size_t i = 0; i < sizeof(ppm) / sizeof(ppm[0]); i++) {
		struct vmclock_pair pair = some_time;
		unsigned __int128 nominal, error;

		pair.rate = ppm[i] * 65536;
		pair.rate_max_error = 100500 * 65536ull;
		vmclock_publish(&vmclock, &pair, false);
		nominal =
			((unsigned __int128)1 << (64 + get(0x27, 1))) / pair.hz;
		error = nominal * 100500 / 1000000;
		assert_in_range(get(0x40, 8) - (uint64_t)error, 0, 2);
		nominal = nominal * (uint64_t)(1000000 + ppm[i]) / 1000000;
		assert_in_range(get(0x30, 8) - (uint64_t)nominal + 2, 0, 4);
	}
}

static void one_nanosecond_is_as_the_specification_writes_it(void **state)
{
	struct vmclock_pair pair = some_time;

	(void)state;
	pair.hz = 1000000000;
	vmclock_publish(&vmclock, &pair, true);
	assert_true(get(0x30, 8) == 0x89705f4136b4a597);
	assert_int_equal(get(0x27, 1), 29);
}

static void a_change_is_a_disruption_and_an_interrupt(void **state)
{
	(void)state;
	vmclock_notify(&vmclock);
	vmclock_publish(&vmclock, &some_time, true);
	assert_int_equal(interrupts(), 0);
	assert_int_equal(get(0x10, 8), 0);
	for (unsigned n = 1; n < 4; n++) {
		vmclock_notify(&vmclock);
		vmclock_publish(&vmclock, &some_time, true);
		assert_int_equal(interrupts(), 1);
		assert_int_equal(get(0x10, 8), n);
		assert_int_equal(get(0x0c, 4), 2 * (n + 1));
	}
	assert_int_equal(get(0x68, 8), 0);
}

static void what_the_guest_wrote_does_not_stay(void **state)
{
	(void)state;
	vmclock_publish(&vmclock, &some_time, true);
	memset(page, 0xff, 0x70);
	vmclock_publish(&vmclock, &some_time, true);
	assert_memory_equal(page, "VCLK", 4);
	assert_int_equal(get(0x0c, 4), 4);
	assert_int_equal(get(0x10, 8), 1);
	assert_int_equal(get(0x24, 2), 37);
	assert_int_equal(get(0x68, 8), 0);
}

#define VMCLOCK_TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		VMCLOCK_TEST(it_is_a_clock_of_the_virtual_counter_in_tai),
		VMCLOCK_TEST(an_error_is_told_if_the_host_knows_it),
		VMCLOCK_TEST(the_period_counts_a_second_exactly),
		VMCLOCK_TEST(
			errors_of_the_rate_are_parts_of_the_nominal_period),
		VMCLOCK_TEST(one_nanosecond_is_as_the_specification_writes_it),
		VMCLOCK_TEST(a_change_is_a_disruption_and_an_interrupt),
		VMCLOCK_TEST(what_the_guest_wrote_does_not_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
