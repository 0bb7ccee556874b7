/* SPDX-License-Identifier: Apache-2.0 */
/* The limit of what the serial port sends: devices/serial.c. */
#include <linux/serial_reg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/metrics.h"
#include "core/io/loop.h"
#include "devices/serial.h"
#include "tests/unit/testing.h"

static void beyond_its_limit_output_is_dropped_and_counted(void **state)
{
	struct serial_config config = {
		.limit = {.size = 10,
			  .refill_time_ms = 3600000,
			  .one_time_burst = 3},
	};
	struct buf metrics = {0};
	struct event_loop loop;
	struct serial *serial;
	char text[64] = "";
	struct err e;
	int out[2];

	(void)state;
	testing_pipe(out);
	assert_ok(loop_init(&loop, &e), e);
	config.loop = &loop;
	config.out_fd = out[1];
	config.irq_fd = eventfd(0, EFD_NONBLOCK);
	config.room_fd = -1;
	serial = serial_create(&config, &e);
	assert_non_null(serial);
	metrics_add(&serial_metrics);
	for (unsigned i = 0; i < 20; i++)
		serial_mmio_ops.write(serial, UART_TX, 1, 'a' + i);
	/* Busy it is not: the guest goes on. */
	assert_true(serial_mmio_ops.read(serial, UART_LSR, 1) & UART_LSR_THRE);
	serial_flush(serial);
	assert_int_equal(read(out[0], text, sizeof(text)), 13);
	assert_string_equal(text, "abcdefghijklm");
	metrics_print_totals(&metrics);
	assert_contains(metrics.data, "\"rate_limiter_dropped_bytes\":7,");
	metrics_remove(&serial_metrics);
	buf_free(&metrics);
	serial_destroy(serial);
	loop_fini(&loop);
	close(config.irq_fd);
	close(out[0]);
	close(out[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			beyond_its_limit_output_is_dropped_and_counted),
	};

	return RUN_TESTS("serial_limit", tests);
}
