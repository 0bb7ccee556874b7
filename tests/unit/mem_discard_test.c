/* SPDX-License-Identifier: Apache-2.0 */
/* Giving guest RAM back to the host: guest_mem_discard() in core/machine/mem.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/machine/mem.h"
#include "tests/unit/testing.h"

#define LOW  ((gpa_t)0x80000000)
#define SIZE MIB(4)

static struct guest_mem mem;
static bool refuse; /* what gives memory back */

int __real_madvise(void *at, size_t len, int advice);
int __wrap_madvise(void *at, size_t len, int advice);

int __wrap_madvise(void *at, size_t len, int advice)
{
	if (!refuse)
		return __real_madvise(at, len, advice);
	errno = ENOMEM;
	return -1;
}

void *__real_mmap64(void *at, size_t len, int prot, int flags, int fd,
		    off_t offset);
void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd,
		    off_t offset);

void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd,
		    off_t offset)
{
	if (!refuse)
		return __real_mmap64(at, len, prot, flags, fd, offset);
	errno = ENOMEM;
	return MAP_FAILED;
}

static int create(void **state)
{
	const struct guest_mem_region region = {.gpa = LOW, .size = SIZE};
	struct err e;

	(void)state;
	refuse = false;
	return guest_mem_create(&mem, &region, 1, &e);
}

static int destroy(void **state)
{
	(void)state;
	guest_mem_destroy(&mem);
	return 0;
}

static uint8_t *pattern(size_t len)
{
	uint8_t *data = malloc(len);

	assert_non_null(data);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + i / 4096 + 1);
	return data;
}

enum { PIECE = 65536 }; /* whole pages on every host */

/* Pages of the host at @p, of @len bytes, that take memory. */
static unsigned resident(void *p, uint64_t len)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	AUTO_FREE unsigned char *vec = malloc(len / page);
	unsigned count = 0;

	assert_int_equal(mincore(p, len, vec), 0);
	for (uint64_t i = 0; i < len / page; i++)
		count += vec[i] & 1;
	return count;
}

static void check_bytes(const uint8_t *p, uint64_t len, uint8_t byte)
{
	for (uint64_t i = 0; i < len; i++)
		assert_int_equal(p[i], byte);
}

static void discarded_ram_costs_nothing_and_is_zero(void **state)
{
	uint8_t *p = guest_mem_at(&mem, LOW, SIZE);

	(void)state;
	guest_mem_expect_little(&mem, LOW, SIZE);
	memset(p, 0x55, SIZE);
	assert_int_equal(guest_mem_discard(&mem, p + PIECE, 3 * PIECE), 0);
	assert_int_equal(resident(p + PIECE, 3 * PIECE), 0);
	check_bytes(p + PIECE, 3 * PIECE, 0);
	check_bytes(p, PIECE, 0x55);
	check_bytes(p + 4 * PIECE, PIECE, 0x55);
}

static void discard_keeps_parts_of_pages(void **state)
{
	uint8_t *p = guest_mem_at(&mem, LOW, SIZE);

	(void)state;
	memset(p, 0x55, 4 * PIECE);
	assert_int_equal(guest_mem_discard(&mem, p + 1, 2 * PIECE - 2), 0);
	assert_int_equal(p[0], 0x55);
	assert_int_equal(p[PIECE], 0);
	assert_int_equal(p[2 * PIECE - 1], 0x55);
	assert_int_equal(guest_mem_discard(&mem, p + 3 * PIECE + 1, 100), 0);
	assert_int_equal(guest_mem_discard(&mem, p + 3 * PIECE, 0), 0);
	check_bytes(p + 3 * PIECE, PIECE, 0x55);
}

/* MADV_DONTNEED alone would bring the file's bytes back. */
static void what_we_use_too_is_not_discarded(void **state)
{
	uint8_t *p = guest_mem_at(&mem, LOW, SIZE);

	(void)state;
	guest_mem_keep(&mem, LOW + PIECE, (uint64_t)2 * PIECE);
	memset(p, 7, 4 * PIECE);
	assert_int_equal(guest_mem_discard(&mem, p, 4 * PIECE), -EPERM);
	assert_int_equal(guest_mem_discard(&mem, p, PIECE + 4096), -EPERM);
	assert_int_equal(guest_mem_discard(&mem, p + 3 * PIECE - 4096, PIECE),
			 -EPERM);
	check_bytes(p, 4 * PIECE, 7);
	assert_int_equal(guest_mem_discard(&mem, p, PIECE), 0);
	assert_int_equal(guest_mem_discard(&mem, p + 3 * PIECE, PIECE), 0);
	assert_int_equal(p[0], 0);
	assert_int_equal(p[PIECE], 7);
	assert_int_equal(p[3 * PIECE], 0);
}

static void discarded_file_does_not_come_back(void **state)
{
	AUTO_FREE uint8_t *data = pattern(4 * PIECE);
	AUTO_CLOSE int fd = testing_file(data, 4 * PIECE);
	uint8_t *p = guest_mem_at(&mem, LOW, SIZE);
	struct err e;

	(void)state;
	assert_ok(guest_mem_load(&mem, LOW, fd, 0, 4 * PIECE, &e), e);
	p[PIECE] = 0xee; /* a copy of the guest's own */
	assert_int_equal(guest_mem_discard(&mem, p + PIECE, 2 * PIECE), 0);
	assert_int_equal(resident(p + PIECE, 2 * PIECE), 0);
	check_bytes(p + PIECE, 2 * PIECE, 0);
	assert_memory_equal(p, data, PIECE);
	assert_memory_equal(p + 3 * PIECE, data + 3 * PIECE, PIECE);
}

static void discard_over_both_ends_of_a_file(void **state)
{
	AUTO_FREE uint8_t *data = pattern(2 * PIECE);
	AUTO_CLOSE int fd = testing_file(data, 2 * PIECE);
	uint8_t *p = guest_mem_at(&mem, LOW, SIZE);
	struct err e;

	(void)state;
	memset(p, 0x55, 6 * PIECE);
	assert_ok(guest_mem_load(&mem, LOW + 2 * PIECE, fd, 0, 2 * PIECE, &e),
		  e);
	assert_int_equal(guest_mem_discard(&mem, p + PIECE, 4 * PIECE), 0);
	assert_int_equal(resident(p + PIECE, 4 * PIECE), 0);
	check_bytes(p + PIECE, 4 * PIECE, 0);
	check_bytes(p, PIECE, 0x55);
	check_bytes(p + 5 * PIECE, PIECE, 0x55);
}

/* Pages of a file that were given back, and some that were not. */
static void file_is_discarded_piece_by_piece(void **state)
{
	AUTO_FREE uint8_t *data = pattern(8 * PIECE);
	AUTO_CLOSE int fd = testing_file(data, 8 * PIECE);
	uint8_t *p = guest_mem_at(&mem, LOW, SIZE);
	struct err e;

	(void)state;
	assert_ok(guest_mem_load(&mem, LOW, fd, 0, 8 * PIECE, &e), e);
	for (unsigned i = 1; i < 8; i += 2)
		assert_int_equal(guest_mem_discard(&mem, p + i * PIECE, PIECE),
				 0);
	assert_memory_equal(p + 2 * PIECE, data + 2 * PIECE, PIECE);
	memset(p + PIECE, 0x55, PIECE);
	assert_int_equal(guest_mem_discard(&mem, p, 8 * PIECE), 0);
	assert_int_equal(resident(p, 8 * PIECE), 0);
	check_bytes(p, 8 * PIECE, 0);
}

static void the_last_of_two_files_counts(void **state)
{
	AUTO_FREE uint8_t *data = pattern(2 * PIECE);
	AUTO_CLOSE int fd = testing_file(data, 2 * PIECE);
	uint8_t *p = guest_mem_at(&mem, LOW, SIZE);
	struct err e;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		assert_ok(guest_mem_load(&mem, LOW, fd, 0, 2 * PIECE, &e), e);
		assert_memory_equal(p, data, 2 * PIECE);
		assert_int_equal(guest_mem_discard(&mem, p, 2 * PIECE), 0);
		check_bytes(p, 2 * PIECE, 0);
	}
}

static void file_within_another_is_discarded_with_it(void **state)
{
	AUTO_FREE uint8_t *data = pattern(4 * PIECE);
	AUTO_CLOSE int fd = testing_file(data, 4 * PIECE);
	uint8_t *p = guest_mem_at(&mem, LOW, SIZE);
	struct err e;

	(void)state;
	assert_ok(guest_mem_load(&mem, LOW, fd, 0, 4 * PIECE, &e), e);
	assert_ok(guest_mem_load(&mem, LOW + PIECE, fd, 0, PIECE, &e), e);
	assert_memory_equal(p + PIECE, data, PIECE);
	assert_int_equal(guest_mem_discard(&mem, p, 4 * PIECE), 0);
	check_bytes(p, 4 * PIECE, 0);
}

/* Then they are read, and never mapped. */
static void files_that_are_too_many_are_discarded_too(void **state)
{
	AUTO_FREE uint8_t *data = pattern(PIECE);
	AUTO_CLOSE int fd = testing_file(data, PIECE);
	uint8_t *p = guest_mem_at(&mem, LOW, SIZE);
	struct err e;

	(void)state;
	for (unsigned i = 0; i < GUEST_MEM_FILES_MAX + 1; i++) {
		assert_ok(
			guest_mem_load(&mem, LOW + i * PIECE, fd, 0, PIECE, &e),
			e);
		assert_memory_equal(p + i * PIECE, data, PIECE);
	}
	assert_int_equal(guest_mem_discard(&mem, p, SIZE), 0);
	check_bytes(p, 8 * PIECE, 0);
}

/* Mappings of this process. */
static unsigned count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned count = 0;
	int c;

	assert_non_null(maps);
	while ((c = getc(maps)) != EOF)
		count += c == '\n';
	fclose(maps);
	return count;
}

/* A guest must not use up what Linux allows a process of them. */
static void holes_in_a_file_are_bounded(void **state)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	const uint64_t len = 20000 * page;
	const struct guest_mem_region r = {.gpa = LOW,
					   .size = align_up(len, MIB(2))};
	AUTO_CLOSE int fd = memfd_create("big", MFD_CLOEXEC);
	unsigned before, refused = 0;
	struct guest_mem m;
	uint8_t *p;
	struct err e;

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	assert_ok(guest_mem_create(&m, &r, 1, &e), e);
	assert_ok(guest_mem_load(&m, LOW, fd, 0, len, &e), e);
	p = guest_mem_at(&m, LOW, len);
	before = count_mappings();
	for (uint64_t at = page; at < len; at += 2 * page)
		refused += guest_mem_discard(&m, p + at, page) != 0;
	assert_in_range(refused, 5000, 7000);
	assert_in_range(count_mappings() - before, 8000, 8500);
	/* Again costs nothing. */
	p[page] = 1;
	assert_int_equal(guest_mem_discard(&m, p + page, page), 0);
	assert_int_equal(p[page], 0);
	/* What joins them is welcome. */
	assert_int_equal(guest_mem_discard(&m, p, len), 0);
	assert_in_range(count_mappings(), 0, before + 2);
	guest_mem_destroy(&m);
}

static bool is_marked(const uint8_t *at)
{
	uint64_t page = (uint64_t)(at - mem.region[0].host) / mem.dirty->page;

	return mem.dirty->bits[0][page / 64] >> page % 64 & 1;
}

/* They became zero, which KVM's dirty log does not show: without the mark a
 * diff would bring their old content back. */
static void discarded_pages_are_marked_as_written(void **state)
{
	AUTO_FREE uint8_t *data = pattern(2 * PIECE);
	AUTO_CLOSE int fd = testing_file(data, 2 * PIECE);
	uint8_t *p = guest_mem_at(&mem, LOW, SIZE);
	struct err e;

	(void)state;
	assert_ok(guest_mem_load(&mem, LOW, fd, 0, 2 * PIECE, &e), e);
	assert_ok(guest_mem_track(&mem, &e), e);
	/* Pages of the file, and others; parts of pages stay as they are. */
	assert_int_equal(guest_mem_discard(&mem, p + PIECE, 2 * PIECE), 0);
	assert_int_equal(guest_mem_discard(&mem, p + 4 * PIECE + 1, 100), 0);
	for (uint64_t at = 0; at < 5 * PIECE; at += mem.dirty->page)
		assert_int_equal(is_marked(p + at),
				 at >= PIECE && at < 3 * PIECE);
}

static void host_that_refuses_to_take_ram_is_told(void **state)
{
	uint8_t *p = guest_mem_at(&mem, LOW, SIZE);

	(void)state;
	*p = 0x55;
	refuse = true;
	assert_int_equal(guest_mem_discard(&mem, p, PIECE), -ENOMEM);
	assert_int_equal(*p, 0x55);
}

static void host_that_refuses_to_replace_a_file_is_told(void **state)
{
	AUTO_FREE uint8_t *data = pattern(PIECE);
	AUTO_CLOSE int fd = testing_file(data, PIECE);
	uint8_t *p = guest_mem_at(&mem, LOW, SIZE);
	struct err e;

	(void)state;
	assert_ok(guest_mem_load(&mem, LOW, fd, 0, PIECE, &e), e);
	refuse = true;
	assert_int_equal(guest_mem_discard(&mem, p, PIECE), -ENOMEM);
	assert_memory_equal(p, data, PIECE);
	refuse = false;
	assert_int_equal(guest_mem_discard(&mem, p, PIECE), 0);
	check_bytes(p, PIECE, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, create, destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(discarded_ram_costs_nothing_and_is_zero),
		TEST(discard_keeps_parts_of_pages),
		TEST(what_we_use_too_is_not_discarded),
		TEST(discarded_file_does_not_come_back),
		TEST(discard_over_both_ends_of_a_file),
		TEST(file_is_discarded_piece_by_piece),
		TEST(the_last_of_two_files_counts),
		TEST(file_within_another_is_discarded_with_it),
		TEST(files_that_are_too_many_are_discarded_too),
		TEST(holes_in_a_file_are_bounded),
		TEST(discarded_pages_are_marked_as_written),
		TEST(host_that_refuses_to_take_ram_is_told),
		TEST(host_that_refuses_to_replace_a_file_is_told),
	};

	return RUN_TESTS("mem_discard", tests);
}
