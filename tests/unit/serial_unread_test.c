/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The serial port's output when nobody reads it: devices/serial_output.c, on a
 * real event loop and a blocking pipe, as we are given one.  The clock is the
 * test's, so that a busy machine is not taken for a slow reader.
 */
#include <fcntl.h>
#include <linux/serial_reg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/log.h"
#include "core/io/loop.h"
#include "devices/serial.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/testing.h"

enum { PIPE = 4096, RING = 16384, PATIENCE_MS = 40 };

static struct world {
	struct event_loop loop;
	struct event_source clock;
	struct serial *serial;
	int out[2], log[2], irq, wakes;
	char got[1 << 18];
} world;

static void on_clock(struct event_source *source, uint32_t events)
{
	(void)source;
	(void)events;
	loop_stop(&world.loop);
}

/* Serve the loop for so long. */
static void run_for(unsigned ms)
{
	struct itimerspec when = {.it_value.tv_nsec = ms * 1000000l};
	struct err e;
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

	world.loop.stopped = false;
	world.clock.ready = on_clock;
	assert_int_equal(loop_add(&world.loop, &world.clock, fd, EPOLLIN), 0);
	assert_int_equal(timerfd_settime(fd, 0, &when, NULL), 0);
	assert_ok(loop_run(&world.loop, &e), e);
	loop_remove(&world.loop, &world.clock);
	close(fd);
}

static void open_port(unsigned patience_ms)
{
	struct serial_config config = {
		.loop = &world.loop,
		.room_fd = -1,
		.patience_ms = patience_ms,
	};
	struct err e;

	world.serial = NULL;
	fake_clock_set(1000, 0);
	assert_ok(loop_init(&world.loop, &e), e);
	assert_int_equal(pipe(world.out), 0);
	assert_int_equal(fcntl(world.out[1], F_SETPIPE_SZ, PIPE), PIPE);
	assert_int_equal(fcntl(world.out[0], F_SETFL, O_NONBLOCK), 0);
	testing_pipe(world.log);
	log_configure(&(struct log_config){
		.level = LOG_WARN, .style = LOG_PLAIN, .fd = world.log[1]});
	world.irq = eventfd(0, EFD_NONBLOCK);
	config.out_fd = world.out[1];
	config.irq_fd = world.irq;
	world.serial = serial_create(&config, &e);
	assert_non_null(world.serial);
	alarm(30);
}

static void close_port(void)
{
	alarm(0);
	serial_destroy(world.serial);
	loop_fini(&world.loop);
	for (unsigned i = 0; i < 2; i++) {
		close(world.out[i]);
		close(world.log[i]);
	}
	close(world.irq);
}

static bool is_ready(void)
{
	return serial_mmio_ops.read(world.serial, UART_LSR, 1) & UART_LSR_THRE;
}

/* As the driver of Linux: ask before each, while the main thread writes.  How
 * many it took. */
static unsigned talk(unsigned count)
{
	unsigned sent = 0;

	for (; sent < count; sent++) {
		if (!is_ready())
			run_for(5);
		if (!is_ready())
			break;
		serial_mmio_ops.write(world.serial, UART_TX, 1,
				      sent % 50 == 49 ? '\n' : 'a' + sent % 23);
	}
	return sent;
}

static const char *logged(void)
{
	static char text[4096];

	testing_read_all(world.log[0], text, sizeof(text));
	return text;
}

static size_t read_output(void)
{
	return testing_read_all(world.out[0], world.got, sizeof(world.got));
}

/* Serve the loop until it is ready again; five seconds are enough. */
static bool becomes_ready(void)
{
	for (unsigned i = 0; i < 250 && !is_ready(); i++)
		run_for(20);
	return is_ready();
}

/* The reader takes what there is, until @len bytes have come. */
static size_t read_until(size_t len)
{
	size_t got = 0;

	for (unsigned i = 0; i < 500 && got < len; i++) {
		run_for(10);
		got += testing_read_all(world.out[0], world.got + got,
					sizeof(world.got) - got);
	}
	return got;
}

static void a_stuck_reader_is_not_waited_for_long(void **state)
{
	unsigned sent;

	(void)state;
	open_port(PATIENCE_MS);
	sent = talk(PIPE + 2 * RING);
	assert_in_range(sent, RING, PIPE + RING);
	/* A driver that sleeps until it may send is woken, too. */
	serial_mmio_ops.write(world.serial, UART_IER, 1, UART_IER_THRI);
	testing_take_event(world.irq);
	run_for(10);
	fake_clock_advance_ms(PATIENCE_MS - 1);
	run_for(2 * PATIENCE_MS);
	assert_false(is_ready());
	assert_int_equal(testing_take_event(world.irq), 0);
	fake_clock_advance_ms(1);
	assert_true(becomes_ready());
	assert_true(testing_take_event(world.irq) > 0);
	assert_int_equal(serial_dropped(world.serial), 0);
	assert_string_equal(logged(), "");

	assert_int_equal(talk(3 * RING), 3 * RING);
	assert_true(serial_dropped(world.serial) > RING);
	assert_contains(logged(), "the guest's output is not read");
	close_port();
}

static void what_was_kept_comes_first_when_it_is_read(void **state)
{
	unsigned kept;

	(void)state;
	open_port(PATIENCE_MS);
	kept = talk(PIPE + 2 * RING);
	run_for(10);
	fake_clock_advance_ms(PATIENCE_MS);
	assert_true(becomes_ready());
	talk(RING);
	assert_true(serial_dropped(world.serial) > 0);
	/* All that was taken before it was dropped, in order. */
	assert_true(read_until(kept) >= kept);
	for (unsigned i = 0; i < kept; i++)
		assert_int_equal(world.got[i],
				 i % 50 == 49 ? '\n' : 'a' + i % 23);
	run_for(20);
	read_output();
	assert_contains(logged(), "read again; ");
	/* And it is as it was: half a line comes, too. */
	assert_int_equal(talk(5), 5);
	assert_int_equal(read_until(5), 5);
	assert_memory_equal(world.got, "abcde", 5);
	close_port();
}

static void a_slow_reader_loses_nothing(void **state)
{
	(void)state;
	open_port(PATIENCE_MS);
	/* Longer than our patience, but it takes something now and then. */
	for (unsigned i = 0; i < 6; i++) {
		talk(2 * RING);
		run_for(10);
		assert_true(read(world.out[0], world.got, PIPE) > 0);
		run_for(10);
		fake_clock_advance_ms(PATIENCE_MS / 2);
	}
	run_for(2 * PATIENCE_MS);
	talk(2 * RING);
	assert_int_equal(serial_dropped(world.serial), 0);
	assert_false(is_ready());
	assert_string_equal(logged(), "");
	close_port();
}

/* The timer that watched the reader does not delay what comes after it. */
static void after_a_short_stall_half_a_line_comes_soon(void **state)
{
	unsigned sent;

	(void)state;
	open_port(60000);
	sent = talk(PIPE + 2 * RING);
	run_for(10);
	assert_int_equal(read_until(sent), sent);
	run_for(10);
	assert_true(is_ready());
	assert_int_equal(talk(5), 5);
	assert_int_equal(read_until(5), 5);
	assert_int_equal(serial_dropped(world.serial), 0);
	close_port();
}

static void who_wants_it_all_gets_it_all(void **state)
{
	(void)state;
	open_port(0);
	talk(PIPE + 2 * RING);
	run_for(10);
	fake_clock_advance_ms(1000 * PATIENCE_MS);
	run_for(3 * PATIENCE_MS);
	assert_false(is_ready());
	assert_int_equal(serial_dropped(world.serial), 0);
	close_port();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stuck_reader_is_not_waited_for_long),
		cmocka_unit_test(what_was_kept_comes_first_when_it_is_read),
		cmocka_unit_test(a_slow_reader_loses_nothing),
		cmocka_unit_test(after_a_short_stall_half_a_line_comes_soon),
		cmocka_unit_test(who_wants_it_all_gets_it_all),
	};

	return RUN_TESTS("serial_unread", tests);
}
