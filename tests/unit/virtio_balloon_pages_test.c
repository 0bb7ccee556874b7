/* SPDX-License-Identifier: Apache-2.0 */
/* Inflating and deflating: devices/virtio/balloon/balloon_pages.c. */
#include <linux/virtio_balloon.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/util.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_balloon_guest.h"

enum { PAGE = 4096, LARGE = 65536, PARTS = LARGE / PAGE };

static void inflated_pages_go_back_to_the_host(void **state)
{
	gpa_t gpa;

	(void)state;
	balloon_up();
	gpa = balloon_filled(40 * PAGE);
	assert_int_equal(balloon_resident(gpa, 40 * PAGE), 40);
	balloon_range(INFLATE, gpa + 8 * PAGE, 16, 1);
	assert_int_equal(balloon_resident(gpa, 40 * PAGE), 24);
	assert_int_equal(balloon_resident(gpa + 8 * PAGE, 16 * PAGE), 0);
	balloon_check_bytes(gpa + 8 * PAGE, 16 * PAGE, 0);
	balloon_check_bytes(gpa, 8 * PAGE, 0x55);
	balloon_check_bytes(gpa + 24 * PAGE, 16 * PAGE, 0x55);
	assert_int_equal(driver_interrupts(&g.d), 1);
	assert_int_equal(balloon_metrics(g.d.dev)->inflate_count, 1);
	assert_int_equal(balloon_metrics(g.d.dev)->event_fails, 0);
}

/* As Linux does it: 256 pages at a time, as its allocator gives them. */
static void half_of_ram_goes_back(void **state)
{
	const unsigned all = DRIVER_RAM_SIZE / PAGE;
	gpa_t gpa;
	unsigned before;

	(void)state;
	balloon_up();
	memset(driver_at(&g.d, DRIVER_DATA), 0x55,
	       DRIVER_RAM_SIZE - (DRIVER_DATA - DRIVER_RAM));
	gpa = DRIVER_RAM + DRIVER_RAM_SIZE / 2;
	before = balloon_resident(DRIVER_RAM, DRIVER_RAM_SIZE);
	for (unsigned i = 0; i < all / 2 / 256; i++)
		balloon_range(INFLATE,
			      gpa + i * MIB(1) + (i & 1 ? MIB(1) - PAGE : 0),
			      256, i & 1 ? -1 : 1);
	assert_int_equal(before - balloon_resident(DRIVER_RAM, DRIVER_RAM_SIZE),
			 all / 2);
	assert_int_equal(g.calls, 4);
	assert_int_equal(g.bytes, DRIVER_RAM_SIZE / 2);
}

static void order_does_not_matter(void **state)
{
	uint32_t pfn[256];
	gpa_t gpa;

	(void)state;
	balloon_up();
	gpa = balloon_filled(256 * PAGE);
	for (unsigned i = 0; i < 256; i++) /* 97 is odd: each once */
		pfn[i] = (uint32_t)(gpa / PAGE) + i * 97 % 256;
	balloon_pages(INFLATE, pfn, 256);
	assert_int_equal(balloon_resident(gpa, 256 * PAGE), 0);
	assert_int_equal(g.calls, 1);
}

/* Sorted for all lengths, with equal ones among them. */
static void any_pages_go_back_and_no_others(void **state)
{
	unsigned seed = 12345;

	(void)state;
	balloon_up();
	for (unsigned count = 1; count < 50; count++) {
		gpa_t gpa = balloon_filled(64 * PAGE);
		uint32_t pfn[50];
		uint64_t wanted = 0;

		for (unsigned i = 0; i < count; i++) {
			unsigned page;

			seed = seed * 1103515245 + 12345;
			page = seed >> 16 & 63;
			wanted |= 1ull << page;
			pfn[i] = (uint32_t)(gpa / PAGE) + page;
		}
		balloon_pages(INFLATE, pfn, count);
		for (unsigned i = 0; i < 64; i++)
			assert_int_equal(
				*(uint8_t *)driver_at(&g.d, gpa + i * PAGE),
				wanted >> i & 1 ? 0 : 0x55);
		g.d.free = DRIVER_DATA + LARGE;
	}
}

static void pages_outside_ram_are_passed_over(void **state)
{
	uint32_t pfn[6] = {0, UINT32_MAX, DRIVER_RAM / PAGE - 1,
			   (DRIVER_RAM + DRIVER_RAM_SIZE) / PAGE};
	gpa_t gpa;

	(void)state;
	balloon_up();
	gpa = balloon_filled(2 * PAGE);
	pfn[4] = (uint32_t)(gpa / PAGE);
	pfn[5] = (DRIVER_RAM + DRIVER_RAM_SIZE) / PAGE - 1;
	balloon_pages(INFLATE, pfn, 6);
	assert_int_equal(balloon_resident(gpa, 2 * PAGE), 1);
	assert_int_equal(g.calls, 2);
	assert_int_equal(g.bytes, 2 * PAGE);
	assert_int_equal(balloon_metrics(g.d.dev)->event_fails, 1);
	/* And the device goes on. */
	balloon_range(INFLATE, gpa + PAGE, 1, 1);
	assert_int_equal(balloon_resident(gpa, 2 * PAGE), 0);
}

/* Adjacent for the guest, and not for the host. */
static void pages_of_two_regions_in_a_row(void **state)
{
	const struct guest_mem_region two[] = {
		{.gpa = DRIVER_RAM, .size = MIB(4)},
		{.gpa = DRIVER_RAM + MIB(4), .size = MIB(4)},
	};
	const gpa_t border = DRIVER_RAM + MIB(4);
	struct err e;

	(void)state;
	guest_mem_destroy(&g.d.mem);
	assert_ok(guest_mem_create(&g.d.mem, two, 2, &e), e);
	guest_mem_expect_little(&g.d.mem, DRIVER_RAM, MIB(4));
	guest_mem_expect_little(&g.d.mem, border, MIB(4));
	balloon_up();
	memset(driver_at(&g.d, border - 8 * PAGE), 0x55, 8 * PAGE);
	memset(driver_at(&g.d, border), 0x55, 8 * PAGE);
	balloon_range(INFLATE, border - 4 * PAGE, 8, 1);
	assert_int_equal(balloon_resident(border - 8 * PAGE, 8 * PAGE), 4);
	assert_int_equal(balloon_resident(border, 8 * PAGE), 4);
	assert_int_equal(balloon_metrics(g.d.dev)->event_fails, 0);
}

/* The kernel that the VMM loaded: freed by the guest, it is gone. */
static void page_of_a_loaded_file_is_zero(void **state)
{
	uint8_t data[4 * PAGE];
	AUTO_CLOSE int fd = -1;
	gpa_t gpa = balloon_filled(LARGE);
	struct err e;

	(void)state;
	memset(data, 0x77, sizeof(data));
	fd = testing_file(data, sizeof(data));
	assert_ok(guest_mem_load(&g.d.mem, gpa, fd, 0, sizeof(data), &e), e);
	balloon_up();
	balloon_range(INFLATE, gpa + PAGE, 2, 1);
	balloon_check_bytes(gpa, PAGE, 0x77);
	balloon_check_bytes(gpa + PAGE, 2 * PAGE, 0);
	balloon_check_bytes(gpa + 3 * PAGE, PAGE, 0x77);
}

static void request_that_is_no_list_of_pages_is_answered(void **state)
{
	uint32_t pfn[2] = {0, 0};
	struct driver_buffer writable = {driver_alloc(&g.d, 64), 64, true};
	gpa_t gpa;

	(void)state;
	balloon_up();
	gpa = balloon_filled(2 * PAGE);
	pfn[0] = (uint32_t)(gpa / PAGE);
	pfn[1] = pfn[0] + 1;
	balloon_send(INFLATE, pfn, 7); /* one, and most of another */
	assert_true(driver_used(&g.d, INFLATE, NULL, NULL));
	assert_int_equal(balloon_resident(gpa, 2 * PAGE), 1);
	assert_int_equal(balloon_metrics(g.d.dev)->event_fails, 1);
	balloon_send(INFLATE, pfn, 3);
	balloon_send(INFLATE, pfn, 0);
	assert_int_equal(balloon_resident(gpa, 2 * PAGE), 1);
	driver_add(&g.d, INFLATE, &writable, 1);
	driver_kick(&g.d, INFLATE);
	driver_run(&g.d);
	for (unsigned i = 0; i < 3; i++)
		assert_true(driver_used(&g.d, INFLATE, NULL, NULL));
	assert_int_equal(balloon_metrics(g.d.dev)->event_fails, 3);
	assert_int_equal(g.calls, 1);
}

static void list_may_be_in_several_buffers(void **state)
{
	struct driver_buffer parts[3];
	uint32_t pfn[300];
	gpa_t gpa, list;

	(void)state;
	balloon_up();
	gpa = balloon_filled(300 * PAGE);
	list = driver_alloc(&g.d, sizeof(pfn));
	for (unsigned i = 0; i < 300; i++)
		pfn[i] = (uint32_t)(gpa / PAGE) + i;
	memcpy(driver_at(&g.d, list), pfn, sizeof(pfn));
	parts[0] = (struct driver_buffer){list, 2, false}; /* half a number */
	parts[1] = (struct driver_buffer){list + 2, 1000, false};
	parts[2] = (struct driver_buffer){list + 1002, 198, false};
	driver_add(&g.d, INFLATE, parts, 3);
	driver_kick(&g.d, INFLATE);
	driver_run(&g.d);
	assert_true(driver_used(&g.d, INFLATE, NULL, NULL));
	assert_int_equal(balloon_resident(gpa, 300 * PAGE), 0);
}

/* Work is bounded, whatever is asked for. */
static void list_that_is_too_long_is_cut(void **state)
{
	enum { COUNT = 5000, TAKEN = 4096 };
	gpa_t list, a, b;
	struct driver_buffer all;
	uint32_t *pfn;

	(void)state;
	balloon_up();
	a = balloon_filled(PAGE);
	b = balloon_filled(PAGE);
	list = driver_alloc(&g.d, COUNT * sizeof(*pfn));
	pfn = driver_at(&g.d, list);
	for (unsigned i = 0; i < COUNT; i++)
		pfn[i] = (uint32_t)((i < TAKEN ? a : b) / PAGE);
	all = (struct driver_buffer){list, COUNT * sizeof(*pfn), false};
	driver_add(&g.d, INFLATE, &all, 1);
	driver_kick(&g.d, INFLATE);
	driver_run(&g.d);
	assert_true(driver_used(&g.d, INFLATE, NULL, NULL));
	assert_int_equal(balloon_resident(a, PAGE), 0);
	assert_int_equal(balloon_resident(b, PAGE), 1);
	assert_int_equal(balloon_metrics(g.d.dev)->event_fails, 1);
	assert_in_range(g.calls, 1, TAKEN / 256);
}

/* Others have their turn in between. */
static void scattered_pages_take_several_turns(void **state)
{
	enum { REQUESTS = 20, EACH = 128 };
	struct driver_buffer list = {0, EACH * 4, false};
	uint32_t *pfn;
	gpa_t gpa;

	(void)state;
	balloon_up();
	gpa = balloon_filled(2 * EACH * PAGE);
	list.gpa = driver_alloc(&g.d, EACH * sizeof(*pfn));
	pfn = driver_at(&g.d, list.gpa);
	for (unsigned i = 0; i < EACH; i++)
		pfn[i] = (uint32_t)(gpa / PAGE) + 2 * i;
	for (unsigned i = 0; i < REQUESTS; i++)
		driver_add(&g.d, INFLATE, &list, 1);
	driver_kick(&g.d, INFLATE);
	assert_int_equal(driver_poll(&g.d, 0), 1);
	assert_in_range(g.calls, EACH, 3 * EACH);
	driver_run(&g.d);
	assert_int_equal(g.calls, REQUESTS * EACH);
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_true(driver_used(&g.d, INFLATE, NULL, NULL));
}

static uint16_t used_when_discarded;

static void look_at_used(void)
{
	const struct vring_used *used =
		driver_at(&g.d, g.d.queue[INFLATE].used);

	used_when_discarded = used->idx;
}

/* After it the driver may take the page back, and write to it. */
static void answer_comes_after_the_page_is_gone(void **state)
{
	gpa_t gpa;

	(void)state;
	balloon_up();
	gpa = balloon_filled(PAGE);
	g.watch = look_at_used;
	used_when_discarded = 99;
	balloon_range(INFLATE, gpa, 1, 1);
	assert_int_equal(used_when_discarded, 0);
}

static void host_that_takes_nothing_back_changes_nothing(void **state)
{
	gpa_t gpa;

	(void)state;
	balloon_up();
	gpa = balloon_filled(3 * PAGE);
	g.refuse = true;
	balloon_range(INFLATE, gpa, 2, 2);
	balloon_check_bytes(gpa, 3 * PAGE, 0x55);
	assert_int_equal(balloon_metrics(g.d.dev)->event_fails, 2);
	assert_int_equal(driver_get(&g.d, VIRTIO_MMIO_STATUS), 15);
}

static void deflating_is_answered(void **state)
{
	gpa_t gpa;

	(void)state;
	balloon_up();
	gpa = balloon_filled(4 * PAGE);
	balloon_range(INFLATE, gpa, 4, 1);
	balloon_range(DEFLATE, gpa, 4, 1);
	memset(driver_at(&g.d, gpa), 0x66, 4 * PAGE);
	balloon_range(DEFLATE, gpa, 4, 1);
	balloon_check_bytes(gpa, 4 * PAGE, 0x66);
	assert_int_equal(balloon_metrics(g.d.dev)->deflate_count, 2);
	assert_int_equal(g.calls, 1);
}

/* ------------------------------------------- hosts with pages of 64 KiB */

static void large_host_asks_to_be_told(void **state)
{
	(void)state;
	g.host_page = LARGE;
	balloon_new();
	assert_true(g.d.dev->offered & 1 << VIRTIO_BALLOON_F_MUST_TELL_HOST);
}

static void large_page_goes_back_when_it_is_complete(void **state)
{
	gpa_t gpa;

	(void)state;
	g.host_page = LARGE;
	balloon_up();
	gpa = balloon_filled(3 * LARGE);
	balloon_range(INFLATE, gpa + LARGE, PARTS / 2, 2);
	assert_int_equal(g.calls, 0);
	balloon_range(INFLATE, gpa + LARGE + PAGE, PARTS / 2 - 1, 2);
	assert_int_equal(g.calls, 0);
	balloon_check_bytes(gpa, 3 * LARGE, 0x55);
	balloon_range(INFLATE, gpa + 2 * LARGE - PAGE, 1, 1);
	assert_int_equal(g.calls, 1);
	assert_int_equal(balloon_resident(gpa + LARGE, LARGE), 0);
	assert_int_equal(balloon_resident(gpa, LARGE), PARTS);
	assert_int_equal(balloon_resident(gpa + 2 * LARGE, LARGE), PARTS);
}

/* RAM in huge pages: a bitmap word is not enough. */
static void huge_page_goes_back_when_it_is_complete(void **state)
{
	const gpa_t gpa = DRIVER_RAM + MIB(4);

	(void)state;
	g.host_page = MIB(2);
	balloon_up();
	memset(driver_at(&g.d, gpa), 0x55, MIB(4));
	balloon_range(INFLATE, gpa, 256, 1);
	balloon_range(INFLATE, gpa + 257 * PAGE, 255, 1);
	balloon_range(INFLATE, gpa + MIB(2), 255, 1);
	assert_int_equal(g.calls, 0);
	balloon_check_bytes(gpa, MIB(4), 0x55);
	balloon_range(INFLATE, gpa + 256 * PAGE, 1, 1);
	assert_int_equal(g.calls, 1);
	assert_int_equal(g.bytes, MIB(2));
	balloon_check_bytes(gpa + MIB(2), MIB(2), 0x55);
}

static void large_pages_go_back_together(void **state)
{
	gpa_t gpa;

	(void)state;
	g.host_page = LARGE;
	balloon_up();
	gpa = balloon_filled(5 * LARGE);
	/* The last page of one, four whole ones. */
	balloon_range(INFLATE, gpa + LARGE - PAGE, 1 + 4 * PARTS, 1);
	assert_int_equal(g.calls, 1);
	assert_int_equal(g.bytes, 4 * LARGE);
	assert_int_equal(balloon_resident(gpa, 5 * LARGE), PARTS);
}

static void part_that_left_keeps_the_large_page(void **state)
{
	gpa_t gpa;

	(void)state;
	g.host_page = LARGE;
	balloon_up();
	gpa = balloon_filled(LARGE);
	balloon_range(INFLATE, gpa, PARTS - 1, 1);
	balloon_range(DEFLATE, gpa + 3 * PAGE, 1, 1);
	balloon_range(INFLATE, gpa + LARGE - PAGE, 1, 1);
	assert_int_equal(g.calls, 0);
	balloon_check_bytes(gpa, LARGE, 0x55);
	balloon_range(INFLATE, gpa + 3 * PAGE, 1, 1);
	assert_int_equal(balloon_resident(gpa, LARGE), 0);
	/* Taken back in part, written to, given again. */
	balloon_range(DEFLATE, gpa, 1, 1);
	memset(driver_at(&g.d, gpa), 0x66, PAGE);
	balloon_range(INFLATE, gpa, 1, 1);
	assert_int_equal(balloon_resident(gpa, LARGE), 0);
}

/* It need not say when it takes pages back: only what comes at once counts. */
static void driver_that_does_not_tell_gives_whole_pages_only(void **state)
{
	gpa_t gpa;

	(void)state;
	g.host_page = LARGE;
	balloon_up_with(0);
	gpa = balloon_filled(2 * LARGE);
	balloon_range(INFLATE, gpa, PARTS - 1, 1);
	balloon_range(INFLATE, gpa + LARGE - PAGE, 1, 1);
	assert_int_equal(g.calls, 0);
	balloon_range(INFLATE, gpa + LARGE, PARTS, 1);
	assert_int_equal(balloon_resident(gpa, 2 * LARGE), PARTS);
}

static void parts_are_forgotten_by_a_reset(void **state)
{
	gpa_t gpa;

	(void)state;
	g.host_page = LARGE;
	balloon_up();
	gpa = balloon_filled(LARGE);
	balloon_range(INFLATE, gpa, PARTS - 1, 1);
	balloon_up();
	balloon_range(INFLATE, gpa + LARGE - PAGE, 1, 1);
	assert_int_equal(g.calls, 0);
	balloon_check_bytes(gpa, LARGE, 0x55);
}

static void parts_outside_ram_are_passed_over(void **state)
{
	const uint32_t pfn[] = {0, UINT32_MAX,
				(DRIVER_RAM + DRIVER_RAM_SIZE) / PAGE};

	(void)state;
	g.host_page = LARGE;
	balloon_up();
	balloon_pages(INFLATE, pfn, 3);
	balloon_pages(DEFLATE, pfn, 3);
	assert_int_equal(g.calls, 0);
	assert_int_equal(balloon_metrics(g.d.dev)->event_fails, 1);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, balloon_begin, balloon_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(inflated_pages_go_back_to_the_host),
		TEST(half_of_ram_goes_back),
		TEST(order_does_not_matter),
		TEST(any_pages_go_back_and_no_others),
		TEST(pages_outside_ram_are_passed_over),
		TEST(pages_of_two_regions_in_a_row),
		TEST(page_of_a_loaded_file_is_zero),
		TEST(request_that_is_no_list_of_pages_is_answered),
		TEST(list_may_be_in_several_buffers),
		TEST(list_that_is_too_long_is_cut),
		TEST(scattered_pages_take_several_turns),
		TEST(answer_comes_after_the_page_is_gone),
		TEST(host_that_takes_nothing_back_changes_nothing),
		TEST(deflating_is_answered),
		TEST(large_host_asks_to_be_told),
		TEST(large_page_goes_back_when_it_is_complete),
		TEST(huge_page_goes_back_when_it_is_complete),
		TEST(large_pages_go_back_together),
		TEST(part_that_left_keeps_the_large_page),
		TEST(driver_that_does_not_tell_gives_whole_pages_only),
		TEST(parts_are_forgotten_by_a_reset),
		TEST(parts_outside_ram_are_passed_over),
	};

	return RUN_TESTS("balloon_pages", tests);
}
