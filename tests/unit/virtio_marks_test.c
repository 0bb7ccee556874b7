/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device writes to guest RAM is marked, because KVM's dirty log does not
 * show it and a diff must have it: devices/virtio/virtq.c.
 */
#include <linux/virtio_mmio.h>

#include "core/base/util.h"
#include "core/machine/mem.h"
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

static bool is_marked(gpa_t gpa)
{
	const struct guest_mem_dirty *dirty = d.mem.dirty;
	uint64_t page = (gpa - DRIVER_RAM) / dirty->page;

	return dirty->bits[0][page / 64] >> page % 64 & 1;
}

/* The data, as far as it was written, and the ring. */
static void what_a_device_writes_is_marked(void **state)
{
	enum { PIECE = 65536 }; /* whole pages on every host */
	gpa_t at = DRIVER_RAM + (4 << 20);
	struct driver_buffer buffers[] = {{at, 5000, false},
					  {at + PIECE, 100, true},
					  {at + 2 * PIECE, 5000, true},
					  {at + 3 * PIECE, 5000, true}};
	struct err e;

	(void)state;
	assert_ok(guest_mem_track(&d.mem, &e), e);
	driver_add(&d, 0, buffers, ARRAY_SIZE(buffers));
	probe_go();
	assert_true(driver_used(&d, 0, NULL, NULL));
	assert_false(is_marked(at));
	assert_true(is_marked(at + PIECE));
	assert_true(is_marked(at + 2 * PIECE + 4800));
	assert_false(is_marked(at + 3 * PIECE)); /* 5000 bytes were written */
	assert_true(is_marked(d.queue[0].used));
	assert_false(is_marked(d.queue[0].desc));
}

/* Of a ring whose elements are in another page than its index. */
static void each_used_element_is_marked(void **state)
{
	struct driver_buffer one = {DRIVER_DATA, 1, true};
	gpa_t used = DRIVER_RAM + (4 << 20) - 4;
	struct err e;

	(void)state;
	assert_true(driver_negotiate(&d, 0));
	driver_set_queue(&d, 0, SIZE);
	driver_set(&d, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)used);
	driver_go(&d);
	assert_ok(guest_mem_track(&d.mem, &e), e);
	driver_add(&d, 0, &one, 1);
	probe_go();
	assert_true(is_marked(used));
	assert_true(is_marked(used + 4));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, probe_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_a_device_writes_is_marked),
		TEST(each_used_element_is_marked),
	};

	return RUN_TESTS("marks", tests);
}
