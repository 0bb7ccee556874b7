/* SPDX-License-Identifier: Apache-2.0 */
/* `stasis ctl clock` and `stasis trace-offset`: vmm/ctl/ctl_clock.c. */
#include <stdio.h>
#include <string.h>

#include "core/base/err.h"
#include "core/json/json.h"
#include "tests/unit/ctl_server.h"
#include "tests/unit/testing.h"
#include "vmm/cli/cli.h"
#include "vmm/ctl/ctl_clock.h"

/* A guest of 100 MHz that was frozen for 10 s after its first 20. */
static const char *const told =
	"{\"state\":\"running\",\"on_pause\":\"frozen\",\"on_restore\":"
	"\"continuous\",\"on_stop\":\"continuous\",\"max_jump_ms\":600000,"
	"\"mode\":\"offset\","
	"\"physical\":\"guest\",\"hz\":100000000,\"host_counter\":5000000000,"
	"\"offset\":1500000000,\"guest_counter\":3500000000,\"error_ticks\":0,"
	"\"host_monotonic_raw_ns\":51000000000,\"realtime\":\"+3600."
	"500000000\",\"boot_id\":\"12-ab\","
	"\"vmclock\":{\"status\":\"synchronized\",\"rate_ppb\":-12345,"
	"\"tai_offset\":37,\"leap\":\"none\",\"smear\":\"utc-sls\","
	"\"max_error_ns\":1512345,\"est_error_ns\":9000,"
	"\"rate_max_error_ppb\":512345,\"rate_est_error_ppb\":12,"
	"\"guest_counter\":3400000000,\"disruptions\":1,\"published\":9},"
	"\"history\":["
	"{\"event\":\"booted\",\"realtime_ns\":1000000000,\"host_counter\":"
	"500000000,\"guest_counter\":0,\"offset\":500000000},"
	"{\"event\":\"paused\",\"realtime_ns\":2123456789,\"host_counter\":"
	"2500000000,\"guest_counter\":2000000000,\"offset\":500000000,"
	"\"late_ticks\":4200},"
	"{\"event\":\"resumed\",\"policy\":\"frozen\",\"paused_ns\":"
	"10000000000,\"jump_ns\":0,\"realtime_ns\":12123456789,"
	"\"host_counter\":3500000000,\"guest_counter\":2000000000,\"offset\":"
	"1500000000,\"error_ticks\":7,\"late_ticks\":300},"
	"{\"event\":\"stalled\",\"at_most_ns\":2500000000,"
	"\"host_slept_ns\":1000000000,\"realtime_ns\":14123456789,"
	"\"host_counter\":3500000000,\"guest_counter\":2000000000,\"offset\":"
	"1500000000,\"error_ticks\":9,\"late_ticks\":0}]}";

static void people_see_what_was_done(void **state)
{
	(void)state;
	assert_int_equal(answered_json("200 OK", told, "clock", NULL), EXIT_OK);
	assert_contains(server.request, "GET /clock HTTP/1.1\r\n");
	assert_contains(printed, "state    running\n");
	assert_contains(printed,
			"frozen over a pause, continuous over a "
			"restore, continuous over a stall; jumps up to "
			"600000 ms");
	assert_contains(printed, "3500000000 ticks, 35.000000 s\n");
	assert_contains(printed, "boot 12-ab\n");
	assert_contains(printed,
			"vmclock  synchronized; rate -12.345 ppm, right to "
			"1.512 ms and 512.3 ppm since; TAI-UTC 37 s, leap "
			"second: none; told 9 times\n");
	assert_contains(printed, "told     +3600.500000000\n");
	assert_contains(printed, "1970-01-01T00:00:02.123Z  paused   at "
				 "20.000000 s, stopped within 42.0 us, offset "
				 "500000000 +0\n");
	assert_contains(printed, "resumed  at 20.000000 s, frozen after "
				 "10.000000 s, jumped 0.000000 s, released "
				 "within 3.0 us, offset 1500000000 +7\n");
	assert_contains(printed,
			"stalled  at 20.000000 s, not run for at most 2.500000 "
			"s (host asleep 1.000000 s)");
	assert_int_equal(answered_json("200 OK", told, "clock", "--json"),
			 EXIT_OK);
	assert_contains(printed, "\"offset\":1500000000");
}

static void what_a_wrong_server_says_is_not_shown(void **state)
{
	(void)state;
	answered_json("200 OK", "{\"hz\":0,\"history\":[]}", "clock", NULL);
	assert_contains(complained, "not a valid answer of GET /clock");
	answered_json("200 OK", "{\"hz\":1,\"history\":{}}", "clock", NULL);
	assert_contains(complained, "not a valid answer of GET /clock");
	answered_json("200 OK",
		      "{\"hz\":1,\"state\":\"\\u001b[2J\",\"history\":[1,"
		      "{\"event\":null,\"realtime_ns\":-1}]}",
		      "clock", NULL);
	assert_contains(printed, "state    ?\n");
	assert_lacks(printed, "\x1b");
}

static void traces_are_laid_over_each_other(void **state)
{
	(void)state;
	command = cli_trace_offset;
	assert_int_equal(answered_json("200 OK", told, NULL, NULL), EXIT_OK);
	/* perf subtracts it from the guest's ticks: 3.5 G + 1.5 G = 5 G. */
	assert_contains(printed, "--guest-data=GUEST.data,PID,-1500000000 ");
	assert_contains(printed, "clock-follow --pair");
	assert_contains(printed, "before the guest's counter was at "
				 "2000000000");
	/* Its clock began when its counter was at 1 s: 34 s when the host's
	 * clock was at 51. */
	assert_int_equal(answered_json("200 OK", told,
				       "--guest=3500000000:34000000000", NULL),
			 EXIT_OK);
	assert_contains(printed, "--ts-offset 17000000000\n");
	assert_int_equal(answered_json("200 OK", told,
				       "--guest=2600000000:25000000000",
				       "--json"),
			 EXIT_OK);
	assert_string_equal(printed,
			    "{\"hz\":100000000,\"perf_time_offset\":"
			    "-1500000000,\"valid_since_guest_counter\":"
			    "2000000000,\"trace_cmd_ts_offset_ns\":"
			    "17000000000}\n");
}

static void a_trace_offset_that_cannot_be_had_is_explained(void **state)
{
	static const char *const wrong[] = {
		"", "1", "1:", ":1", "1:2x", "-1:2"};

	(void)state;
	command = cli_trace_offset;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		assert_int_equal(ctl("--guest", wrong[i], NULL, NULL),
				 EXIT_BAD_ARGUMENTS);
		assert_contains(complained, "COUNTER:NS");
	}
	assert_int_equal(ctl(NULL, NULL, NULL, NULL), EXIT_FAILED);
	assert_contains(complained, path);
	assert_int_equal(answered_json("400 Bad Request",
				       "{\"fault_message\":\"not yet\"}", NULL,
				       NULL),
			 EXIT_FAILED);
	assert_contains(complained, "rejected (400): not yet");
	assert_int_equal(answered_json("200 OK", "{}", NULL, NULL),
			 EXIT_FAILED);
	assert_contains(complained, "not a valid answer of GET /clock");
}

/* The guest's counter may be ahead of the host's, and clocks far apart. */
static void an_offset_may_have_either_sign(void **state)
{
	struct clock_answer answer = {
		.hz = 1000000000,
		.host_counter = 1000,
		.offset = -9000000000000000000,
		.host_raw_ns = 500,
	};

	(void)state;
	assert_int_equal(
		clock_answer_trace_offset(&answer, 9000000000000000000, 7),
		-507);
	/* Ten hours, whose nanoseconds have more than 64 bits with the rate. */
	assert_int_equal(
		clock_answer_trace_offset(&answer, 9000036000000001000, 0),
		36000000000500);
	answer.hz = 62500000;
	answer.offset = 0;
	assert_int_equal(clock_answer_trace_offset(&answer, 1003, 0), 548);
	assert_int_equal(clock_answer_trace_offset(&answer, 900, 0), -1100);
}

#define CTL_TEST(name) cmocka_unit_test_setup(name, server_begin)

int main(void)
{
	const struct CMUnitTest ctl_clock[] = {
		CTL_TEST(people_see_what_was_done),
		CTL_TEST(what_a_wrong_server_says_is_not_shown),
		CTL_TEST(traces_are_laid_over_each_other),
		CTL_TEST(a_trace_offset_that_cannot_be_had_is_explained),
		CTL_TEST(an_offset_may_have_either_sign),
	};

	return cmocka_run_group_tests(ctl_clock, server_make_folder,
				      server_remove_folder);
}
