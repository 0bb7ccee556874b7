/* SPDX-License-Identifier: Apache-2.0 */
/* Rings, right and wrong: devices/virtio/virtq.c, through a whole device. */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "core/base/util.h"
#include "devices/virtio/virtq.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_driver.h"
#include "tests/unit/virtio_probe.h"

enum { SIZE = 16 };
#define EVENT_IDX (1ull << VIRTIO_RING_F_EVENT_IDX)

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

/* The ring is broken, with these words; and a reset revives it. */
static void assert_broken(const char *why)
{
	probe_go();
	assert_true(is_broken());
	assert_non_null(probe->dev.queue[0].broken);
	assert_contains(probe->dev.queue[0].broken, why);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS) &
				 VIRTIO_MMIO_INT_CONFIG,
			 VIRTIO_MMIO_INT_CONFIG);
	assert_false(driver_used(&d, 0, NULL, NULL));
	driver_start(&d, 0, SIZE);
	assert_false(is_broken());
}

/* @text through the device and back, in one buffer each way. */
static void echo(const char *text)
{
	uint32_t len = (uint32_t)strlen(text), head, written;
	gpa_t to = driver_alloc(&d, len), from = driver_alloc(&d, len);
	struct driver_buffer buffers[] = {{to, len, false}, {from, len, true}};
	uint16_t added;

	memcpy(driver_at(&d, to), text, len);
	added = driver_add(&d, 0, buffers, 2);
	probe_go();
	assert_true(driver_used(&d, 0, &head, &written));
	assert_int_equal(head, added);
	assert_int_equal(written, len);
	assert_memory_equal(driver_at(&d, from), text, len);
}

static void request_goes_through(void **state)
{
	(void)state;
	echo("hello");
	assert_int_equal(driver_interrupts(&d), 1);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS), 1);
}

static void ring_goes_round(void **state)
{
	(void)state;
	for (int i = 0; i < 5 * SIZE; i++)
		echo("round and round");
}

static void indexes_wrap_at_16_bits(void **state)
{
	struct driver_buffer one = {DRIVER_DATA, 1, true};

	(void)state;
	for (int i = 0; i < 0x10000 + 3; i++) {
		driver_add(&d, 0, &one, 1);
		probe_go();
		assert_true(driver_used(&d, 0, NULL, NULL));
	}
	assert_int_equal(d.queue[0].used_idx, 3);
	assert_int_equal(probe->chains, 0x10000 + 3);
}

static void indirect_request_goes_through(void **state)
{
	(void)state;
	d.indirect = true;
	for (int i = 0; i < 2 * SIZE; i++)
		echo("by a table of its own");
}

static void indirect_follows_direct(void **state)
{
	gpa_t table = driver_alloc(&d, 16), out = driver_alloc(&d, 4),
	      in = driver_alloc(&d, 4), ring = d.queue[0].desc;

	(void)state;
	memcpy(driver_at(&d, out), "both", 4);
	driver_desc(&d, ring, 0, out, 4, VRING_DESC_F_NEXT, 1);
	driver_desc(&d, ring, 1, table, 16, VRING_DESC_F_INDIRECT, 0);
	driver_desc(&d, table, 0, in, 4, VRING_DESC_F_WRITE, 0);
	driver_publish(&d, 0, 0);
	probe_go();
	assert_true(driver_used(&d, 0, NULL, NULL));
	assert_memory_equal(driver_at(&d, in), "both", 4);
}

static void chain_as_long_as_the_ring_is_fine(void **state)
{
	struct driver_buffer buffers[SIZE];

	(void)state;
	for (unsigned i = 0; i < SIZE; i++)
		buffers[i] = (struct driver_buffer){DRIVER_DATA + i, 1, false};
	driver_add(&d, 0, buffers, SIZE);
	probe_go();
	assert_true(driver_used(&d, 0, NULL, NULL));
	assert_false(is_broken());
}

static void loop_is_refused(void **state)
{
	(void)state;
	driver_desc(&d, d.queue[0].desc, 0, DRIVER_DATA, 1, VRING_DESC_F_NEXT,
		    0);
	driver_publish(&d, 0, 0);
	assert_broken("longer than its table");
}

/* Ring and table together, each of which may be as long. */
static void chain_of_ring_and_table_is_bounded(void **state)
{
	enum { RING = 200, TABLE = 100 };
	struct driver_buffer buffers[RING];
	gpa_t table = driver_alloc(&d, 16 * TABLE);

	(void)state;
	driver_start(&d, 0, 256);
	for (unsigned i = 0; i < RING; i++)
		buffers[i] = (struct driver_buffer){DRIVER_DATA + i, 1, false};
	for (unsigned i = 0; i < TABLE; i++)
		driver_desc(&d, table, i, DRIVER_DATA, 1,
			    i + 1 < TABLE ? VRING_DESC_F_NEXT : 0,
			    (uint16_t)(i + 1));
	driver_add(&d, 0, buffers, RING);
	driver_desc(&d, d.queue[0].desc, RING - 1, table, 16 * TABLE,
		    VRING_DESC_F_INDIRECT, 0);
	assert_broken("a chain is too long");
}

static void empty_buffers_cannot_make_it_longer(void **state)
{
	(void)state;
	driver_desc(&d, d.queue[0].desc, 0, 0, 0, VRING_DESC_F_NEXT, 0);
	driver_publish(&d, 0, 0);
	assert_broken("longer than its table");
}

static void loop_in_a_table_is_refused(void **state)
{
	gpa_t table = driver_alloc(&d, 32);

	(void)state;
	driver_desc(&d, d.queue[0].desc, 0, table, 32, VRING_DESC_F_INDIRECT,
		    0);
	driver_desc(&d, table, 0, DRIVER_DATA, 1, VRING_DESC_F_NEXT, 1);
	driver_desc(&d, table, 1, DRIVER_DATA, 1, VRING_DESC_F_NEXT, 0);
	driver_publish(&d, 0, 0);
	assert_broken("longer than its table");
}

static void table_in_a_table_is_refused(void **state)
{
	gpa_t table = driver_alloc(&d, 16);

	(void)state;
	driver_desc(&d, d.queue[0].desc, 0, table, 16, VRING_DESC_F_INDIRECT,
		    0);
	driver_desc(&d, table, 0, table, 16, VRING_DESC_F_INDIRECT, 0);
	driver_publish(&d, 0, 0);
	assert_broken("where none may be");
}

static void table_that_is_not_last_is_refused(void **state)
{
	gpa_t table = driver_alloc(&d, 16);

	(void)state;
	driver_desc(&d, d.queue[0].desc, 0, table, 16,
		    VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1);
	driver_desc(&d, table, 0, DRIVER_DATA, 1, 0, 0);
	driver_publish(&d, 0, 0);
	assert_broken("where none may be");
}

static void impossible_tables_are_refused(void **state)
{
	static const struct {
		gpa_t gpa;
		uint32_t len;
		const char *why;
	} table[] = {
		{DRIVER_DATA, 0, "impossible length"},
		{DRIVER_DATA, 17, "impossible length"},
		{DRIVER_DATA, 16 * (VIRTQ_CHAIN_MAX + 1), "impossible length"},
		{DRIVER_DATA, 0xfffffff0, "impossible length"},
		{DRIVER_DATA + 4, 16, "aligned"},
		{DRIVER_RAM - 16, 16, "within RAM"},
		{DRIVER_RAM - 16, 32, "within RAM"},
		{DRIVER_RAM + DRIVER_RAM_SIZE - 16ull, 32, "within RAM"},
		{UINT64_MAX - 15, 32, "within RAM"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
		driver_desc(&d, d.queue[0].desc, 0, table[i].gpa, table[i].len,
			    VRING_DESC_F_INDIRECT, 0);
		driver_publish(&d, 0, 0);
		assert_broken(table[i].why);
	}
}

static void buffers_outside_ram_are_refused(void **state)
{
	static const struct driver_buffer outside[] = {
		{DRIVER_RAM - 1, 1, false},
		{DRIVER_RAM - 1, 2, true},
		{0, 0xffffffff, false},
		{DRIVER_RAM + DRIVER_RAM_SIZE - 1ull, 2, true},
		{DRIVER_RAM + (gpa_t)DRIVER_RAM_SIZE, 1, true},
		{DRIVER_RAM, 0xffffffff, true},
		{UINT64_MAX, 1, true},
		{UINT64_MAX, 0xffffffff, true},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(outside); i++) {
		driver_add(&d, 0, &outside[i], 1);
		assert_broken("not within RAM");
	}
}

static void last_byte_of_ram_is_a_buffer(void **state)
{
	struct driver_buffer last = {DRIVER_RAM + DRIVER_RAM_SIZE - 1ull, 1,
				     true};

	(void)state;
	driver_add(&d, 0, &last, 1);
	probe_go();
	assert_true(driver_used(&d, 0, NULL, NULL));
}

static void out_after_in_is_refused(void **state)
{
	struct driver_buffer wrong[] = {{DRIVER_DATA, 1, true},
					{DRIVER_DATA, 1, false}};

	(void)state;
	driver_add(&d, 0, wrong, 2);
	assert_broken("follows one to write");
}

static void head_outside_the_ring_is_refused(void **state)
{
	(void)state;
	driver_publish(&d, 0, SIZE);
	assert_broken("outside its table");
	driver_publish(&d, 0, 0xffff);
	assert_broken("outside its table");
}

static void next_outside_the_ring_is_refused(void **state)
{
	(void)state;
	driver_desc(&d, d.queue[0].desc, 0, DRIVER_DATA, 1, VRING_DESC_F_NEXT,
		    SIZE);
	driver_publish(&d, 0, 0);
	assert_broken("outside its table");
}

static void index_beyond_the_ring_is_refused(void **state)
{
	struct vring_avail *avail = driver_at(&d, d.queue[0].avail);

	(void)state;
	avail->idx = SIZE + 1;
	assert_broken("more is available");
	avail = driver_at(&d, d.queue[0].avail);
	avail->idx = 0xffff; /* back by one */
	assert_broken("more is available");
}

static void broken_ring_stops_the_whole_device(void **state)
{
	struct driver_buffer bad = {0, 1, false};

	(void)state;
	driver_add(&d, 0, &bad, 1);
	probe_go();
	assert_true(is_broken());
	/* Virtio has no notion of less. */
	driver_kick(&d, 1);
	driver_run(&d);
	assert_int_equal(probe->kicks[1], 1); /* the one at DRIVER_OK */
}

static void broken_ring_is_reported_once(void **state)
{
	struct driver_buffer bad = {0, 1, false};

	(void)state;
	driver_add(&d, 0, &bad, 1);
	for (int i = 0; i < 100; i++)
		probe_go();
	assert_int_equal(probe->dev.mistakes.count, 1);
	assert_int_equal(driver_interrupts(&d), 1);
}

static void what_came_before_the_bad_one_is_done(void **state)
{
	struct driver_buffer good = {DRIVER_DATA, 1, true}, bad = {0, 1, false};

	(void)state;
	driver_add(&d, 0, &good, 1);
	driver_add(&d, 0, &bad, 1);
	probe_go();
	assert_true(driver_used(&d, 0, NULL, NULL));
	assert_false(driver_used(&d, 0, NULL, NULL));
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS), 3);
}

/* ------------------------------------------------------------ notification */

static void no_interrupt_if_the_driver_wants_none(void **state)
{
	struct driver_buffer one = {DRIVER_DATA, 1, true};
	struct vring_avail *avail = driver_at(&d, d.queue[0].avail);

	(void)state;
	avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	driver_add(&d, 0, &one, 1);
	probe_go();
	assert_true(driver_used(&d, 0, NULL, NULL));
	assert_int_equal(driver_interrupts(&d), 0);
}

static void one_interrupt_for_a_batch(void **state)
{
	struct driver_buffer one = {DRIVER_DATA, 1, true};

	(void)state;
	for (int i = 0; i < SIZE; i++)
		driver_add(&d, 0, &one, 1);
	probe_go();
	assert_int_equal(probe->chains, SIZE);
	assert_int_equal(driver_interrupts(&d), 1);
}

static void event_index_says_when_to_interrupt(void **state)
{
	struct driver_buffer one = {DRIVER_DATA, 1, true};
	struct vring_avail *avail;

	(void)state;
	driver_start(&d, EVENT_IDX, SIZE);
	avail = driver_at(&d, d.queue[0].avail);
	avail->ring[SIZE] = 2; /* used_event: after the third */
	for (int i = 0; i < 4; i++) {
		driver_add(&d, 0, &one, 1);
		probe_go();
		assert_int_equal(driver_interrupts(&d), i == 2);
	}
	/* A batch that passes over it. */
	avail->ring[SIZE] = 5;
	for (int i = 0; i < 4; i++)
		driver_add(&d, 0, &one, 1);
	probe_go();
	assert_int_equal(driver_interrupts(&d), 1);
}

static void event_index_asks_for_the_next_kick(void **state)
{
	struct driver_buffer one = {DRIVER_DATA, 1, true};

	(void)state;
	driver_start(&d, EVENT_IDX, SIZE);
	for (int i = 0; i < 2 * SIZE; i++) {
		uint16_t old = d.queue[0].avail_idx;

		driver_add(&d, 0, &one, 1);
		assert_true(driver_wants_kick(&d, 0, old));
		/* No second kick before the device looked. */
		old = d.queue[0].avail_idx;
		driver_add(&d, 0, &one, 1);
		assert_false(driver_wants_kick(&d, 0, old));
		probe_go();
	}
	assert_int_equal(probe->chains, 4 * SIZE);
}

/* ------------------------------------------------------------- bounded work */

static void large_requests_take_turns(void **state)
{
	const uint32_t len = DRIVER_RAM_SIZE / 2;
	struct driver_buffer large = {DRIVER_RAM + (gpa_t)len, len, false};

	(void)state;
	for (int i = 0; i < SIZE; i++) /* 64 MiB */
		driver_add(&d, 0, &large, 1);
	probe->kicks[0] = 0;
	driver_kick(&d, 0);
	driver_poll(&d, 0);
	assert_true(probe->chains < SIZE);
	assert_true(probe->chains > 0);
	driver_run(&d);
	assert_int_equal(probe->chains, SIZE);
	assert_true(probe->kicks[0] > 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, probe_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(request_goes_through),
		TEST(ring_goes_round),
		TEST(indexes_wrap_at_16_bits),
		TEST(indirect_request_goes_through),
		TEST(indirect_follows_direct),
		TEST(chain_as_long_as_the_ring_is_fine),
		TEST(loop_is_refused),
		TEST(chain_of_ring_and_table_is_bounded),
		TEST(empty_buffers_cannot_make_it_longer),
		TEST(loop_in_a_table_is_refused),
		TEST(table_in_a_table_is_refused),
		TEST(table_that_is_not_last_is_refused),
		TEST(impossible_tables_are_refused),
		TEST(buffers_outside_ram_are_refused),
		TEST(last_byte_of_ram_is_a_buffer),
		TEST(out_after_in_is_refused),
		TEST(head_outside_the_ring_is_refused),
		TEST(next_outside_the_ring_is_refused),
		TEST(index_beyond_the_ring_is_refused),
		TEST(broken_ring_stops_the_whole_device),
		TEST(broken_ring_is_reported_once),
		TEST(what_came_before_the_bad_one_is_done),
		TEST(no_interrupt_if_the_driver_wants_none),
		TEST(one_interrupt_for_a_batch),
		TEST(event_index_says_when_to_interrupt),
		TEST(event_index_asks_for_the_next_kick),
		TEST(large_requests_take_turns),
	};

	return RUN_TESTS("virtq", tests);
}
