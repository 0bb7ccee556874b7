/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the serial port sends: devices/serial.c, on a real event loop and pipe.
 * The pipe is a page, so that readers fall behind soon; poll() is the test's.
 */
#include <fcntl.h>
#include <linux/serial_reg.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/loop.h"
#include "devices/serial.h"
#include "tests/unit/testing.h"

enum {
	PATIENCE_MS = 5000, /* what must happen has happened by then */
	PIPE = 4096,
	BURST = 16, /* what a driver may send when it sees THRE */
	ENOUGH = 1 << 20,
	TALK = 300000,
};

static struct event_loop loop;
static struct serial *serial;
static struct event_source reader;
static int out[2], irq, room;
static size_t got_len;
static char *got;

static void read_output(void)
{
	got_len += testing_read_all(out[0], got + got_len, ENOUGH - got_len);
}

/* ----------------------------------------------------------------- poll() */

static int polled_ms;
static unsigned late_by; /* polls before anything is read; 0: never */

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	assert_int_equal(count, 1);
	assert_int_equal(fds->fd, out[1]);
	assert_int_equal(fds->events, POLLOUT);
	polled_ms += timeout;
	if (late_by == 1)
		read_output();
	else if (late_by)
		late_by--;
	return 0;
}

static void on_output(struct event_source *source, uint32_t events)
{
	(void)source;
	(void)events;
	read_output();
}

static struct serial_config config_of(struct event_loop *of, int out_fd)
{
	return (struct serial_config){
		.loop = of, .out_fd = out_fd, .irq_fd = irq, .room_fd = room};
}

static int open_port(void **state)
{
	struct serial_config config;
	struct err e;

	(void)state;
	signal(SIGPIPE, SIG_IGN); /* as main() does */
	polled_ms = 0;
	late_by = 0;
	testing_pipe(out);
	fcntl(out[1], F_SETPIPE_SZ, PIPE);
	irq = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	room = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	got = calloc(1, ENOUGH);
	got_len = 0;
	reader = (struct event_source){.fd = -1, .ready = on_output};
	config = config_of(&loop, out[1]);
	if (loop_init(&loop, &e))
		return -1;
	serial = serial_create(&config, &e);
	return got && serial ? 0 : -1;
}

static int close_port(void **state)
{
	(void)state;
	serial_destroy(serial);
	loop_fini(&loop);
	util_close(&out[0]);
	util_close(&out[1]);
	close(irq);
	close(room);
	free(got);
	return 0;
}

/* One event of the loop, if one comes within @ms. */
static bool step(int ms)
{
	struct event_source *source;
	struct epoll_event event;

	if (epoll_wait(loop.epoll_fd, &event, 1, ms) != 1)
		return false;
	source = event.data.ptr;
	source->ready(source, event.events);
	return true;
}

static uint8_t get(uint64_t offset)
{
	return (uint8_t)serial_mmio_ops.read(serial, offset, 1);
}

static void set(uint64_t offset, uint8_t value)
{
	serial_mmio_ops.write(serial, offset, 1, value);
}

static void say(const char *text)
{
	for (; *text; text++)
		set(UART_TX, (uint8_t)*text);
}

static bool ready(void)
{
	return get(UART_LSR) & UART_LSR_THRE;
}

static char nth(size_t i)
{
	return (char)('0' + i % 71);
}

/* The reader stalls: the pipe is full, and the port has noticed. */
static void stall(void)
{
	assert_int_equal(testing_fill(out[1]), PIPE);
	say("!");
	assert_true(step(PATIENCE_MS));
}

/* As a driver: bursts as long as there is room.  How many bytes. */
static size_t send_until_busy(void)
{
	size_t n = 0;

	while (n < ENOUGH && ready()) {
		for (unsigned i = 0; i < BURST; i++)
			set(UART_TX, (uint8_t)nth(n++));
	}
	return n;
}

/* Until @len bytes have come out, counted from the test's beginning. */
static void read_until(size_t len)
{
	assert_int_equal(loop_add(&loop, &reader, out[0], EPOLLIN), 0);
	while (got_len < len && step(PATIENCE_MS))
		continue;
	loop_remove(&loop, &reader);
}

/* What filled the pipe, the "!", then @n bytes of the pattern; no more. */
static void assert_got_stalled(size_t n)
{
	assert_int_equal(got_len, PIPE + 1 + n);
	assert_int_equal(got[PIPE], '!');
	for (size_t i = 0; i < n; i++)
		assert_int_equal(got[PIPE + 1 + i], nth(i));
}

static void assert_output(const char *expected)
{
	char text[64];

	testing_read_all(out[0], text, sizeof(text));
	assert_string_equal(text, expected);
}

/* ------------------------------------------------------------------ output */

static void every_unfinished_line_has_its_timer(void **state)
{
	(void)state;
	say("a");
	assert_true(step(PATIENCE_MS));
	assert_output("a");
	say("b");
	assert_true(step(PATIENCE_MS));
	assert_output("b");
}

static void a_port_with_nothing_to_write_sleeps(void **state)
{
	(void)state;
	say("a");
	assert_true(step(PATIENCE_MS));
	assert_false(step(10));
}

static void flush_writes_an_unfinished_line(void **state)
{
	(void)state;
	say("bye");
	serial_flush(serial);
	assert_output("bye");
}

static void destroying_writes_an_unfinished_line(void **state)
{
	(void)state;
	say("bye");
	serial_destroy(serial);
	serial = NULL;
	assert_output("bye");
}

static void destroying_leaves_no_descriptor(void **state)
{
	struct serial_config config = config_of(&loop, out[1]);
	unsigned before = testing_count_fds();
	struct err e;

	(void)state;
	serial_destroy(serial_create(&config, &e));
	assert_int_equal(testing_count_fds(), before);
}

static void a_port_that_cannot_watch_its_timer_is_refused(void **state)
{
	struct event_loop none = {.epoll_fd = -1};
	struct serial_config config = config_of(&none, out[1]);
	unsigned before = testing_count_fds();
	struct err e;

	(void)state;
	assert_null(serial_create(&config, &e));
	assert_contains(e.text, "timer");
	assert_int_equal(testing_count_fds(), before);
}

static void without_an_output_the_port_is_always_ready(void **state)
{
	struct serial_config config = {
		.loop = &loop, .out_fd = -1, .irq_fd = irq, .room_fd = room};
	struct err e;

	(void)state;
	serial_destroy(serial);
	serial = serial_create(&config, &e);
	for (unsigned i = 0; i < 100000; i++)
		set(UART_TX, 'x');
	assert_true(ready());
	assert_int_equal(serial_dropped(serial), 0);
}

/* ------------------------------------------------------------ late readers */

static void a_late_reader_makes_the_transmitter_busy(void **state)
{
	(void)state;
	stall();
	assert_int_equal(get(UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
	assert_in_range(send_until_busy(), BURST, ENOUGH - BURST);
	assert_int_equal(get(UART_LSR), 0);
}

static void a_late_reader_loses_nothing_of_a_patient_guest(void **state)
{
	size_t n;

	(void)state;
	stall();
	n = send_until_busy();
	read_until(PIPE + 1 + n);
	assert_got_stalled(n);
	assert_int_equal(serial_dropped(serial), 0);
	assert_int_equal(get(UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
}

/* "!" and 15 make 16: the port's room is a multiple of that. */
static void the_last_burst_fits_and_not_a_byte_more(void **state)
{
	(void)state;
	stall();
	for (unsigned i = 1; i < BURST; i++)
		set(UART_TX, 'x');
	send_until_busy();
	assert_int_equal(serial_dropped(serial), 0);
	set(UART_TX, 'x');
	assert_int_equal(serial_dropped(serial), 1);
}

static void what_is_dropped_is_the_newest_and_is_counted(void **state)
{
	size_t n;

	(void)state;
	stall();
	n = send_until_busy();
	/* The last burst may have left some room. */
	while (!serial_dropped(serial) && n < ENOUGH)
		set(UART_TX, (uint8_t)nth(n++));
	n--; /* that one was dropped */
	for (unsigned i = 0; i < 41; i++)
		set(UART_TX, '#');
	assert_int_equal(serial_dropped(serial), 42);
	read_until(PIPE + 1 + n);
	assert_got_stalled(n);
}

static void a_stalled_port_sleeps_until_it_is_read(void **state)
{
	(void)state;
	stall();
	say("more\n");
	assert_false(step(10));
	read_output();
	assert_true(step(PATIENCE_MS));
	assert_output("!more\n");
	assert_false(step(0));
}

static void lines_go_out_at_once_again_after_a_stall(void **state)
{
	(void)state;
	stall();
	read_output();
	assert_true(step(PATIENCE_MS));
	assert_output("!");
	say("line\n");
	assert_true(step(PATIENCE_MS));
	assert_output("line\n");
}

static void draining_interrupts_a_guest_that_waits_for_it(void **state)
{
	size_t n;

	(void)state;
	stall();
	set(UART_IER, UART_IER_THRI);
	n = send_until_busy();
	assert_int_equal(get(UART_IIR), UART_IIR_NO_INT);
	testing_take_event(irq);
	read_until(PIPE + 1 + n);
	assert_int_equal(testing_take_event(irq), 1);
	assert_int_equal(get(UART_IIR), UART_IIR_THRI);
	assert_int_equal(get(UART_IIR), UART_IIR_NO_INT);
}

static void a_busy_transmitter_does_not_interrupt(void **state)
{
	(void)state;
	stall();
	send_until_busy();
	set(UART_IER, UART_IER_THRI);
	set(UART_TX, 'x');
	assert_int_equal(testing_take_event(irq), 0);
	assert_int_equal(get(UART_IIR), UART_IIR_NO_INT);
}

static void writing_out_what_fitted_does_not_interrupt(void **state)
{
	(void)state;
	set(UART_IER, UART_IER_THRI);
	say("a");
	get(UART_IIR);
	testing_take_event(irq);
	assert_true(step(PATIENCE_MS));
	assert_int_equal(testing_take_event(irq), 0);
	assert_int_equal(get(UART_IIR), UART_IIR_NO_INT);
}

static void a_stalled_port_is_not_called_once_it_is_destroyed(void **state)
{
	(void)state;
	stall();
	serial_destroy(serial);
	serial = NULL;
	assert_int_equal(polled_ms, 0);
	read_output();
	assert_false(step(0));
}

/* ----------------------------------------------------------------- the end */

static void draining_waits_for_a_late_reader(void **state)
{
	size_t n;

	(void)state;
	stall();
	n = send_until_busy();
	late_by = 3;
	serial_drain(serial);
	assert_in_range(polled_ms, 1, 1999);
	read_output();
	assert_got_stalled(n);
}

static void draining_waits_two_seconds_at_most(void **state)
{
	(void)state;
	stall();
	serial_drain(serial);
	assert_int_equal(polled_ms, 2000);
}

static void draining_does_not_wait_for_nothing(void **state)
{
	(void)state;
	say("bye");
	serial_drain(serial);
	assert_output("bye");
	assert_int_equal(polled_ms, 0);
}

/* ----------------------------------------------------------------- threads */

static char talked(size_t i)
{
	if (i % 61)
		return nth(i);
	return '\n';
}

static void *talk(void *arg)
{
	size_t n = 0;

	(void)arg;
	while (n < TALK) {
		while (!ready())
			sched_yield();
		for (unsigned i = 0; i < BURST && n < TALK; i++)
			set(UART_TX, (uint8_t)talked(n++));
	}
	return NULL;
}

static void a_vcpu_and_the_loop_agree_on_every_byte(void **state)
{
	pthread_t vcpu;

	(void)state;
	assert_int_equal(pthread_create(&vcpu, NULL, talk, NULL), 0);
	read_until(TALK);
	pthread_join(vcpu, NULL);
	assert_int_equal(got_len, TALK);
	for (size_t i = 0; i < TALK; i++)
		assert_int_equal(got[i], talked(i));
	assert_int_equal(serial_dropped(serial), 0);
}

#define SENDS(test) cmocka_unit_test_setup_teardown(test, open_port, close_port)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SENDS(every_unfinished_line_has_its_timer),
		SENDS(a_port_with_nothing_to_write_sleeps),
		SENDS(flush_writes_an_unfinished_line),
		SENDS(destroying_writes_an_unfinished_line),
		SENDS(destroying_leaves_no_descriptor),
		SENDS(a_port_that_cannot_watch_its_timer_is_refused),
		SENDS(without_an_output_the_port_is_always_ready),
		SENDS(a_late_reader_makes_the_transmitter_busy),
		SENDS(a_late_reader_loses_nothing_of_a_patient_guest),
		SENDS(the_last_burst_fits_and_not_a_byte_more),
		SENDS(what_is_dropped_is_the_newest_and_is_counted),
		SENDS(a_stalled_port_sleeps_until_it_is_read),
		SENDS(lines_go_out_at_once_again_after_a_stall),
		SENDS(draining_interrupts_a_guest_that_waits_for_it),
		SENDS(a_busy_transmitter_does_not_interrupt),
		SENDS(writing_out_what_fitted_does_not_interrupt),
		SENDS(a_stalled_port_is_not_called_once_it_is_destroyed),
		SENDS(draining_waits_for_a_late_reader),
		SENDS(draining_waits_two_seconds_at_most),
		SENDS(draining_does_not_wait_for_nothing),
		SENDS(a_vcpu_and_the_loop_agree_on_every_byte),
	};

	return RUN_TESTS("serial_output", tests);
}
