/* SPDX-License-Identifier: Apache-2.0 */
/* Guest RAM from a file, and again into one: snapshot/memory/memory_file.c. */
#include <string.h>
#include <unistd.h>

#include "core/base/util.h"
#include "snapshot/memory/memory_compare.h"
#include "tests/unit/memory_world.h"

/* ------------------------------------------------------------------ loading */

static void assert_same_ram(const struct guest_mem *a,
			    const struct guest_mem *b)
{
	assert_memory_equal(a->region[0].host, b->region[0].host, SIZE_0);
	assert_memory_equal(a->region[1].host, b->region[1].host, SIZE_1);
}

static void what_is_mapped_is_the_file_and_private(void **state)
{
	unsigned before = testing_count_fds();
	struct guest_mem other;
	struct err e;
	AUTO_CLOSE int fd = -1;

	(void)state;
	touch_places(1);
	fd = full(&e);
	assert_int_equal(create_mem(&other), 0);
	assert_ok(memory_file_map(&other, fd, &e), e);
	assert_same_ram(&world.mem, &other);
	memset(ram_of(&other, places[5]), 0xaa, 10);
	assert_file_is_ram(fd, &world.mem);
	guest_mem_destroy(&other);
	assert_int_equal(testing_count_fds(), before + 1);
}

static void what_is_read_is_the_file(void **state)
{
	struct guest_mem other;
	struct err e;
	AUTO_CLOSE int fd = -1;

	(void)state;
	touch_places(1);
	fd = full(&e);
	assert_int_equal(create_mem(&other), 0);
	guest_mem_expect_little(&other, LOW, SIZE_0);
	assert_ok(memory_file_read(&other, fd, &e), e);
	assert_int_equal(resident(other.region[0].host, SIZE_0),
			 5 * PIECE / world.page);
	assert_same_ram(&world.mem, &other);
	guest_mem_destroy(&other);
}

static void a_file_of_another_size_is_refused_with_both(void **state)
{
	struct err e;

	(void)state;
	for (int more = -1; more <= 1; more += 2) {
		AUTO_CLOSE int fd = sparse_file();

		assert_int_equal(ftruncate(fd, SIZE + more), 0);
		assert_err(memory_file_map(&world.mem, fd, &e), e,
			   more < 0 ? "has 8388607 bytes"
				    : "has 8388609 bytes");
		assert_contains(e.text, "RAM 8388608");
		assert_err(memory_file_read(&world.mem, fd, &e), e,
			   "RAM 8388608");
	}
	assert_err(memory_file_map(&world.mem, -1, &e), e, "cannot look at");
}

/* ---------------------------------------------- a snapshot of a restored VM */

/* Fresh RAM over a file of what was in it. */
static int restored(struct err *e)
{
	int fd;

	touch_places(1);
	fd = full(e);
	guest_mem_destroy(&world.mem);
	assert_int_equal(create_mem(&world.mem), 0);
	assert_ok(memory_file_map(&world.mem, fd, e), *e);
	return fd;
}

/* The second generation: most pages were never touched, and are no zeroes. */
static void pages_still_in_the_old_file_are_saved(void **state)
{
	struct err e;
	AUTO_CLOSE int old = restored(&e);
	AUTO_CLOSE int fd = -1;

	(void)state;
	ram(places[0])[5] = 0xaa;
	ram(9 * PIECE)[5] = 0xaa;
	assert_int_equal(guest_mem_discard(&world.mem, ram(places[6]), PIECE),
			 0);
	fd = full(&e);
	assert_file_is_ram(fd, &world.mem);
	assert_int_equal(byte_at(fd, places[0] + 5), 0xaa);
	assert_int_equal(byte_at(fd, places[1]), 2);
	assert_false(is_data(fd, places[6]));
	assert_true(bytes_taken(fd) <= bytes_taken(old) + PIECE);
}

/* Reading a hole of the old file would take a page of the page cache. */
static void holes_of_the_old_file_are_not_read(void **state)
{
	struct err e;
	AUTO_CLOSE int old = restored(&e);
	AUTO_CLOSE int fd = full(&e);

	(void)state;
	assert_true(old >= 0);
	assert_int_equal(resident(ram(20 * PIECE), 20 * PIECE), 0);
	assert_file_is_ram(fd, &world.mem);
}

static bool changed(const uint64_t *bitmap, uint64_t at)
{
	return bitmap[at / world.page / 64] >> at / world.page % 64 & 1;
}

static unsigned count_changed(const uint64_t *bitmap)
{
	unsigned count = 0;

	for (unsigned i = 0; i < WORDS; i++)
		count += (unsigned)__builtin_popcountll(bitmap[i]);
	return count;
}

static void what_changed_since_the_map_is_found(void **state)
{
	uint64_t bitmap[WORDS] = {0};
	struct err e;
	AUTO_CLOSE int old = restored(&e);

	(void)state;
	assert_true(old >= 0);
	/* Reading is no change, also of all pages around it. */
	assert_int_equal(ram(places[1])[0], 2);
	ram(places[2])[9] = 1;
	ram(30 * PIECE)[9] = 1;
	/* Given back: zero now, and the file is not. */
	assert_int_equal(guest_mem_discard(&world.mem, ram(places[3]), PIECE),
			 0);
	assert_ok(memory_file_changed(&world.mem, 0, bitmap, &e), e);
	assert_true(changed(bitmap, places[2]));
	assert_true(changed(bitmap, 30 * PIECE));
	assert_true(changed(bitmap, places[3] + PIECE - world.page));
	assert_false(changed(bitmap, places[1]));
	assert_int_equal(count_changed(bitmap), 2 + PIECE / world.page);
}

static void what_changed_since_creation_is_found(void **state)
{
	uint64_t bitmap[WORDS] = {0};
	struct err e;

	(void)state;
	guest_mem_expect_little(&world.mem, HIGH, SIZE_1);
	ram(SIZE - world.page)[0] = 1;
	ram(SIZE_0)[0] = 1;
	assert_ok(memory_file_changed(&world.mem, 1, bitmap, &e), e);
	assert_int_equal(count_changed(bitmap), 2);
	assert_true(changed(bitmap, 0) && changed(bitmap, SIZE_1 - world.page));
	world.no_pagemap = true;
	assert_err(memory_file_changed(&world.mem, 1, bitmap, &e), e,
		   "cannot tell which pages of guest RAM changed");
}

/* Generation after generation, as diffs over the first. */
static void diffs_without_a_log_add_up(void **state)
{
	struct err e;
	AUTO_CLOSE int base = restored(&e);

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		struct dirty *d = no_dirty();
		AUTO_CLOSE int diff = sparse_file();
		struct memory_save s = save_to(diff);

		ram(places[i])[i] ^= 0x5a;
		memset(ram(places[i + 1]), 0, world.page);
		assert_int_equal(guest_mem_discard(&world.mem,
						   ram(places[i + 2]),
						   world.page),
				 0);
		assert_ok(memory_file_changed(&world.mem, 0, d->low, &e), e);
		assert_ok(memory_file_changed(&world.mem, 1, d->high, &e), e);
		s.dirty = d->region;
		assert_ok(memory_file_save(&s, &e), e);
		assert_true(s.written <= 20 * world.page);
		/* Not the base: it is mapped. */
		AUTO_CLOSE int merged = sparse_file();

		assert_ok(memory_file_copy(base, merged, NULL, &e), e);
		assert_ok(memory_file_merge(merged, diff, &e), e);
		assert_file_is_ram(merged, &world.mem);
	}
}

/* ------------------------------------------------------- without a pagemap */

static void what_differs_from_the_map_is_found(void **state)
{
	struct dirty *d = no_dirty();
	struct err e;
	AUTO_CLOSE int base = restored(&e);

	(void)state;
	world.no_pagemap = true;
	assert_false(memory_file_can_tell_changed());
	assert_int_equal(
		memory_compare(&world.mem, ram(0), SIZE_0 / world.page, d->low),
		0);
	assert_int_equal(count_changed(d->low), 0);
	ram(places[2])[1] ^= 1;
	ram(30 * PIECE)[world.page - 1] = 1; /* was a hole */
	memset(ram(places[1]), 0, world.page);
	/* Written, and as it was. */
	ram(places[4])[0] ^= 1;
	ram(places[4])[0] ^= 1;
	assert_int_equal(
		guest_mem_discard(&world.mem, ram(31 * PIECE), world.page), 0);
	assert_int_equal(
		memory_compare(&world.mem, ram(0), SIZE_0 / world.page, d->low),
		0);
	assert_true(changed(d->low, places[2]) && changed(d->low, places[1]));
	assert_true(changed(d->low, 30 * PIECE) && changed(d->low, 31 * PIECE));
	assert_int_equal(count_changed(d->low), 4);
}

/* The page in which a file ends was zero behind its end. */
static void what_lies_behind_a_files_end_is_compared_with_zero(void **state)
{
	struct dirty *d = no_dirty();
	AUTO_CLOSE int fd = testing_file("file", 4);
	const uint64_t at = 20 * PIECE;
	struct err e;

	(void)state;
	world.mem.keep_files = true;
	assert_ok(guest_mem_load(&world.mem, world.mem.region[0].gpa + at, fd,
				 0, 4, &e),
		  e);
	assert_memory_equal(ram(at), "file", 5);
	assert_int_equal(memory_compare(&world.mem, ram(at), 1, d->low), 0);
	assert_int_equal(count_changed(d->low), 0);
	ram(at)[world.page - 1] = 1;
	assert_int_equal(memory_compare(&world.mem, ram(at), 1, d->low), 0);
	assert_int_equal(count_changed(d->low), 1);
}

static void what_is_not_zero_in_fresh_ram_differs(void **state)
{
	struct dirty *d = no_dirty();

	(void)state;
	ram(SIZE_0 + world.page)[0] = 0;
	ram(SIZE - world.page)[world.page - 1] = 1;
	assert_int_equal(memory_compare(&world.mem, ram(SIZE_0),
					SIZE_1 / world.page, d->high),
			 0);
	assert_int_equal(count_changed(d->high), 1);
	assert_true(changed(d->high, SIZE_1 - world.page));
}

/* What differed once stays in the diffs, or an older one would show through. */
static void diffs_by_comparing_go_over_one_another(void **state)
{
	struct dirty *d = no_dirty();
	uint64_t *const both[] = {d->low, d->high};
	struct err e;
	AUTO_CLOSE int base = restored(&e);
	AUTO_CLOSE int merged = sparse_file();

	(void)state;
	world.no_pagemap = true;
	assert_ok(memory_file_copy(base, merged, NULL, &e), e);
	for (unsigned i = 0; i < 4; i++) {
		AUTO_CLOSE int diff = sparse_file();
		struct memory_save s = save_to(diff);

		/* The second is as it was every other time. */
		ram(places[i])[i] ^= 0x5a;
		ram(places[5])[7] ^= 0x5a;
		s.dirty = d->region;
		s.compare = both;
		assert_ok(memory_file_save(&s, &e), e);
		assert_int_equal(s.written, (i + 2) * world.page);
		assert_ok(memory_file_merge(merged, diff, &e), e);
		assert_file_is_ram(merged, &world.mem);
	}
}

static void a_full_one_finds_them_too(void **state)
{
	struct dirty *d = no_dirty();
	uint64_t *const both[] = {d->low, d->high};
	struct err e;
	AUTO_CLOSE int base = restored(&e);
	AUTO_CLOSE int fd = sparse_file();
	struct memory_save s = save_to(fd);

	(void)state;
	world.no_pagemap = true;
	ram(places[1])[3] ^= 1;
	s.compare = both;
	assert_ok(memory_file_save(&s, &e), e);
	assert_file_is_ram(fd, &world.mem);
	assert_int_equal(count_changed(d->low), 1);
	assert_true(changed(d->low, places[1]));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		with_ram(what_is_mapped_is_the_file_and_private),
		with_ram(what_is_read_is_the_file),
		with_ram(a_file_of_another_size_is_refused_with_both),
		with_ram(pages_still_in_the_old_file_are_saved),
		with_ram(holes_of_the_old_file_are_not_read),
		with_ram(what_changed_since_the_map_is_found),
		with_ram(what_changed_since_creation_is_found),
		with_ram(diffs_without_a_log_add_up),
		with_ram(what_differs_from_the_map_is_found),
		with_ram(what_lies_behind_a_files_end_is_compared_with_zero),
		with_ram(what_is_not_zero_in_fresh_ram_differs),
		with_ram(diffs_by_comparing_go_over_one_another),
		with_ram(a_full_one_finds_them_too),
	};

	return RUN_TESTS("memory_load", tests);
}
