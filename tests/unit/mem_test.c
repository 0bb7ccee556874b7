/* SPDX-License-Identifier: Apache-2.0 */
/* Guest RAM: which addresses are some, and files in it (core/machine/mem.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/machine/mem.h"
#include "tests/unit/testing.h"

#define LOW    ((gpa_t)0x80000000)
#define HIGH   ((gpa_t)0x8000000000)
#define SIZE   MIB(4)
#define FILE_1 (3 * 65536 + 100)

static struct guest_mem mem;

static int create(void **state)
{
	const struct guest_mem_region regions[] = {
		{.gpa = LOW, .size = SIZE},
		{.gpa = HIGH, .size = MIB(2)},
	};
	struct err e;

	(void)state;
	return guest_mem_create(&mem, regions, 2, &e);
}

static int destroy(void **state)
{
	(void)state;
	guest_mem_destroy(&mem);
	return 0;
}

static void first_and_last_byte_are_ram(void **state)
{
	(void)state;
	assert_ptr_equal(guest_mem_at(&mem, LOW, 1), mem.region[0].host);
	assert_ptr_equal(guest_mem_at(&mem, LOW + SIZE - 1, 1),
			 mem.region[0].host + SIZE - 1);
	assert_ptr_equal(guest_mem_at(&mem, LOW, SIZE), mem.region[0].host);
	assert_ptr_equal(guest_mem_at(&mem, HIGH + MIB(2) - 8, 8),
			 mem.region[1].host + MIB(2) - 8);
}

/* Each page of the range of pages @first to @last, and no other. */
static void check_marks(uint64_t first, uint64_t last)
{
	const uint64_t page = mem.dirty->page;

	guest_mem_written(&mem, mem.region[0].host + (first + 1) * page - 1,
			  (last - first) * page + 1);
	for (uint64_t i = 0; i < SIZE / page; i++)
		assert_int_equal(mem.dirty->bits[0][i / 64] >> i % 64 & 1,
				 first <= i && i <= last);
	for (uint64_t i = 0; i < mem.dirty->words[1]; i++)
		assert_int_equal(mem.dirty->bits[1][i], 0);
}

/* A range may cross words of the bitmap. */
static void what_is_written_is_marked(void **state)
{
	uint64_t pages = SIZE / (uint64_t)sysconf(_SC_PAGESIZE);
	struct err e;

	(void)state;
	for (uint64_t i = 0; i < 49 * 34; i++) {
		uint64_t first = i / 34 * 21, last = first + i % 34 * 31;

		assert_ok(guest_mem_track(&mem, &e), e);
		if (last < pages)
			check_marks(first, last);
		guest_mem_untrack(&mem);
	}
}

static void around_ram_is_none(void **state)
{
	(void)state;
	assert_null(guest_mem_at(&mem, LOW - 1, 1));
	assert_null(guest_mem_at(&mem, LOW + SIZE, 1));
	assert_null(guest_mem_at(&mem, 0, 1));
	assert_null(guest_mem_at(&mem, UINT64_MAX, 1));
	assert_null(guest_mem_at(&mem, HIGH - 1, 1));
}

static void range_over_the_end_is_none(void **state)
{
	(void)state;
	assert_null(guest_mem_at(&mem, LOW, SIZE + 1));
	assert_null(guest_mem_at(&mem, LOW + SIZE - 1, 2));
	assert_null(guest_mem_at(&mem, LOW - 1, 2));
}

static void length_that_wraps_is_none(void **state)
{
	(void)state;
	assert_null(guest_mem_at(&mem, LOW + 8, UINT64_MAX));
	assert_null(guest_mem_at(&mem, LOW + 8, UINT64_MAX - LOW - 7));
	assert_null(guest_mem_at(&mem, LOW + 8, 0 - (LOW + 8)));
}

static void range_over_two_regions_is_none(void **state)
{
	(void)state;
	assert_null(guest_mem_at(&mem, LOW, HIGH - LOW + 8));
}

static void nothing_is_within_ram_only(void **state)
{
	(void)state;
	assert_non_null(guest_mem_at(&mem, LOW + 5, 0));
	assert_null(guest_mem_at(&mem, LOW + SIZE, 0));
}

static void adjacent_regions_are_two(void **state)
{
	const struct guest_mem_region regions[] = {
		{.gpa = LOW, .size = MIB(2)},
		{.gpa = LOW + MIB(2), .size = MIB(2)},
	};
	struct guest_mem two;
	struct err e;

	(void)state;
	assert_ok(guest_mem_create(&two, regions, 2, &e), e);
	assert_non_null(guest_mem_at(&two, LOW + MIB(2), 1));
	assert_null(guest_mem_at(&two, LOW + MIB(2) - 1, 2));
	guest_mem_destroy(&two);
}

static void ram_starts_at_a_huge_page(void **state)
{
	(void)state;
	assert_int_equal((uintptr_t)mem.region[0].host % MIB(2), 0);
	assert_int_equal((uintptr_t)mem.region[1].host % MIB(2), 0);
}

static uint8_t *pattern(size_t len)
{
	uint8_t *data = malloc(len);

	assert_non_null(data);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + i / 4096 + 1);
	return data;
}

/* Of the mapping around @at: its permissions, and whether dumps leave it out.
 */
struct mapping {
	char access[5];
	bool dumped;
};

static struct mapping mapping_at(const void *at)
{
	FILE *maps = fopen("/proc/self/smaps", "r");
	struct mapping m = {.dumped = true};
	bool here = false;
	char line[300];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		char *dash;
		uintptr_t start = strtoul(line, &dash, 16), end;

		if (*dash == '-') {
			end = strtoul(dash + 1, &dash, 16);
			here = start <= (uintptr_t)at && (uintptr_t)at < end;
			if (here)
				memcpy(m.access, dash + 1, 4);
		} else if (here && !strncmp(line, "VmFlags:", 8)) {
			m.dumped = !strstr(line, " dd");
		}
	}
	fclose(maps);
	return m;
}

/* A pointer that runs past an end of RAM hits no neighbour. */
static void around_ram_nothing_can_be_accessed(void **state)
{
	const uint64_t guard = 64 << 10;

	(void)state;
	for (unsigned i = 0; i < mem.region_count; i++) {
		const struct guest_mem_region *r = &mem.region[i];
		const uint8_t *const outside[] = {
			r->host - 1,
			r->host - guard,
			r->host + r->size,
			r->host + r->size + guard - 1,
		};

		for (unsigned k = 0; k < ARRAY_SIZE(outside); k++)
			assert_string_equal(mapping_at(outside[k]).access,
					    "---p");
	}
}

/* They would be as large as the guest, and tell its secrets. */
static void core_dumps_leave_ram_out(void **state)
{
	AUTO_FREE uint8_t *data = pattern(3 * 65536);
	AUTO_CLOSE int fd = testing_file(data, 3 * 65536);
	uint8_t *loaded = guest_mem_at(&mem, LOW + 65536, 3 * 65536);
	struct err e;

	(void)state;
	assert_ok(guest_mem_load(&mem, LOW + 65536, fd, 0, 3 * 65536, &e), e);
	assert_int_equal(guest_mem_discard(&mem, loaded + 65536, 65536), 0);
	assert_false(mapping_at(mem.region[0].host).dumped);
	assert_false(mapping_at(mem.region[1].host).dumped);
	assert_false(mapping_at(loaded).dumped);
	assert_false(mapping_at(loaded + 65536).dumped);
	assert_false(mapping_at(loaded + 2 * 65536).dumped);
	/* The check can fail. */
	assert_true(mapping_at(data).dumped);
}

static void ram_is_zero(void **state)
{
	const uint8_t *p = guest_mem_at(&mem, LOW, SIZE);

	(void)state;
	for (uint64_t i = 0; i < SIZE; i += 512)
		assert_int_equal(p[i], 0);
}

static void ram_that_no_host_has_is_refused(void **state)
{
	const struct guest_mem_region huge = {.gpa = LOW, .size = 1ull << 60};
	struct guest_mem m;
	struct err e;

	(void)state;
	assert_err(guest_mem_create(&m, &huge, 1, &e), e, "cannot reserve");
	guest_mem_destroy(&m);
}

static void destroy_twice_is_fine(void **state)
{
	struct guest_mem m;
	struct err e;
	const struct guest_mem_region r = {.gpa = LOW, .size = MIB(2)};

	(void)state;
	assert_ok(guest_mem_create(&m, &r, 1, &e), e);
	guest_mem_destroy(&m);
	guest_mem_destroy(&m);
	assert_null(guest_mem_at(&m, LOW, 1));
}

/* ------------------------------------------------------------------ loading */

/* Load @len bytes from @offset to @gpa: all there, and nothing around. */
static void check_load(gpa_t gpa, uint64_t offset, uint64_t len)
{
	AUTO_FREE uint8_t *data = pattern(offset + len + 50);
	AUTO_CLOSE int fd = testing_file(data, offset + len + 50);
	const uint8_t *after = guest_mem_at(&mem, gpa + len, 8);
	struct err e;

	assert_ok(guest_mem_load(&mem, gpa, fd, offset, len, &e), e);
	assert_memory_equal(guest_mem_at(&mem, gpa, len), data + offset, len);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(after[i], 0);
}

static void load_of_whole_pages(void **state)
{
	(void)state;
	check_load(LOW, 0, 2 * 65536);
}

static void load_with_a_tail(void **state)
{
	(void)state;
	check_load(LOW + 65536, 0, FILE_1);
}

static void load_of_less_than_a_page(void **state)
{
	(void)state;
	check_load(LOW, 0, 10);
}

static void load_from_an_unaligned_offset(void **state)
{
	(void)state;
	check_load(LOW, 100, FILE_1);
}

static void load_from_an_aligned_offset(void **state)
{
	(void)state;
	check_load(LOW, 65536, FILE_1);
}

static void load_to_an_unaligned_address(void **state)
{
	(void)state;
	check_load(LOW + 12, 0, FILE_1);
}

static void load_of_nothing(void **state)
{
	(void)state;
	check_load(LOW, 0, 0);
}

static void loaded_pages_are_private(void **state)
{
	AUTO_FREE uint8_t *data = pattern(8192);
	AUTO_CLOSE int fd = testing_file(data, 8192);
	uint8_t *host, byte;
	struct err e;

	(void)state;
	assert_ok(guest_mem_load(&mem, LOW, fd, 0, 8192, &e), e);
	host = guest_mem_at(&mem, LOW, 1);
	*host ^= 0xff;
	assert_int_equal(pread(fd, &byte, 1, 0), 1);
	assert_int_equal(byte, data[0]);
}

static void load_of_a_short_file_is_refused(void **state)
{
	AUTO_FREE uint8_t *data = pattern(FILE_1);
	AUTO_CLOSE int fd = testing_file(data, FILE_1);
	struct err e;

	(void)state;
	assert_err(guest_mem_load(&mem, LOW, fd, 0, FILE_1 + 1, &e), e,
		   "became shorter");
}

static void load_of_a_file_short_by_pages_is_refused(void **state)
{
	AUTO_FREE uint8_t *data = pattern(65536);
	AUTO_CLOSE int fd = testing_file(data, 65536);
	struct err e;

	(void)state;
	assert_err(guest_mem_load(&mem, LOW, fd, 0, 3 * 65536, &e), e,
		   "became shorter");
}

static void load_outside_ram_is_refused(void **state)
{
	AUTO_CLOSE int fd = testing_file("x", 1);
	struct err e;

	(void)state;
	assert_err(guest_mem_load(&mem, LOW + SIZE, fd, 0, 1, &e), e,
		   "not within guest RAM");
	assert_err(guest_mem_load(&mem, LOW, fd, 0, UINT64_MAX, &e), e,
		   "not within guest RAM");
}

/* Or the end of a small kernel would cost a huge page of its own. */
static void the_page_in_which_a_file_ends_is_mapped(void **state)
{
	const uint8_t byte = 7;
	int fd = testing_file(&byte, 1);
	uint8_t *p = guest_mem_at(&mem, LOW, 4096);
	struct err e;

	(void)state;
	memset(p, 0xff, 4096);
	assert_ok(guest_mem_load(&mem, LOW, fd, 0, 1, &e), e);
	assert_int_equal(p[0], 7);
	/* What was there before is gone: the page is the file's. */
	assert_int_equal(p[1], 0);
	assert_int_equal(p[4095], 0);
	close(fd);
}

static void load_of_no_file_is_refused(void **state)
{
	struct err e;

	(void)state;
	assert_err(guest_mem_load(&mem, LOW, -1, 0, 65536, &e), e,
		   "cannot read");
	assert_err(guest_mem_load(&mem, LOW, -1, 0, 10, &e), e, "cannot read");
}

static void expect_little_leaves_contents_alone(void **state)
{
	uint8_t *p = guest_mem_at(&mem, LOW, 1);

	(void)state;
	*p = 42;
	guest_mem_expect_little(&mem, LOW, MIB(2));
	guest_mem_expect_little(&mem, 0, MIB(2)); /* no RAM: no matter */
	assert_int_equal(*p, 42);
}

#define WITH_MEM(test) cmocka_unit_test_setup_teardown(test, create, destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_MEM(first_and_last_byte_are_ram),
		WITH_MEM(what_is_written_is_marked),
		WITH_MEM(around_ram_is_none),
		WITH_MEM(range_over_the_end_is_none),
		WITH_MEM(length_that_wraps_is_none),
		WITH_MEM(range_over_two_regions_is_none),
		WITH_MEM(nothing_is_within_ram_only),
		cmocka_unit_test(adjacent_regions_are_two),
		WITH_MEM(ram_starts_at_a_huge_page),
		WITH_MEM(around_ram_nothing_can_be_accessed),
		WITH_MEM(core_dumps_leave_ram_out),
		WITH_MEM(ram_is_zero),
		cmocka_unit_test(ram_that_no_host_has_is_refused),
		cmocka_unit_test(destroy_twice_is_fine),
		WITH_MEM(load_of_whole_pages),
		WITH_MEM(load_with_a_tail),
		WITH_MEM(load_of_less_than_a_page),
		WITH_MEM(load_from_an_unaligned_offset),
		WITH_MEM(load_from_an_aligned_offset),
		WITH_MEM(load_to_an_unaligned_address),
		WITH_MEM(load_of_nothing),
		WITH_MEM(loaded_pages_are_private),
		WITH_MEM(load_of_a_short_file_is_refused),
		WITH_MEM(load_of_a_file_short_by_pages_is_refused),
		WITH_MEM(load_outside_ram_is_refused),
		WITH_MEM(the_page_in_which_a_file_ends_is_mapped),
		WITH_MEM(load_of_no_file_is_refused),
		WITH_MEM(expect_little_leaves_contents_alone),
	};

	return RUN_TESTS("mem", tests);
}
