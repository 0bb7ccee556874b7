/* SPDX-License-Identifier: Apache-2.0 */
/* Guest RAM in huge pages, of which the build machine need not have any. */
#include <errno.h>
#include <fcntl.h>
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

static bool host_has_none(void)
{
	AUTO_CLOSE int fd = open("/sys/kernel/mm/transparent_hugepage/enabled",
				 O_RDONLY | O_CLOEXEC);
	char text[32] = "";

	return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 &&
	       strstr(text, "[never]");
}

/* How many files are mapped of @len bytes that a guest boots from. */
static unsigned mapped(uint64_t len, bool share)
{
	const struct guest_mem_region r = {.gpa = LOW, .size = SIZE};
	AUTO_CLOSE int fd = testing_file("kernel", 6);
	struct guest_mem m;
	unsigned files;
	struct err e;

	assert_int_equal(ftruncate(fd, SIZE), 0);
	assert_ok(guest_mem_create_of(&m, &r, 1, GUEST_MEM_TRANSPARENT, false,
				      &e),
		  e);
	m.share_files = share;
	assert_ok(guest_mem_boot(&m, LOW, fd, 0, len, &e), e);
	assert_memory_equal(m.region[0].host, "kernel", 7);
	files = m.file_count;
	guest_mem_destroy(&m);
	return files;
}

static void what_guests_boot_from_is_read_where_ram_may_be_huge(void **state)
{
	(void)state;
	assert_int_equal(mapped(SIZE, false), host_has_none());
	assert_int_equal(mapped(SIZE, true), 1);
	/* A huge page would be cleared for it. */
	assert_int_equal(mapped(SIZE / 2 - 4096, false), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(huge_pages_are_reserved_at_once),
		cmocka_unit_test(huge_pages_of_a_file_are_not_reserved_twice),
		cmocka_unit_test(small_file_is_read_into_huge_pages),
		cmocka_unit_test(huge_page_that_may_not_come_back_is_kept),
		cmocka_unit_test(
			what_guests_boot_from_is_read_where_ram_may_be_huge),
	};

	return RUN_TESTS("mem_huge", tests);
}
