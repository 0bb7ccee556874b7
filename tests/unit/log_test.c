/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: core/io/log.c.  The clock is the test's. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/testing.h"

static int fds[2];
static struct log_config config;
static char text[8192];

static int open_log(void **state)
{
	(void)state;
	testing_pipe(fds);
	config = (struct log_config){
		.level = LOG_TRACE,
		.style = LOG_PLAIN,
		.fd = fds[1],
		.id = "vm-1",
	};
	log_configure(&config);
	fake_clock_set(1000000000, 0);
	return pthread_setname_np(pthread_self(), "main");
}

static int close_log(void **state)
{
	(void)state;
	log_set_raw_terminal(false);
	close(fds[0]);
	close(fds[1]);
	return 0;
}

static void use_firecracker_style(bool level, bool origin)
{
	config.style = LOG_FIRECRACKER;
	config.show_level = level;
	config.show_origin = origin;
	log_configure(&config);
}

static const char *written(void)
{
	testing_read_all(fds[0], text, sizeof(text));
	return text;
}

/* -------------------------------------------------------------------- plain */

static void plain_lines_start_with_whose_they_are(void **state)
{
	(void)state;
	log_error("no %d", 1);
	assert_string_equal(written(), "stasis: error: no 1\n");
	log_warn("hm");
	assert_string_equal(written(), "stasis: warning: hm\n");
	log_info("so");
	assert_string_equal(written(), "stasis: so\n");
	log_debug("x");
	assert_string_equal(written(), "stasis: debug: x\n");
	log_at(LOG_TRACE, "y");
	assert_string_equal(written(), "stasis: trace: y\n");
}

static void level_decides_what_is_written(void **state)
{
	(void)state;
	config.level = LOG_WARN;
	log_configure(&config);
	log_info("no");
	log_debug("no");
	log_warn("yes");
	assert_string_equal(written(), "stasis: warning: yes\n");
	assert_true(log_enabled(LOG_ERROR));
	assert_false(log_enabled(LOG_INFO));
}

static void level_off_writes_nothing(void **state)
{
	(void)state;
	config.level = LOG_OFF;
	log_configure(&config);
	log_error("no");
	assert_string_equal(written(), "");
}

/* A terminal as the log's end; its other end. */
static int log_to_terminal(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
	struct termios raw;

	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	config.fd = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_true(config.fd >= 0);
	assert_int_equal(tcgetattr(config.fd, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(config.fd, TCSANOW, &raw), 0);
	log_configure(&config);
	return master;
}

static void raw_terminal_gets_carriage_returns(void **state)
{
	int master = log_to_terminal();

	(void)state;
	log_set_raw_terminal(true);
	log_info("x");
	testing_read_all(master, text, sizeof(text));
	assert_string_equal(text, "stasis: x\r\n");
	log_set_raw_terminal(false);
	log_info("x");
	testing_read_all(master, text, sizeof(text));
	assert_string_equal(text, "stasis: x\n");
	close(config.fd);
	close(master);
}

enum { LINES = 60, GUEST_BYTES = 1500 };
static atomic_bool logged;

static void *guest_writes(void *arg)
{
	int fd = io_reopen_nowait(*(int *)arg);

	assert_true(fd >= 0);
	for (unsigned i = 0; i < GUEST_BYTES && !logged; i++) {
		ssize_t n = write(fd, "#", 1);

		(void)n;
	}
	close(fd);
	return NULL;
}

/* The terminal is the guest's console, too. */
static void lines_on_a_terminal_stay_whole(void **state)
{
	static const char line[] = "stasis: a line of the log\n";
	int master = log_to_terminal();
	uint64_t lost = log_lost();
	unsigned whole = 0;
	pthread_t guest;

	(void)state;
	logged = false;
	assert_int_equal(pthread_create(&guest, NULL, guest_writes, &config.fd),
			 0);
	for (unsigned i = 0; i < LINES; i++)
		log_info("a line of the log");
	logged = true;
	pthread_join(guest, NULL);
	testing_read_all(master, text, sizeof(text));
	for (const char *at = text; (at = strstr(at, line)); at++)
		whole++;
	assert_int_equal(whole, LINES - (log_lost() - lost));
	assert_true(whole > 0);
	close(config.fd);
	close(master);
}

/* Only the first line waits for it. */
static void a_terminal_that_is_not_read_is_waited_for_once(void **state)
{
	int master = log_to_terminal(), guest = io_reopen_nowait(config.fd);
	uint64_t lost = log_lost();

	(void)state;
	assert_true(guest >= 0);
	while (write(guest, "#", 1) == 1)
		;
	log_info("first");
	alarm(3); /* ends the test if each of them waits for 50 ms */
	for (unsigned i = 0; i < 100; i++)
		log_info("x");
	alarm(0);
	assert_int_equal(log_lost() - lost, 101);
	while (read(master, text, sizeof(text)) > 0)
		;
	log_info("again");
	testing_read_all(master, text, sizeof(text));
	assert_string_equal(text, "stasis: again\n");
	close(guest);
	close(config.fd);
	close(master);
}

static void a_file_gets_none_while_a_terminal_is_raw(void **state)
{
	(void)state;
	log_set_raw_terminal(true);
	log_info("x");
	assert_string_equal(written(), "stasis: x\n");
}

static void what_is_quoted_cannot_forge_a_line(void **state)
{
	(void)state;
	log_info("%s", "a\nstasis: error: b\r\033[2J\177");
	assert_string_equal(written(), "stasis: a?stasis: error: b??[2J?\n");
}

static void a_reader_that_is_behind_costs_lines_not_time(void **state)
{
	uint64_t before = log_lost();

	(void)state;
	testing_fill(fds[1]);
	/* Blocking, as the standard streams are: it must not be tried. */
	assert_int_equal(fcntl(fds[1], F_SETFL, 0), 0);
	log_info("lost");
	log_info("lost");
	assert_int_equal(log_lost() - before, 2);
}

static void log_keeps_errno(void **state)
{
	(void)state;
	errno = ENOTTY;
	log_info("x");
	assert_int_equal(errno, ENOTTY);
	config.fd = -1;
	log_configure(&config);
	log_info("cannot be written");
	assert_int_equal(errno, ENOTTY);
}

static void long_line_is_cut_and_ends(void **state)
{
	char longer[3000];

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	log_info("%s", longer);
	written();
	assert_in_range(strlen(text), 2000, 2048);
	assert_int_equal(text[strlen(text) - 1], '\n');
}

/* -------------------------------------------------------------- firecracker */

static void firecracker_line_without_extras(void **state)
{
	(void)state;
	use_firecracker_style(false, false);
	fake_clock_set(1700000000, 12345);
	log_info("hello");
	assert_string_equal(
		written(), "2023-11-14T22:13:20.000012345 [vm-1:main] hello\n");
}

static void firecracker_line_with_extras(void **state)
{
	char expected[128];
	int line;

	(void)state;
	use_firecracker_style(true, true);
	fake_clock_set(1700000000, 999999999);
	line = __LINE__ + 1;
	log_warn("hello");
	snprintf(expected, sizeof(expected),
		 "2023-11-14T22:13:20.999999999 [vm-1:main:WARN:%s:%d] "
		 "hello\n",
		 __FILE__, line);
	assert_string_equal(written(), expected);
}

static void firecracker_levels_are_upper_case(void **state)
{
	(void)state;
	use_firecracker_style(true, false);
	log_error("x");
	assert_contains(written(), "[vm-1:main:ERROR] x");
	log_info("x");
	assert_contains(written(), "[vm-1:main:INFO] x");
	log_debug("x");
	assert_contains(written(), "[vm-1:main:DEBUG] x");
}

static void firecracker_dates_are_gregorian(void **state)
{
	static const struct {
		int64_t second;
		const char *date;
	} cases[] = {
		{0, "1970-01-01T00:00:00."},
		{86399, "1970-01-01T23:59:59."},
		{951782399, "2000-02-28T23:59:59."},
		{951782400, "2000-02-29T00:00:00."}, /* a leap century */
		{951868800, "2000-03-01T00:00:00."},
		{978307199, "2000-12-31T23:59:59."},
		{1078012800, "2004-02-29T00:00:00."},
		{1709251199, "2024-02-29T23:59:59."},
		{1709251200, "2024-03-01T00:00:00."},
		{1735689599, "2024-12-31T23:59:59."},
		{1735689600, "2025-01-01T00:00:00."},
		{1740787199, "2025-02-28T23:59:59."},
		{1740787200, "2025-03-01T00:00:00."},
		{2147483648, "2038-01-19T03:14:08."},
		{4107542399, "2100-02-28T23:59:59."},
		{4107542400, "2100-03-01T00:00:00."}, /* no leap century */
	};

	(void)state;
	use_firecracker_style(false, false);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		fake_clock_set(cases[i].second, 0);
		log_info("x");
		written();
		assert_memory_equal(text, cases[i].date, strlen(cases[i].date));
	}
}

static void firecracker_line_with_the_longest_id_fits(void **state)
{
	static const char id[] = "0123456789012345678901234567890123456789"
				 "012345678901234567890123";

	(void)state;
	config.id = id;
	use_firecracker_style(true, true);
	log_info("the end");
	assert_contains(written(), id);
	assert_contains(text, "the end\n");
}

/* ------------------------------------------------------------ guests' lines */

static void guest_lines_come_once_a_second(void **state)
{
	struct log_limit limit = {0};

	(void)state;
	log_guest(&limit, "bad %d", 1);
	assert_string_equal(written(), "stasis: warning: guest: bad 1\n");
	for (unsigned i = 0; i < 10; i++)
		log_guest(&limit, "bad 2");
	assert_string_equal(written(), "");
	fake_clock_advance_ms(999);
	log_guest(&limit, "bad 3");
	assert_string_equal(written(), "");
	fake_clock_advance_ms(1);
	log_guest(&limit, "bad 4");
	assert_string_equal(
		written(),
		"stasis: warning: guest: bad 4 (and 11 more like it)\n");
	assert_int_equal(limit.count, 13);
}

static void guest_lines_of_two_kinds_do_not_mix(void **state)
{
	struct log_limit one = {0}, two = {0};

	(void)state;
	log_guest(&one, "a");
	log_guest(&two, "b");
	assert_string_equal(written(), "stasis: warning: guest: a\n"
				       "stasis: warning: guest: b\n");
}

static void guest_lines_are_counted_even_if_not_wanted(void **state)
{
	struct log_limit limit = {0};

	(void)state;
	config.level = LOG_ERROR;
	log_configure(&config);
	log_guest(&limit, "a");
	log_guest(&limit, "a");
	assert_string_equal(written(), "");
	assert_int_equal(limit.count, 2);
}

static void guest_line_too_long_is_cut(void **state)
{
	struct log_limit limit = {0};
	char longer[3000];

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	log_guest(&limit, "%s", longer);
	written();
	assert_in_range(strlen(text), 1000, 2048);
	assert_int_equal(text[strlen(text) - 1], '\n');
}

/* ------------------------------------------------------------------- levels */

static void levels_are_read_in_any_case(void **state)
{
	static const struct {
		const char *text;
		enum log_level level;
	} cases[] = {
		{"Error", LOG_ERROR}, {"Warning", LOG_WARN},
		{"warn", LOG_WARN},   {"INFO", LOG_INFO},
		{"Debug", LOG_DEBUG}, {"trace", LOG_TRACE},
		{"Off", LOG_OFF},
	};
	enum log_level level;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_true(log_parse_level(cases[i].text, &level));
		assert_int_equal(level, cases[i].level);
	}
}

static void unknown_level_is_refused(void **state)
{
	enum log_level level = LOG_INFO;

	(void)state;
	assert_false(log_parse_level("loud", &level));
	assert_false(log_parse_level("", &level));
	assert_int_equal(level, LOG_INFO);
}

#define LOGS(test) cmocka_unit_test_setup_teardown(test, open_log, close_log)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOGS(plain_lines_start_with_whose_they_are),
		LOGS(level_decides_what_is_written),
		LOGS(level_off_writes_nothing),
		LOGS(raw_terminal_gets_carriage_returns),
		LOGS(lines_on_a_terminal_stay_whole),
		LOGS(a_terminal_that_is_not_read_is_waited_for_once),
		LOGS(a_file_gets_none_while_a_terminal_is_raw),
		LOGS(what_is_quoted_cannot_forge_a_line),
		LOGS(a_reader_that_is_behind_costs_lines_not_time),
		LOGS(log_keeps_errno),
		LOGS(long_line_is_cut_and_ends),
		LOGS(firecracker_line_without_extras),
		LOGS(firecracker_line_with_extras),
		LOGS(firecracker_levels_are_upper_case),
		LOGS(firecracker_dates_are_gregorian),
		LOGS(firecracker_line_with_the_longest_id_fits),
		LOGS(guest_lines_come_once_a_second),
		LOGS(guest_lines_of_two_kinds_do_not_mix),
		LOGS(guest_lines_are_counted_even_if_not_wanted),
		LOGS(guest_line_too_long_is_cut),
		cmocka_unit_test(levels_are_read_in_any_case),
		cmocka_unit_test(unknown_level_is_refused),
	};

	return RUN_TESTS("log", tests);
}
