/* SPDX-License-Identifier: Apache-2.0 */
/* Which caches a guest is told of: arch/aarch64/cache.c, with folders as sysfs
 * has them. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arch/aarch64/internal.h"
#include "core/base/util.h"
#include "tests/unit/testing.h"

static char top[] = "/tmp/cache_test.XXXXXX";
static struct cache caches[CACHES_MAX];

static const char *path_of(unsigned index, const char *name)
{
	static char path[96];

	snprintf(path, sizeof(path), "%s/index%u%s%s", top, index,
		 name ? "/" : "", name ? name : "");
	return path;
}

static void put(unsigned index, const char *name, const char *text)
{
	FILE *file = fopen(path_of(index, name), "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void put_cache(unsigned index, const char *type, const char *level)
{
	assert_int_equal(mkdir(path_of(index, NULL), 0700), 0);
	put(index, "type", type);
	put(index, "level", level);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(top, sizeof(top), "/tmp/cache_test.XXXXXX");
	return mkdtemp(top) ? 0 : -1;
}

static int tear_down(void **state)
{
	static const char *const names[] = {
		"type",           "level",
		"size",           "coherency_line_size",
		"number_of_sets", "shared_cpu_map",
	};

	(void)state;
	for (unsigned i = 0; i < CACHES_MAX + 1; i++) {
		for (unsigned n = 0; n < ARRAY_SIZE(names); n++)
			unlink(path_of(i, names[n]));
		rmdir(path_of(i, NULL));
	}
	return rmdir(top);
}

static void expect(unsigned index, enum cache_type type, unsigned level)
{
	assert_int_equal(caches[index].type, type);
	assert_int_equal(caches[index].level, level);
}

static void caches_have_levels_in_their_order(void **state)
{
	(void)state;
	put_cache(0, "Data\n", "1\n");
	put_cache(1, "Instruction\n", "1\n");
	put_cache(2, "Unified\n", "2\n");
	put_cache(3, "Unified\n", "3\n");
	assert_int_equal(cache_read(top, true, caches), 4);
	expect(0, CACHE_DATA, 1);
	expect(1, CACHE_INSTRUCTION, 1);
	expect(2, CACHE_UNIFIED, 2);
	expect(3, CACHE_UNIFIED, 3);
}

static void a_level_may_be_split_after_one_that_is_not(void **state)
{
	(void)state;
	put_cache(0, "Unified\n", "1\n");
	put_cache(1, "Data\n", "2\n");
	put_cache(2, "Instruction\n", "2\n");
	assert_int_equal(cache_read(top, true, caches), 3);
	expect(0, CACHE_UNIFIED, 1);
	expect(1, CACHE_DATA, 2);
	expect(2, CACHE_INSTRUCTION, 2);
}

/* Somebody's folder has other ones than Linux would list. */
static void levels_are_read_where_the_last_is_another(void **state)
{
	(void)state;
	put_cache(0, "Data\n", "1\n");
	put_cache(1, "Instruction\n", "1\n");
	put_cache(2, "Unified\n", "3\n");
	assert_int_equal(cache_read(top, true, caches), 3);
	expect(1, CACHE_INSTRUCTION, 1);
	expect(2, CACHE_UNIFIED, 3);
}

static void it_ends_at_a_level_that_cannot_be(void **state)
{
	(void)state;
	put_cache(0, "Data\n", "1\n");
	put_cache(1, "Instruction\n", "1\n");
	put_cache(2, "Unified\n", "9\n");
	assert_int_equal(cache_read(top, true, caches), 2);
	put(2, "level", "");
	assert_int_equal(cache_read(top, true, caches), 2);
}

static void sizes_and_sharing_are_read(void **state)
{
	(void)state;
	put_cache(0, "Unified\n", "1\n");
	put(0, "size", "64K\n");
	put(0, "coherency_line_size", "64\n");
	put(0, "number_of_sets", "256\n");
	put(0, "shared_cpu_map", "1,0000000f\n");
	assert_int_equal(cache_read(top, true, caches), 1);
	assert_int_equal(caches[0].size, 65536);
	assert_int_equal(caches[0].line_size, 64);
	assert_int_equal(caches[0].sets, 256);
	assert_int_equal(caches[0].sharing, 5);
}

static void one_cpu_shares_with_none(void **state)
{
	(void)state;
	put_cache(0, "Unified\n", "1\n");
	put(0, "shared_cpu_map", "f\n");
	assert_int_equal(cache_read(top, false, caches), 1);
	assert_int_equal(caches[0].sharing, 1);
}

static void more_than_there_is_room_for_are_left_out(void **state)
{
	char level[4];

	(void)state;
	for (unsigned i = 0; i < CACHES_MAX + 1; i++) {
		snprintf(level, sizeof(level), "%u", i + 1);
		put_cache(i, "Unified\n", level);
	}
	/* Levels end at seven. */
	assert_int_equal(cache_read(top, true, caches), 7);
}

static void without_a_folder_there_are_none(void **state)
{
	(void)state;
	assert_int_equal(cache_read(path_of(0, NULL), true, caches), 0);
	assert_int_equal(cache_read(top, true, caches), 0);
}

#define CACHE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CACHE_TEST(caches_have_levels_in_their_order),
		CACHE_TEST(a_level_may_be_split_after_one_that_is_not),
		CACHE_TEST(levels_are_read_where_the_last_is_another),
		CACHE_TEST(it_ends_at_a_level_that_cannot_be),
		CACHE_TEST(sizes_and_sharing_are_read),
		CACHE_TEST(one_cpu_shares_with_none),
		CACHE_TEST(more_than_there_is_room_for_are_left_out),
		CACHE_TEST(without_a_folder_there_are_none),
	};

	return RUN_TESTS("cache", tests);
}
