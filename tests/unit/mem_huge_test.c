/* SPDX-License-Identifier: Apache-2.0 */
/* Guest RAM in huge pages, of which the build machine need not have any. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/machine/mem.h"
#include "tests/unit/testing.h"

#define LOW  ((gpa_t)0x80000000)
#define SIZE MIB(4)

/* Huge pages of which there are too few are refused when RAM is created, not
 * when a guest touches it. */
static void huge_pages_are_reserved_at_once(void **state)
{
	const struct guest_mem_region r = {.gpa = LOW, .size = 1ull << 46};
	struct guest_mem m;
	struct err e;

	(void)state;
	assert_err(guest_mem_create_of(&m, &r, 1, GUEST_MEM_2M, false, &e), e,
		   "it takes 33554432 of 2 MiB, and this host has ");
	assert_int_equal(m.region_count, 0);
	guest_mem_destroy(&m);
}

/* Of a file that will be mapped, the mapping reserves them. */
static void huge_pages_of_a_file_are_not_reserved_twice(void **state)
{
	const struct guest_mem_region r = {.gpa = LOW, .size = 1ull << 40};
	struct guest_mem m;
	struct err e;

	(void)state;
	assert_ok(guest_mem_create_of(&m, &r, 1, GUEST_MEM_2M, true, &e), e);
	assert_int_equal(guest_mem_page(&m), MIB(2));
	guest_mem_destroy(&m);
}

/* As of a file, whose pages are not huge: mapping it would be wrong. */
static void small_file_is_read_into_huge_pages(void **state)
{
	const struct guest_mem_region r = {.gpa = LOW, .size = SIZE};
	uint8_t data[8192];
	AUTO_CLOSE int fd = -1;
	struct guest_mem m;
	struct err e;

	(void)state;
	memset(data, 0x77, sizeof(data));
	fd = testing_file(data, sizeof(data));
	assert_ok(guest_mem_create_of(&m, &r, 1, GUEST_MEM_2M, true, &e), e);
	assert_ok(guest_mem_load(&m, LOW, fd, 0, sizeof(data), &e), e);
	assert_int_equal(m.file_count, 0);
	assert_memory_equal(guest_mem_at(&m, LOW, sizeof(data)), data,
			    sizeof(data));
	guest_mem_destroy(&m);
}

/* On Linux before 6.9 it might not be there again; nothing changes. */
static void huge_page_that_may_not_come_back_is_kept(void **state)
{
	const struct guest_mem_region r = {.gpa = LOW, .size = SIZE};
	struct guest_mem m;
	struct err e;
	uint8_t *p;

	(void)state;
	assert_ok(guest_mem_create_of(&m, &r, 1, GUEST_MEM_2M, true, &e), e);
	p = guest_mem_at(&m, LOW, SIZE);
	memset(p, 0x55, SIZE);
	m.keeps = false;
	assert_int_equal(guest_mem_discard(&m, p, SIZE), -EOPNOTSUPP);
	assert_int_equal(p[0], 0x55);
	/* Parts of a huge page stay in any case. */
	m.keeps = true;
	assert_int_equal(guest_mem_discard(&m, p + 1, MIB(2)), 0);
	assert_int_equal(p[0] + p[4096] + p[MIB(2)], 3 * 0x55);
	assert_int_equal(guest_mem_discard(&m, p, MIB(2)), 0);
	assert_int_equal(p[0] + p[MIB(2)], 0x55);
	guest_mem_destroy(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(huge_pages_are_reserved_at_once),
		cmocka_unit_test(huge_pages_of_a_file_are_not_reserved_twice),
		cmocka_unit_test(small_file_is_read_into_huge_pages),
		cmocka_unit_test(huge_page_that_may_not_come_back_is_kept),
	};

	return RUN_TESTS("mem_huge", tests);
}
