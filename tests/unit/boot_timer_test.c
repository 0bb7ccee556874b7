/* SPDX-License-Identifier: Apache-2.0 */
/* The boot timer: devices/boot_timer.c.  The clocks are the test's. */
#include <unistd.h>

#include "core/io/log.h"
#include "devices/boot_timer.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/testing.h"

static struct boot_timer timer;
static int fds[2];
static char text[1024];

static int start(void **state)
{
	struct log_config config = {.level = LOG_INFO};

	(void)state;
	testing_pipe(fds);
	config.fd = fds[1];
	log_configure(&config);
	fake_clock_set(1000, 5000);
	boot_timer_init(&timer);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	close(fds[0]);
	close(fds[1]);
	return 0;
}

static const char *written(void)
{
	testing_read_all(fds[0], text, sizeof(text));
	return text;
}

static void send(uint64_t offset, unsigned len, uint64_t value)
{
	boot_timer_mmio_ops.write(&timer, offset, len, value);
}

static void line_is_firecrackers(void **state)
{
	(void)state;
	fake_clock_set(1000, 125005999);
	send(0, 1, 123);
	assert_string_equal(written(),
			    "stasis: Guest-boot-time = 125000 us 125 ms, "
			    "125000 CPU us 125 CPU ms\n");
}

static void time_over_a_second_is_told(void **state)
{
	(void)state;
	fake_clock_set(1001, 4000); /* fewer nanoseconds than at the start */
	send(0, 1, 123);
	assert_contains(written(), "Guest-boot-time = 999999 us 999 ms,");
}

static void second_time_is_silent(void **state)
{
	(void)state;
	send(0, 1, 123);
	written();
	send(0, 1, 123);
	assert_string_equal(written(), "");
}

static void odd_writes_are_the_guests_fault(void **state)
{
	(void)state;
	send(0, 1, 122);
	assert_string_equal(written(),
			    "stasis: warning: guest: odd write to the boot "
			    "timer\n");
	send(1, 1, 123);
	send(0, 4, 123);
	send(0, 8, 123);
	assert_string_equal(written(), "");
	send(0, 1, 123);
	assert_contains(written(), "Guest-boot-time");
}

static void reads_are_zero(void **state)
{
	(void)state;
	assert_int_equal(boot_timer_mmio_ops.read(&timer, 0, 1), 0);
	assert_int_equal(boot_timer_mmio_ops.read(&timer, 8, 8), 0);
}

#define TIMES(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TIMES(line_is_firecrackers),
		TIMES(time_over_a_second_is_told),
		TIMES(second_time_is_silent),
		TIMES(odd_writes_are_the_guests_fault),
		TIMES(reads_are_zero),
	};

	return RUN_TESTS("boot_timer", tests);
}
