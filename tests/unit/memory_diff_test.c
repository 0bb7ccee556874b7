/* SPDX-License-Identifier: Apache-2.0 */
/* What changed in guest RAM: snapshot/memory/memory_file.c, memory_merge.c. */
#include <errno.h>
#include <string.h>

#include "core/base/util.h"
#include "tests/unit/memory_world.h"

/* --------------------------------------------------------------------- diff */

static void a_diff_has_what_changed_also_to_zero(void **state)
{
	struct dirty *d = no_dirty();
	AUTO_CLOSE int fd = sparse_file();
	struct memory_save s = save_to(fd);
	struct err e;

	(void)state;
	touch_places(1);
	memset(ram(places[2]), 0, PIECE);
	set_dirty(d, places[2]);
	set_dirty(d, places[7]);
	s.dirty = d->region;
	assert_ok(memory_file_save(&s, &e), e);
	assert_int_equal(s.written, 2 * world.page);
	for (unsigned i = 0; i < PLACES; i++)
		assert_int_equal(is_data(fd, places[i]), i == 2 || i == 7);
	assert_int_equal(byte_at(fd, places[2]), 0);
	assert_int_equal(byte_at(fd, places[7]), 8);
}

static void a_diff_over_its_base_is_ram(void **state)
{
	struct dirty *d = no_dirty();
	AUTO_CLOSE int diff = sparse_file();
	struct memory_save s = save_to(diff);
	struct err e;
	AUTO_CLOSE int base = -1;

	(void)state;
	touch_places(1);
	base = full(&e);
	memset(ram(places[1]), 0, world.page);
	set_dirty(d, places[1]);
	ram(places[3])[17] ^= 0xff;
	set_dirty(d, places[3]);
	ram(7 * PIECE)[1] = 3; /* was a hole */
	set_dirty(d, 7 * PIECE);
	s.dirty = d->region;
	assert_ok(memory_file_save(&s, &e), e);
	assert_ok(memory_file_merge(base, diff, &e), e);
	assert_file_is_ram(base, &world.mem);
	assert_false(is_data(base, places[1]));
	/* And once more changes nothing. */
	assert_ok(memory_file_merge(base, diff, &e), e);
	assert_file_is_ram(base, &world.mem);
}

/* Blocks of 16 pages: what is next to a dirty page must not become zero. */
static void a_diff_is_right_where_blocks_are_large(void **state)
{
	struct dirty *d = no_dirty();
	AUTO_CLOSE int diff = sparse_file();
	struct memory_save s = save_to(diff);
	struct err e;
	AUTO_CLOSE int base = -1;

	(void)state;
	memset(ram(0), 1, SIZE_0);
	memset(ram(SIZE_0), 2, SIZE_1);
	base = full(&e);
	world.block = 16 * world.page;
	for (unsigned i = 0; i < PLACES; i++) {
		ram(places[i])[3 * world.page] = 7;
		set_dirty(d, places[i] + 3 * world.page);
	}
	s.dirty = d->region;
	assert_ok(memory_file_save(&s, &e), e);
	assert_int_equal(s.written, PLACES * world.block);
	assert_ok(memory_file_merge(base, diff, &e), e);
	assert_file_is_ram(base, &world.mem);
}

/* Or the merge would keep what the base had there. */
static void a_diff_is_refused_where_zeroes_become_holes(void **state)
{
	struct dirty *d = no_dirty();
	AUTO_CLOSE int fd = sparse_file();
	struct memory_save s = save_to(fd);
	struct err e;

	(void)state;
	set_dirty(d, places[3]);
	s.dirty = d->region;
	world.eats_at = (int64_t)places[3];
	assert_err(memory_file_save(&s, &e), e, "makes holes of zeroes");
	set_dirty(d, places[3] + world.page);
	assert_err(memory_file_save(&s, &e), e, "makes holes of zeroes");
}

static void a_diff_can_go_onto_a_copy_of_its_base(void **state)
{
	struct dirty *d = no_dirty();
	AUTO_CLOSE int copy = sparse_file();
	struct memory_save s = save_to(copy);
	struct err e;
	AUTO_CLOSE int base = -1;

	(void)state;
	touch_places(1);
	base = full(&e);
	assert_ok(memory_file_copy(base, copy, NULL, &e), e);
	assert_int_equal(bytes_taken(copy), bytes_taken(base));
	assert_file_is_ram(copy, &world.mem);
	ram(places[4])[0] ^= 0xff;
	memset(ram(places[5]), 0, world.page);
	set_dirty(d, places[4]);
	set_dirty(d, places[5]);
	s.dirty = d->region;
	s.onto_base = true;
	assert_ok(memory_file_save(&s, &e), e);
	assert_int_equal(s.written, world.page);
	assert_file_is_ram(copy, &world.mem);
	assert_false(is_data(copy, places[5]));
}

/* A page that is a hole in the new one may be data in the old one. */
static void all_of_ram_replaces_what_was_there(void **state)
{
	struct err e;
	AUTO_CLOSE int fd = -1;

	(void)state;
	touch_places(1);
	fd = full(&e);
	for (unsigned onto_base = 0; onto_base < 2; onto_base++) {
		struct memory_save s = save_to(fd);

		memset(ram(places[1 + onto_base]), 0, PIECE);
		s.onto_base = onto_base;
		assert_ok(memory_file_save(&s, &e), e);
		assert_file_is_ram(fd, &world.mem);
	}
}

static void a_copy_shares_blocks_where_it_can(void **state)
{
	AUTO_CLOSE int from = testing_file("12345", 5);
	AUTO_CLOSE int to = sparse_file();
	struct err e;

	(void)state;
	world.can_clone = true;
	assert_ok(memory_file_copy(from, to, NULL, &e), e);
	assert_int_equal(world.cloned_from, from);
	assert_int_equal(bytes_taken(to), 0);
}

static void what_does_not_fit_is_not_merged(void **state)
{
	AUTO_CLOSE int base = testing_file("12345", 5);
	AUTO_CLOSE int diff = testing_file("123", 3);
	struct err e;

	(void)state;
	assert_err(memory_file_merge(base, diff, &e), e,
		   "the base has 5 bytes, and the diff 3");
	assert_err(memory_file_merge(base, base, &e), e, "the same file");
	assert_err(memory_file_merge(base, -1, &e), e, "cannot look at");
	assert_int_equal(byte_at(base, 0), '1');
}

static void a_merge_that_fails_says_why(void **state)
{
	struct err e;
	AUTO_CLOSE int base = -1, diff = -1;

	(void)state;
	base = full(&e);
	touch_places(1);
	diff = full(&e);
	world.fails_at = MEMORY_FILE_CHUNK;
	world.fails_with = ENOSPC;
	assert_err(memory_file_merge(base, diff, &e), e,
		   "cannot write it: No space left");
	/* Again, when there is room. */
	world.fails_at = -1;
	assert_ok(memory_file_merge(base, diff, &e), e);
	assert_file_is_ram(base, &world.mem);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		with_ram(a_diff_has_what_changed_also_to_zero),
		with_ram(a_diff_over_its_base_is_ram),
		with_ram(a_diff_is_right_where_blocks_are_large),
		with_ram(a_diff_is_refused_where_zeroes_become_holes),
		with_ram(a_diff_can_go_onto_a_copy_of_its_base),
		with_ram(all_of_ram_replaces_what_was_there),
		with_ram(a_copy_shares_blocks_where_it_can),
		with_ram(what_does_not_fit_is_not_merged),
		with_ram(a_merge_that_fails_says_why),
	};

	return RUN_TESTS("memory_diff", tests);
}
