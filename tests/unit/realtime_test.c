/* SPDX-License-Identifier: Apache-2.0 */
/* The words for a guest's wall-clock time: core/base/realtime.c. */
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/realtime.h"
#include "core/base/util.h"
#include "tests/unit/testing.h"

#define S 1000000000ll

static const struct {
	const char *text;
	bool is_date;
	int64_t ns;
	const char *printed;
} times[] = {
	{"host", false, 0, "host"},
	{"+0", false, 0, "host"},
	{"+3600", false, 3600 * S, "+3600.000000000"},
	{"-1.5", false, -3 * S / 2, "-1.500000000"},
	{"-0.000000001", false, -1, "-0.000000001"},
	{"+9223372036.854775807", false, INT64_MAX, "+9223372036.854775807"},
	{"0", true, 0, "0.000000000"},
	{"2147483648", true, 2147483648 * S, "2147483648.000000000"},
	{"1.123456789", true, 1123456789, "1.123456789"},
	{"1970-01-01T00:00:00Z", true, 0, "0.000000000"},
	{"1970-01-01T01:00:00+01:00", true, 0, "0.000000000"},
	{"1969-12-31t23:30:00-00:30", true, 0, "0.000000000"},
	{"2000-02-29 12:34:56.5z", true, 951827696 * S + S / 2,
	 "951827696.500000000"},
	{"2038-01-19T03:14:08Z", true, 2147483648 * S, "2147483648.000000000"},
	{"2100-03-01T00:00:00Z", true, 4107542400 * S, "4107542400.000000000"},
	{"2016-12-31T23:59:60Z", true, 1483228800 * S, "1483228800.000000000"},
	{"2262-04-11T23:47:16.854775807Z", true, INT64_MAX,
	 "9223372036.854775807"},
};

static void words_are_read_and_printed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(times); i++) {
		struct buf out = {0};
		struct realtime r, back;
		struct err e;

		assert_ok(realtime_parse(&r, times[i].text, &e), e);
		assert_int_equal(r.is_date, times[i].is_date);
		assert_true(r.ns == times[i].ns);
		realtime_print(&r, &out);
		assert_string_equal(out.data, times[i].printed);
		assert_ok(realtime_parse(&back, out.data, &e), e);
		assert_true(back.is_date == r.is_date && back.ns == r.ns);
		buf_free(&out);
	}
}

static const char *const no_times[] = {
	"",
	"Host",
	"now",
	"+",
	"-",
	"+-1",
	" 1",
	"1 ",
	"0x10",
	"1e9",
	".5",
	"+.5",
	"1.",
	"1.1234567890",
	"+9223372036.854775808",
	"+9223372037",
	"18446744073709551616",
	"-99999999999999999999999",
	"1969-12-31T23:59:59Z",
	"1970-01-01T00:00:00+00:01",
	"2262-04-11T23:47:16.854775808Z",
	"2262-04-11T23:47:17Z",
	"9999-01-01T00:00:00Z",
	"2023-02-29T00:00:00Z",
	"2100-02-29T00:00:00Z",
	"2024-00-01T00:00:00Z",
	"2024-13-01T00:00:00Z",
	"2024-01-00T00:00:00Z",
	"2024-04-31T00:00:00Z",
	"2024-01-01T24:00:00Z",
	"2024-01-01T00:60:00Z",
	"2024-01-01T00:00:61Z",
	"2024-01-01T00:00:00",
	"2024-01-01T00:00:00Zz",
	"2024-01-01T00:00:00+24:00",
	"2024-01-01T00:00:00+1:00",
	"2024-01-01T00:00:00+01:0",
	"2024-01-01T00:00:00.Z",
	"2024-01-01",
	"2024-01-01T",
	"24-01-01T00:00:00Z",
};

static void what_is_no_time_is_refused(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(no_times); i++) {
		struct realtime r;
		struct err e = {0};

		if (!realtime_parse(&r, no_times[i], &e))
			fail_msg("\"%s\" was read", no_times[i]);
		assert_contains(e.text, "is no time; give host");
	}
}

static void sums_are_from_1970_to_2262(void **state)
{
	const struct realtime back = {.ns = -10}, on = {.ns = INT64_MAX};
	struct err e;
	uint64_t ns;

	(void)state;
	assert_ok(realtime_add(&back, 10, &ns, &e), e);
	assert_int_equal(ns, 0);
	assert_err(realtime_add(&back, 9, &ns, &e), e, "before 1970");
	assert_ok(realtime_add(&on, 0, &ns, &e), e);
	assert_err(realtime_add(&on, 1, &ns, &e), e, "after 2262");
	assert_err(realtime_add(&on, UINT64_MAX, &ns, &e), e, "after 2262");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_read_and_printed),
		cmocka_unit_test(what_is_no_time_is_refused),
		cmocka_unit_test(sums_are_from_1970_to_2262),
	};

	return RUN_TESTS("realtime", tests);
}
