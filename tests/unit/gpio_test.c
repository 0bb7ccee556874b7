/* SPDX-License-Identifier: Apache-2.0 */
/* The GPIO controller and its power key: devices/gpio.c. */
#include <poll.h>

#include "core/io/loop.h"
#include "devices/gpio.h"
#include "snapshot/codec.h"
#include "tests/unit/irq_counter.h"
#include "tests/unit/testing.h"

enum {
	KEY = 0x4, /* data register that shows line 0 */
	ALL = 0x3fc,
	DIR = 0x400,
	IS = 0x404,
	IBE = 0x408,
	IEV = 0x40c,
	IE = 0x410,
	RIS = 0x414,
	MIS = 0x418,
	IC = 0x41c,
};

static struct event_loop loop;
static struct gpio *gpio;
static unsigned raised;

static int set_up(void **state)
{
	struct err e;

	(void)state;
	raised = 0;
	assert_ok(loop_init(&loop, &e), e);
	gpio = gpio_create(&loop, irq_counter(&raised), &e);
	assert_non_null(gpio);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	gpio_destroy(gpio);
	loop_fini(&loop);
	return 0;
}

static uint64_t get(uint64_t offset)
{
	return gpio_mmio_ops.read(gpio, offset, 1);
}

static void set(uint64_t offset, uint64_t value)
{
	gpio_mmio_ops.write(gpio, offset, 1, value);
}

/* How often the guest was interrupted since the last time. */
static unsigned interrupts(void)
{
	unsigned count = raised;

	raised = 0;
	return count;
}

/* Until the timer releases the key. */
static void wait_for_release(void)
{
	struct pollfd ready = {.fd = loop.epoll_fd, .events = POLLIN};
	struct epoll_event event;
	struct event_source *source;

	assert_int_equal(poll(&ready, 1, 5000), 1);
	assert_int_equal(epoll_wait(loop.epoll_fd, &event, 1, 0), 1);
	source = event.data.ptr;
	source->ready(source, event.events);
}

static void it_is_a_pl061(void **state)
{
	static const uint8_t id[] = {0x61, 0x10, 0x04, 0x00,
				     0x0d, 0xf0, 0x05, 0xb1};

	(void)state;
	for (unsigned i = 0; i < sizeof(id); i++) {
		assert_int_equal(get(0xfe0 + 4 * i), id[i]);
		assert_int_equal(gpio_mmio_ops.read(gpio, 0xfe0 + 4 * i, 4),
				 id[i]);
	}
}

/* As gpio-keys sets it up. */
static void a_press_is_two_edges(void **state)
{
	(void)state;
	set(IBE, 1);
	set(IE, 1);
	assert_int_equal(interrupts(), 0);
	gpio_press_power(gpio);
	assert_int_equal(interrupts(), 1);
	assert_int_equal(get(KEY), 1);
	assert_int_equal(get(MIS), 1);
	set(IC, 1);
	assert_int_equal(get(MIS), 0);
	wait_for_release();
	assert_int_equal(interrupts(), 1);
	assert_int_equal(get(KEY), 0);
	assert_int_equal(get(RIS), 1);
	set(IC, 1);
	assert_int_equal(get(RIS), 0);
	assert_int_equal(interrupts(), 0);
}

static void an_edge_in_one_direction_is_one_interrupt(void **state)
{
	(void)state;
	for (unsigned rising = 0; rising < 2; rising++) {
		set(IEV, rising);
		set(IE, 1);
		gpio_press_power(gpio);
		assert_int_equal(interrupts(), rising);
		set(IC, 1);
		wait_for_release();
		assert_int_equal(interrupts(), !rising);
		set(IC, 1);
	}
}

static void a_masked_interrupt_comes_when_it_is_unmasked(void **state)
{
	(void)state;
	set(IEV, 1);
	gpio_press_power(gpio);
	assert_int_equal(interrupts(), 0);
	assert_int_equal(get(RIS), 1);
	assert_int_equal(get(MIS), 0);
	set(IE, 1);
	assert_int_equal(interrupts(), 1);
}

static void a_level_stays_until_the_key_is_released(void **state)
{
	(void)state;
	set(IS, 1);
	set(IEV, 1);
	set(IE, 1);
	gpio_press_power(gpio);
	assert_int_equal(interrupts(), 1);
	set(IC, 1);
	assert_int_equal(get(MIS), 1);
	assert_int_equal(interrupts(), 1);
	wait_for_release();
	set(IC, 1);
	assert_int_equal(get(MIS), 0);
}

static void pressing_a_pressed_key_is_no_edge(void **state)
{
	(void)state;
	set(IBE, 1);
	set(IE, 1);
	gpio_press_power(gpio);
	set(IC, 1);
	assert_int_equal(interrupts(), 1);
	gpio_press_power(gpio);
	assert_int_equal(interrupts(), 0);
}

/* Whoever presses it, it is released: also if a snapshot came in between. */
static void a_key_that_was_saved_pressed_is_released(void **state)
{
	struct snap out, in;
	const void *data;
	struct err e;
	size_t len;

	set(IBE, 1);
	set(IE, 1);
	gpio_press_power(gpio);
	snap_save(&out, SNAPSHOT_VERSION);
	gpio_state(gpio, &out);
	assert_ok(snap_finish(&out, &e), e);
	data = snap_data(&out, &len);
	tear_down(state);
	set_up(state);
	snap_load(&in, data, len, SNAPSHOT_VERSION);
	gpio_state(gpio, &in);
	assert_ok(snap_finish(&in, &e), e);
	snap_fini(&out);
	assert_int_equal(get(KEY), 1);
	assert_int_equal(get(MIS), 1);
	/* Its interrupt was raised before. */
	assert_int_equal(interrupts(), 0);
	set(IC, 1);
	wait_for_release();
	assert_int_equal(interrupts(), 1);
	assert_int_equal(get(KEY), 0);
}

static void outputs_read_as_what_was_written(void **state)
{
	(void)state;
	set(DIR, 0xf0);
	set(ALL, 0xff);
	assert_int_equal(get(ALL), 0xf0);
	/* Bits 9:2 of the offset say which lines are meant. */
	set(0x20 << 2, 0);
	assert_int_equal(get(ALL), 0xd0);
	assert_int_equal(get(0x10 << 2), 0x10);
	/* A line that is an output interrupts nobody. */
	set(DIR, 0xff);
	set(IBE, 1);
	set(IE, 1);
	gpio_press_power(gpio);
	assert_int_equal(interrupts(), 0);
}

static void odd_accesses_do_nothing(void **state)
{
	(void)state;
	gpio_mmio_ops.write(gpio, IE + 1, 1, 0xff);
	gpio_mmio_ops.write(gpio, IE, 8, 0xff);
	gpio_mmio_ops.write(gpio, 0xffc, 4, 0xff);
	assert_int_equal(get(IE), 0);
	assert_int_equal(gpio_mmio_ops.read(gpio, IE + 1, 1), 0);
	assert_int_equal(gpio_mmio_ops.read(gpio, 0x800, 4), 0);
}

#define GPIO_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GPIO_TEST(it_is_a_pl061),
		GPIO_TEST(a_press_is_two_edges),
		GPIO_TEST(an_edge_in_one_direction_is_one_interrupt),
		GPIO_TEST(a_masked_interrupt_comes_when_it_is_unmasked),
		GPIO_TEST(a_level_stays_until_the_key_is_released),
		GPIO_TEST(pressing_a_pressed_key_is_no_edge),
		GPIO_TEST(a_key_that_was_saved_pressed_is_released),
		GPIO_TEST(outputs_read_as_what_was_written),
		GPIO_TEST(odd_accesses_do_nothing),
	};

	return RUN_TESTS("gpio", tests);
}
