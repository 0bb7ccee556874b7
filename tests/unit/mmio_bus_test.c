/* SPDX-License-Identifier: Apache-2.0 */
/* Who answers an access: core/machine/mmio_bus.c. */
#include "core/io/log.h"
#include "core/machine/mmio_bus.h"
#include "tests/unit/testing.h"

/* A device that remembers its last access. */
struct probe {
	uint64_t offset, value;
	unsigned len, reads, writes;
};

static uint64_t probe_read(void *device, uint64_t offset, unsigned len)
{
	struct probe *p = device;

	p->offset = offset;
	p->len = len;
	p->reads++;
	return 0x1122334455667788;
}

static void probe_write(void *device, uint64_t offset, unsigned len,
			uint64_t value)
{
	struct probe *p = device;

	p->offset = offset;
	p->len = len;
	p->value = value;
	p->writes++;
}

static const struct mmio_ops ops = {.read = probe_read, .write = probe_write};

static struct mmio_bus bus;
static struct probe probe[3];

static int add(gpa_t base, uint64_t size, struct probe *p, struct err *e)
{
	const struct mmio_window w = {
		.base = base,
		.size = size,
		.ops = &ops,
		.device = p,
	};

	return mmio_bus_add(&bus, w, e);
}

static int clear(void **state)
{
	const struct log_config quiet = {.level = LOG_OFF, .fd = -1};

	(void)state;
	log_configure(&quiet);
	bus = (struct mmio_bus){0};
	for (unsigned i = 0; i < 3; i++)
		probe[i] = (struct probe){0};
	return 0;
}

static void windows_are_found_in_any_order_of_adding(void **state)
{
	struct err e;

	(void)state;
	assert_ok(add(0x3000, 0x1000, &probe[2], &e), e);
	assert_ok(add(0x1000, 0x1000, &probe[0], &e), e);
	assert_ok(add(0x2000, 0x1000, &probe[1], &e), e);
	for (unsigned i = 0; i < 3; i++) {
		mmio_bus_write(&bus, 0x1010 + i * 0x1000, 4, i);
		assert_int_equal(probe[i].writes, 1);
		assert_int_equal(probe[i].offset, 0x10);
		assert_int_equal(probe[i].value, i);
		assert_int_equal(probe[i].len, 4);
	}
}

static void windows_are_kept_ascending(void **state)
{
	struct err e;

	(void)state;
	assert_ok(add(0x3000, 0x1000, &probe[2], &e), e);
	assert_ok(add(0x1000, 0x1000, &probe[0], &e), e);
	assert_int_equal(bus.count, 2);
	assert_true(bus.window[0].base < bus.window[1].base);
}

static void read_gives_the_answer(void **state)
{
	struct err e;

	(void)state;
	assert_ok(add(0x1000, 0x1000, &probe[0], &e), e);
	assert_true(mmio_bus_read(&bus, 0x1008, 8) == 0x1122334455667788);
	assert_int_equal(probe[0].reads, 1);
	assert_int_equal(probe[0].writes, 0);
}

static void first_and_last_byte_belong_to_a_window(void **state)
{
	struct err e;

	(void)state;
	assert_ok(add(0x1000, 0x1000, &probe[0], &e), e);
	mmio_bus_read(&bus, 0x1000, 1);
	mmio_bus_read(&bus, 0x1fff, 1);
	assert_int_equal(probe[0].reads, 2);
	assert_int_equal(probe[0].offset, 0xfff);
	mmio_bus_read(&bus, 0x1ff8, 8);
	assert_int_equal(probe[0].reads, 3);
}

static void around_a_window_is_nothing(void **state)
{
	struct err e;

	(void)state;
	assert_ok(add(0x1000, 0x1000, &probe[0], &e), e);
	assert_int_equal(mmio_bus_read(&bus, 0xfff, 1), 0);
	assert_int_equal(mmio_bus_read(&bus, 0x2000, 1), 0);
	assert_int_equal(mmio_bus_read(&bus, UINT64_MAX, 1), 0);
	mmio_bus_write(&bus, 0, 8, 1);
	assert_int_equal(probe[0].reads + probe[0].writes, 0);
}

static void access_across_an_end_hits_nothing(void **state)
{
	struct err e;

	(void)state;
	assert_ok(add(0x1000, 0x1000, &probe[0], &e), e);
	assert_ok(add(0x2000, 0x1000, &probe[1], &e), e);
	assert_int_equal(mmio_bus_read(&bus, 0x1ffc, 8), 0);
	mmio_bus_write(&bus, 0xffe, 4, 1);
	mmio_bus_write(&bus, 0x2fff, 2, 1);
	assert_int_equal(probe[0].reads + probe[0].writes, 0);
	assert_int_equal(probe[1].reads + probe[1].writes, 0);
}

static void empty_bus_answers_zero(void **state)
{
	(void)state;
	assert_int_equal(mmio_bus_read(&bus, 0x1000, 4), 0);
}

static void misses_are_counted(void **state)
{
	uint64_t before = mmio_bus_missed();

	(void)state;
	mmio_bus_read(&bus, 0x1000, 4);
	mmio_bus_write(&bus, 0x1000, 4, 1);
	assert_int_equal(mmio_bus_missed(), before + 2);
}

static void overlap_is_refused(void **state)
{
	static const struct {
		gpa_t base;
		uint64_t size;
	} overlapping[] = {
		{0x2000, 0x1000}, /* the same */
		{0x2fff, 1},      /* its last byte */
		{0x1001, 0x1000}, /* into its first byte */
		{0x1000, 0x3000}, /* around it */
		{0x2400, 0x10},   /* inside it */
		{0x1000, UINT64_MAX},
	};
	struct err e;

	(void)state;
	assert_ok(add(0x2000, 0x1000, &probe[0], &e), e);
	for (unsigned i = 0; i < sizeof(overlapping) / sizeof(*overlapping);
	     i++)
		assert_err(add(overlapping[i].base, overlapping[i].size,
			       &probe[1], &e),
			   e, "two devices");
	assert_int_equal(bus.count, 1);
}

static void neighbours_are_no_overlap(void **state)
{
	struct err e;

	(void)state;
	assert_ok(add(0x2000, 0x1000, &probe[0], &e), e);
	assert_ok(add(0x3000, 0x1000, &probe[1], &e), e);
	assert_ok(add(0x1000, 0x1000, &probe[2], &e), e);
}

static void full_bus_refuses(void **state)
{
	struct err e;

	(void)state;
	for (unsigned i = 0; i < MMIO_WINDOWS_MAX; i++)
		assert_ok(add(i * 0x1000, 0x1000, &probe[0], &e), e);
	assert_err(add(MMIO_WINDOWS_MAX * 0x1000, 0x1000, &probe[0], &e), e,
		   "more than 96 devices");
	assert_int_equal(bus.count, MMIO_WINDOWS_MAX);
	mmio_bus_read(&bus, MMIO_WINDOWS_MAX * 0x1000 - 1, 1);
	assert_int_equal(probe[0].reads, 1);
}

static void window_at_the_end_of_all_addresses(void **state)
{
	struct err e;

	(void)state;
	assert_ok(add(0 - (gpa_t)0x1000, 0x1000, &probe[0], &e), e);
	mmio_bus_read(&bus, UINT64_MAX, 1);
	assert_int_equal(probe[0].reads, 1);
	mmio_bus_read(&bus, UINT64_MAX, 2);
	assert_int_equal(probe[0].reads, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(windows_are_found_in_any_order_of_adding,
				       clear),
		cmocka_unit_test_setup(windows_are_kept_ascending, clear),
		cmocka_unit_test_setup(read_gives_the_answer, clear),
		cmocka_unit_test_setup(first_and_last_byte_belong_to_a_window,
				       clear),
		cmocka_unit_test_setup(around_a_window_is_nothing, clear),
		cmocka_unit_test_setup(access_across_an_end_hits_nothing,
				       clear),
		cmocka_unit_test_setup(empty_bus_answers_zero, clear),
		cmocka_unit_test_setup(misses_are_counted, clear),
		cmocka_unit_test_setup(overlap_is_refused, clear),
		cmocka_unit_test_setup(neighbours_are_no_overlap, clear),
		cmocka_unit_test_setup(full_bus_refuses, clear),
		cmocka_unit_test_setup(window_at_the_end_of_all_addresses,
				       clear),
	};

	return RUN_TESTS("mmio_bus", tests);
}
