/* SPDX-License-Identifier: Apache-2.0 */
/* The serial port (devices/serial.c), seen from the guest and from outside. */
#include <linux/serial_reg.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/loop.h"
#include "devices/serial.h"
#include "tests/unit/testing.h"

enum { RX_SIZE = 256 };

struct bench {
	struct event_loop loop;
	struct serial *serial;
	int out[2], irq, room;
	struct event_source reader;
	char text[1 << 17];
	struct err e;
};

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct serial_config config = {.loop = &b->loop};

	assert_ok(loop_init(&b->loop, &b->e), b->e);
	testing_pipe(b->out);
	b->irq = eventfd(0, EFD_NONBLOCK);
	b->room = eventfd(0, EFD_NONBLOCK);
	config.out_fd = b->out[1];
	config.irq_fd = b->irq;
	config.room_fd = b->room;
	b->serial = serial_create(&config, &b->e);
	assert_non_null(b->serial);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	serial_destroy(b->serial);
	loop_fini(&b->loop);
	close(b->out[0]);
	close(b->out[1]);
	close(b->irq);
	close(b->room);
	free(b);
	return 0;
}

static uint8_t in(struct bench *b, uint64_t offset)
{
	return (uint8_t)serial_mmio_ops.read(b->serial, offset, 1);
}

static void out(struct bench *b, uint64_t offset, uint8_t value)
{
	serial_mmio_ops.write(b->serial, offset, 1, value);
}

static void print(struct bench *b, const char *text)
{
	while (*text)
		out(b, UART_TX, (uint8_t)*text++);
}

static const char *printed(struct bench *b)
{
	testing_read_all(b->out[0], b->text, sizeof(b->text));
	return b->text;
}

static void on_readable(struct event_source *source, uint32_t events)
{
	struct bench *b = container_of(source, struct bench, reader);

	(void)events;
	loop_stop(&b->loop);
}

/* Let the main loop go on until something was written. */
static void run_until_written(struct bench *b)
{
	b->reader.ready = on_readable;
	assert_int_equal(loop_add(&b->loop, &b->reader, b->out[0], EPOLLIN), 0);
	assert_ok(loop_run(&b->loop, &b->e), b->e);
	loop_remove(&b->loop, &b->reader);
	b->loop.stopped = false;
}

/* ----------------------------------------------------------------- output */

static void a_line_is_written_when_it_ends(void **state)
{
	struct bench *b = *state;

	print(b, "hello");
	assert_string_equal(printed(b), "");
	print(b, "\n");
	/* Not by a vCPU's thread (core/seccomp/lists/vcpu.inc). */
	assert_string_equal(printed(b), "");
	run_until_written(b);
	assert_string_equal(printed(b), "hello\n");
}

static void a_line_that_does_not_end_is_written_soon(void **state)
{
	struct bench *b = *state;

	print(b, "login: ");
	run_until_written(b);
	assert_string_equal(printed(b), "login: ");
}

static void an_idle_transmitter_is_empty(void **state)
{
	assert_int_equal(in(*state, UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
}

static void a_reader_that_stalls_makes_it_busy_and_loses_nothing(void **state)
{
	struct bench *b = *state;
	unsigned sent = 0, lost = 0;
	size_t filled = testing_fill(b->out[1]);

	/* As a driver: a FIFO's worth whenever there is room. */
	while (in(b, UART_LSR) & UART_LSR_THRE) {
		for (unsigned i = 0; i < 16; i++)
			out(b, UART_TX, sent++ % 64 == 63 ? '\n' : 'x');
		assert_true(sent < 100000);
	}
	assert_int_equal(serial_dropped(b->serial), 0);
	assert_int_equal(testing_read_all(b->out[0], b->text, sizeof(b->text)),
			 filled);
	run_until_written(b);
	serial_drain(b->serial);
	printed(b);
	assert_int_equal(strlen(b->text), sent);
	for (unsigned i = 0; i < sent; i++)
		lost += b->text[i] != (i % 64 == 63 ? '\n' : 'x');
	assert_int_equal(lost, 0);
	assert_true(in(b, UART_LSR) & UART_LSR_THRE);
}

static void what_is_sent_to_a_busy_transmitter_is_lost_and_counted(void **state)
{
	struct bench *b = *state;

	testing_fill(b->out[1]);
	for (unsigned i = 0; i < 20000; i++)
		out(b, UART_TX, 'x');
	assert_int_equal(serial_dropped(b->serial), 20000 - 16384);
}

static void room_after_a_stall_raises_the_interrupt(void **state)
{
	struct bench *b = *state;

	out(b, UART_IER, UART_IER_THRI);
	testing_fill(b->out[1]);
	while (in(b, UART_LSR) & UART_LSR_THRE)
		out(b, UART_TX, 'x');
	testing_take_event(b->irq);
	assert_int_equal(in(b, UART_IIR), UART_IIR_NO_INT);
	testing_read_all(b->out[0], b->text, sizeof(b->text));
	serial_flush(b->serial);
	assert_true(testing_take_event(b->irq) > 0);
	assert_int_equal(in(b, UART_IIR), UART_IIR_THRI);
}

static void a_reader_that_is_gone_stalls_nothing(void **state)
{
	struct bench *b = *state;

	close(b->out[0]);
	for (unsigned i = 0; i < 50000; i++)
		out(b, UART_TX, '\n');
	serial_flush(b->serial);
	assert_true(in(b, UART_LSR) & UART_LSR_THRE);
	b->out[0] = dup(b->out[1]); /* for tear_down */
}

/* ------------------------------------------------------------- interrupts */

static void enabling_the_empty_interrupt_raises_it(void **state)
{
	struct bench *b = *state;

	out(b, UART_IER, UART_IER_THRI);
	assert_int_equal(testing_take_event(b->irq), 1);
	assert_int_equal(in(b, UART_IIR), UART_IIR_THRI);
	/* Reading it has taken it away. */
	assert_int_equal(in(b, UART_IIR), UART_IIR_NO_INT);
}

static void each_byte_sent_makes_it_empty_again(void **state)
{
	struct bench *b = *state;

	out(b, UART_IER, UART_IER_THRI);
	in(b, UART_IIR);
	testing_take_event(b->irq);
	out(b, UART_TX, 'x');
	assert_int_equal(testing_take_event(b->irq), 1);
	assert_int_equal(in(b, UART_IIR), UART_IIR_THRI);
}

static void a_burst_raises_one_interrupt(void **state)
{
	struct bench *b = *state;

	out(b, UART_IER, UART_IER_THRI);
	in(b, UART_IIR);
	testing_take_event(b->irq);
	print(b, "sixteen letters.");
	assert_int_equal(testing_take_event(b->irq), 1);
}

static void without_enabling_nothing_is_raised(void **state)
{
	struct bench *b = *state;

	print(b, "x\n");
	serial_receive(b->serial, (const uint8_t *)"y", 1);
	assert_int_equal(testing_take_event(b->irq), 0);
	assert_int_equal(in(b, UART_IIR), UART_IIR_NO_INT);
}

static void received_data_goes_before_an_empty_transmitter(void **state)
{
	struct bench *b = *state;

	out(b, UART_IER, UART_IER_THRI | UART_IER_RDI);
	serial_receive(b->serial, (const uint8_t *)"y", 1);
	assert_int_equal(in(b, UART_IIR), UART_IIR_RDI);
	in(b, UART_RX);
	assert_int_equal(in(b, UART_IIR), UART_IIR_THRI);
}

static void enabling_what_is_enabled_does_not_interrupt_again(void **state)
{
	struct bench *b = *state;

	out(b, UART_IER, UART_IER_RDI);
	serial_receive(b->serial, (const uint8_t *)"a", 1);
	testing_take_event(b->irq);
	out(b, UART_IER, UART_IER_RDI);
	assert_int_equal(testing_take_event(b->irq), 0);
}

/* ------------------------------------------------------------------ input */

static void what_is_typed_arrives_in_order(void **state)
{
	struct bench *b = *state;

	out(b, UART_IER, UART_IER_RDI);
	assert_int_equal(serial_receive(b->serial, (const uint8_t *)"ab", 2),
			 2);
	assert_true(testing_take_event(b->irq) > 0);
	assert_true(in(b, UART_LSR) & UART_LSR_DR);
	assert_int_equal(in(b, UART_RX), 'a');
	assert_int_equal(in(b, UART_RX), 'b');
	assert_false(in(b, UART_LSR) & UART_LSR_DR);
	assert_int_equal(in(b, UART_RX), 0);
}

static void a_full_buffer_takes_no_more_and_tells_when_it_does(void **state)
{
	struct bench *b = *state;
	uint8_t data[300];

	memset(data, 'x', sizeof(data));
	assert_int_equal(serial_receive(b->serial, data, sizeof(data)),
			 RX_SIZE);
	assert_int_equal(serial_receive(b->serial, data, 1), 0);
	assert_int_equal(testing_take_event(b->room), 0);
	for (unsigned i = 0; i < RX_SIZE / 2; i++)
		in(b, UART_RX);
	assert_int_equal(testing_take_event(b->room), 1);
	assert_int_equal(serial_receive(b->serial, data, 300), RX_SIZE / 2);
}

static void room_is_told_once_and_only_to_who_waits_for_it(void **state)
{
	struct bench *b = *state;
	uint8_t data[RX_SIZE + 1] = {0};

	assert_int_equal(serial_receive(b->serial, data, RX_SIZE), RX_SIZE);
	for (unsigned i = 0; i < RX_SIZE; i++)
		in(b, UART_RX);
	assert_int_equal(testing_take_event(b->room), 0);
	serial_receive(b->serial, data, RX_SIZE + 1);
	for (unsigned i = 0; i < RX_SIZE; i++)
		in(b, UART_RX);
	assert_int_equal(testing_take_event(b->room), 1);
}

static void what_does_not_fit_does_not_interrupt(void **state)
{
	struct bench *b = *state;
	uint8_t data[RX_SIZE] = {0};

	out(b, UART_IER, UART_IER_RDI);
	serial_receive(b->serial, data, RX_SIZE);
	assert_int_equal(testing_take_event(b->irq), 1);
	assert_int_equal(serial_receive(b->serial, data, 1), 0);
	assert_int_equal(testing_take_event(b->irq), 0);
}

static void reading_nothing_takes_nothing_of_what_comes(void **state)
{
	struct bench *b = *state;

	assert_int_equal(in(b, UART_RX), 0);
	serial_receive(b->serial, (const uint8_t *)"ab", 2);
	assert_int_equal(in(b, UART_RX), 'a');
	assert_int_equal(in(b, UART_RX), 'b');
}

static void enabling_the_fifo_alone_keeps_input(void **state)
{
	struct bench *b = *state;

	serial_receive(b->serial, (const uint8_t *)"a", 1);
	out(b, UART_FCR, UART_FCR_ENABLE_FIFO);
	assert_int_equal(in(b, UART_RX), 'a');
}

static void clearing_the_fifo_drops_input(void **state)
{
	struct bench *b = *state;

	serial_receive(b->serial, (const uint8_t *)"abc", 3);
	out(b, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
	assert_false(in(b, UART_LSR) & UART_LSR_DR);
	assert_int_equal(in(b, UART_IIR), 0xc0 | UART_IIR_NO_INT);
}

/* -------------------------------------------------------------- registers */

static void loopback_sends_to_itself(void **state)
{
	struct bench *b = *state;

	out(b, UART_MCR, UART_MCR_LOOP);
	print(b, "q\n");
	assert_int_equal(in(b, UART_RX), 'q');
	assert_string_equal(printed(b), "");
}

static void loopback_shows_modem_outputs_as_inputs(void **state)
{
	struct bench *b = *state;

	out(b, UART_MCR, UART_MCR_LOOP | UART_MCR_RTS | UART_MCR_OUT2);
	assert_int_equal(in(b, UART_MSR), UART_MSR_CTS | UART_MSR_DCD);
	out(b, UART_MCR, 0);
	assert_int_equal(in(b, UART_MSR),
			 UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS);
}

static void the_divisor_hides_data_and_interrupts(void **state)
{
	struct bench *b = *state;

	out(b, UART_IER, UART_IER_RDI);
	out(b, UART_LCR, UART_LCR_DLAB | UART_LCR_WLEN8);
	out(b, UART_DLL, 0x34);
	out(b, UART_DLM, 0x12);
	assert_int_equal(in(b, UART_DLL), 0x34);
	assert_int_equal(in(b, UART_DLM), 0x12);
	out(b, UART_LCR, UART_LCR_WLEN8);
	assert_int_equal(in(b, UART_IER), UART_IER_RDI);
	serial_flush(b->serial);
	assert_string_equal(printed(b), "");
}

static void loopback_interrupts_and_keeps_what_fits(void **state)
{
	struct bench *b = *state;

	out(b, UART_MCR, UART_MCR_LOOP);
	out(b, UART_IER, UART_IER_RDI);
	for (unsigned i = 0; i < RX_SIZE + 9; i++)
		out(b, UART_TX, (uint8_t)i);
	assert_true(testing_take_event(b->irq) > 0);
	for (unsigned i = 0; i < RX_SIZE; i++)
		assert_int_equal(in(b, UART_RX), (uint8_t)i);
	assert_false(in(b, UART_LSR) & UART_LSR_DR);
}

static void loopback_wires_each_output_to_one_input(void **state)
{
	static const uint8_t wires[][2] = {
		{UART_MCR_RTS, UART_MSR_CTS},
		{UART_MCR_DTR, UART_MSR_DSR},
		{UART_MCR_OUT1, UART_MSR_RI},
		{UART_MCR_OUT2, UART_MSR_DCD},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(wires); i++) {
		out(*state, UART_MCR, UART_MCR_LOOP | wires[i][0]);
		assert_int_equal(in(*state, UART_MSR), wires[i][1]);
	}
}

static void bits_that_a_16550_lacks_read_as_zero(void **state)
{
	out(*state, UART_IER, 0xff);
	assert_int_equal(in(*state, UART_IER), 0x0f);
	out(*state, UART_MCR, 0xff);
	assert_int_equal(in(*state, UART_MCR), 0x1f);
}

static void the_divisor_starts_at_9600_baud(void **state)
{
	out(*state, UART_LCR, UART_LCR_DLAB);
	assert_int_equal(in(*state, UART_DLL), 12);
	assert_int_equal(in(*state, UART_DLM), 0);
}

static void the_scratch_register_keeps_what_it_gets(void **state)
{
	out(*state, UART_SCR, 0xa5);
	assert_int_equal(in(*state, UART_SCR), 0xa5);
}

static void other_widths_and_offsets_do_nothing(void **state)
{
	struct bench *b = *state;
	static const unsigned widths[] = {2, 4, 8};

	for (unsigned i = 0; i < ARRAY_SIZE(widths); i++) {
		serial_mmio_ops.write(b->serial, UART_SCR, widths[i], ~0ull);
		serial_mmio_ops.write(b->serial, UART_TX, widths[i], '\n');
		assert_int_equal(
			serial_mmio_ops.read(b->serial, UART_LSR, widths[i]),
			0);
	}
	for (uint64_t offset = 8; offset < 0x1000; offset++) {
		out(b, offset, 0xff);
		assert_int_equal(in(b, offset), 0);
	}
	assert_int_equal(in(b, UART_SCR), 0);
	assert_string_equal(printed(b), "");
}

#define SERIAL_TEST(name) \
	cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERIAL_TEST(a_line_is_written_when_it_ends),
		SERIAL_TEST(a_line_that_does_not_end_is_written_soon),
		SERIAL_TEST(an_idle_transmitter_is_empty),
		SERIAL_TEST(
			a_reader_that_stalls_makes_it_busy_and_loses_nothing),
		SERIAL_TEST(
			what_is_sent_to_a_busy_transmitter_is_lost_and_counted),
		SERIAL_TEST(room_after_a_stall_raises_the_interrupt),
		SERIAL_TEST(a_reader_that_is_gone_stalls_nothing),
		SERIAL_TEST(enabling_the_empty_interrupt_raises_it),
		SERIAL_TEST(each_byte_sent_makes_it_empty_again),
		SERIAL_TEST(a_burst_raises_one_interrupt),
		SERIAL_TEST(without_enabling_nothing_is_raised),
		SERIAL_TEST(received_data_goes_before_an_empty_transmitter),
		SERIAL_TEST(what_is_typed_arrives_in_order),
		SERIAL_TEST(a_full_buffer_takes_no_more_and_tells_when_it_does),
		SERIAL_TEST(clearing_the_fifo_drops_input),
		SERIAL_TEST(loopback_sends_to_itself),
		SERIAL_TEST(loopback_shows_modem_outputs_as_inputs),
		SERIAL_TEST(the_divisor_hides_data_and_interrupts),
		SERIAL_TEST(the_scratch_register_keeps_what_it_gets),
		SERIAL_TEST(other_widths_and_offsets_do_nothing),
		SERIAL_TEST(room_is_told_once_and_only_to_who_waits_for_it),
		SERIAL_TEST(what_does_not_fit_does_not_interrupt),
		SERIAL_TEST(reading_nothing_takes_nothing_of_what_comes),
		SERIAL_TEST(enabling_the_fifo_alone_keeps_input),
		SERIAL_TEST(enabling_what_is_enabled_does_not_interrupt_again),
		SERIAL_TEST(loopback_interrupts_and_keeps_what_fits),
		SERIAL_TEST(loopback_wires_each_output_to_one_input),
		SERIAL_TEST(bits_that_a_16550_lacks_read_as_zero),
		SERIAL_TEST(the_divisor_starts_at_9600_baud),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("serial", tests, NULL, NULL);
}
