/* SPDX-License-Identifier: Apache-2.0 */
/* Rings and buffers in RAM that a page server serves (guest_mem_present()). */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <unistd.h>

#include "devices/virtio/virtq.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_driver.h"
#include "tests/unit/virtio_probe.h"

enum { SIZE = 16 };

static int begin(void **state)
{
	probe_begin(state);
	driver_start(&d, 0, SIZE);
	return 0;
}

static bool is_broken(void)
{
	return probe_status() & VIRTIO_CONFIG_S_NEEDS_RESET;
}

/* What was asked for last. */
static struct asked {
	const uint8_t *host;
	uint64_t len;
	unsigned times;
} asked;

static void ask(void *context, const void *host, uint64_t len)
{
	assert_ptr_equal(context, &asked);
	asked.host = host;
	asked.len = len;
	asked.times++;
}

/* The main thread must not wait for it: the chain stays, and others wait. */
static void a_page_that_is_served_is_asked_for(void **state)
{
	const gpa_t far = DRIVER_RAM + (4 << 20), near = driver_alloc(&d, 16);
	struct driver_buffer buffers[] = {{near, 4, false}, {far, 8, true}};
	uint8_t *host = driver_at(&d, far);

	(void)state;
	asked = (struct asked){0};
	memcpy(driver_at(&d, near), "page", 4);
	d.mem.ask = ask;
	d.mem.ask_context = &asked;
	driver_add(&d, 0, buffers, 2);
	probe_go();
	assert_false(driver_used(&d, 0, NULL, NULL));
	assert_false(is_broken());
	assert_int_equal(asked.times, 1);
	assert_ptr_equal(asked.host, host);
	assert_in_range(asked.len, 8, 65536);
	/* It comes. */
	*host = 1;
	virtio_look(d.dev);
	driver_run(&d);
	assert_true(driver_used(&d, 0, NULL, NULL));
	assert_memory_equal(host, "page", 4);
	assert_int_equal(asked.times, 1);
}

static void rings_and_tables_are_asked_for(void **state)
{
	const gpa_t table = DRIVER_RAM + (5 << 20);
	const long page = sysconf(_SC_PAGESIZE);
	uint8_t *ring = driver_at(&d, d.queue[0].desc);

	(void)state;
	asked = (struct asked){0};
	d.mem.ask = ask;
	d.mem.ask_context = &asked;
	driver_desc(&d, d.queue[0].desc, 0, table, 16, VRING_DESC_F_INDIRECT,
		    0);
	driver_publish(&d, 0, 0);
	probe_go();
	assert_int_equal(asked.times, 1);
	assert_ptr_equal(asked.host, driver_at(&d, table));
	/* As after a restore: even the rings are elsewhere. */
	probe->dev.queue[0].present = false;
	assert_int_equal(guest_mem_discard(&d.mem, ring, (uint64_t)page), 0);
	probe_go();
	assert_int_equal(asked.times, 2);
	assert_ptr_equal(asked.host, ring);
	assert_false(is_broken());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, probe_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_page_that_is_served_is_asked_for),
		TEST(rings_and_tables_are_asked_for),
	};

	return RUN_TESTS("virtio_served", tests);
}
