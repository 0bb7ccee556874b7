/* SPDX-License-Identifier: Apache-2.0 */
/* The real-time clock: devices/rtc.c.  The host's clock is the test's. */
#include "devices/rtc.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/testing.h"

enum { DR = 0x00, MR = 0x04, LR = 0x08, CR = 0x0c, IMSC = 0x10, RIS = 0x14 };

static struct rtc rtc;

static int reset(void **state)
{
	(void)state;
	rtc = (struct rtc){0};
	fake_clock_set(1700000000, 999999999);
	return 0;
}

static uint64_t get(uint64_t offset)
{
	return rtc_mmio_ops.read(&rtc, offset, 4);
}

static void set(uint64_t offset, uint64_t value)
{
	rtc_mmio_ops.write(&rtc, offset, 4, value);
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

static void there_is_never_an_interrupt(void **state)
{
	(void)state;
	set(MR, 1);
	set(IMSC, 1);
	assert_int_equal(get(RIS), 0);
	assert_int_equal(get(0x18), 0);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(data_is_the_hosts_time, reset),
		cmocka_unit_test_setup(load_sets_the_guests_time, reset),
		cmocka_unit_test_setup(time_wraps_at_32_bits, reset),
		cmocka_unit_test_setup(host_time_after_2106_wraps, reset),
		cmocka_unit_test_setup(match_and_mask_are_kept, reset),
		cmocka_unit_test_setup(control_is_always_enabled, reset),
		cmocka_unit_test_setup(there_is_never_an_interrupt, reset),
		cmocka_unit_test_setup(data_is_read_only, reset),
		cmocka_unit_test_setup(ids_are_those_of_a_pl031, reset),
		cmocka_unit_test_setup(other_widths_do_nothing, reset),
		cmocka_unit_test_setup(unaligned_words_are_nothing, reset),
	};

	return RUN_TESTS("rtc", tests);
}
