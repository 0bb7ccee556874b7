/* SPDX-License-Identifier: Apache-2.0 */
/* Which pages a guest touches, and the file of them: snapshot/working_set.c. */
#include <string.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/io.h"
#include "snapshot/codec.h"
#include "snapshot/state_file.h"
#include "snapshot/working_set.h"
#include "tests/unit/memory_world.h"

enum { AROUND = 65536, BYTES_MAX = 512 };

static const uint8_t my_id[16] = "the snapshot's";

/* ----------------------------------------------------------------- the file */

static struct working_set some(struct working_set_range *range, uint32_t count)
{
	struct working_set w = {
		.memory_size = SIZE,
		.range_count = count,
		.range = range,
	};

	memcpy(w.id, my_id, sizeof(w.id));
	return w;
}

static size_t good(uint8_t *bytes)
{
	struct working_set_range range[] = {
		{1000, 2}, {SIZE / 4096 - 1, 1}, {0, 7}};
	struct working_set w = some(range, ARRAY_SIZE(range));
	AUTO_CLOSE int fd = testing_file("", 0);
	struct err e;

	assert_ok(working_set_save(&w, fd, &e), e);
	return (size_t)io_pread(fd, bytes, BYTES_MAX, 0);
}

static int load(const void *bytes, size_t len, struct working_set *w,
		struct err *e)
{
	AUTO_CLOSE int fd = testing_file(bytes, len);

	return working_set_load(w, testing_file_path(fd), my_id, SIZE, e);
}

static void what_was_saved_is_loaded_in_its_order(void **state)
{
	uint8_t bytes[BYTES_MAX];
	size_t len = good(bytes);
	struct working_set w;
	struct err e;

	(void)state;
	assert_ok(load(bytes, len, &w, &e), e);
	assert_int_equal(w.range_count, 3);
	assert_int_equal(w.range[0].page, 1000);
	assert_int_equal(w.range[0].count, 2);
	assert_int_equal(w.range[1].page, SIZE / 4096 - 1);
	assert_int_equal(w.range[2].count, 7);
	working_set_fini(&w);
}

/* FORMAT.md says where these are. */
static void the_bytes_are_where_they_are_documented(void **state)
{
	static const uint8_t begin[] = {'w', 's', 'e', 't', 52, 0, 0, 0};
	static const uint8_t end[] = {
		0,    0, 128, 0, 0,   0, 0, 0,             /* 8 MiB */
		3,    0, 0,   0, 232, 3, 0, 0, 2, 0, 0, 0, /* 1000, 2 */
		0xff, 7, 0,   0, 1,   0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0,
	};
	uint8_t bytes[BYTES_MAX];
	size_t len = good(bytes);

	(void)state;
	assert_int_equal(len, 24 + 8 + 52 + 4);
	assert_memory_equal(bytes + 24, begin, sizeof(begin));
	assert_memory_equal(bytes + 32, my_id, sizeof(my_id));
	assert_memory_equal(bytes + 48, end, sizeof(end));
}

static void every_flipped_bit_is_refused(void **state)
{
	uint8_t bytes[BYTES_MAX];
	size_t len = good(bytes);
	struct working_set w;
	struct err e;

	(void)state;
	for (size_t bit = 0; bit < len * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(load(bytes, len, &w, &e), -1);
		working_set_fini(&w);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void every_other_length_is_refused(void **state)
{
	uint8_t bytes[BYTES_MAX];
	size_t len = good(bytes);
	struct working_set w;
	struct err e;

	(void)state;
	for (size_t n = 0; n <= len + 1; n++) {
		if (n == len)
			continue;
		assert_int_equal(load(bytes, n, &w, &e), -1);
		working_set_fini(&w);
	}
}

static void another_snapshots_is_refused(void **state)
{
	uint8_t bytes[BYTES_MAX], other[16] = "another one's";
	size_t len = good(bytes);
	AUTO_CLOSE int fd = testing_file(bytes, len);
	const char *path = testing_file_path(fd);
	struct working_set w;
	struct err e;

	(void)state;
	assert_err(working_set_load(&w, path, other, SIZE, &e), e,
		   "of another snapshot");
	working_set_fini(&w);
	assert_err(working_set_load(&w, path, my_id, SIZE + 4096, &e), e,
		   "of another snapshot");
	working_set_fini(&w);
	assert_err(working_set_load(&w, "/dev/null", my_id, SIZE, &e), e,
		   "/dev/null");
	assert_err(working_set_load(&w, "/dev/null/x", my_id, SIZE, &e), e,
		   "/dev/null/x");
}

/* As who has the right checksum but no good intentions writes it. */
static int load_made(uint64_t size, uint32_t count,
		     struct working_set_range *range, uint32_t range_count,
		     struct err *e)
{
	AUTO_CLOSE int fd = testing_file("", 0);
	uint8_t id[16];
	struct working_set w;
	const void *data;
	struct snap s;
	size_t len;
	int r;

	memcpy(id, my_id, sizeof(id));
	snap_save(&s, SNAPSHOT_VERSION);
	snap_begin(&s, SNAP_TAG('w', 's', 'e', 't'));
	snap_bytes(&s, id, sizeof(id));
	snap_u64(&s, &size);
	snap_u32(&s, &count);
	for (uint32_t i = 0; i < range_count; i++) {
		snap_u32(&s, &range[i].page);
		snap_u32(&s, &range[i].count);
	}
	snap_end(&s);
	assert_ok(snap_finish(&s, e), *e);
	data = snap_data(&s, &len);
	assert_ok(state_file_save(fd, data, len, e), *e);
	snap_fini(&s);
	r = working_set_load(&w, testing_file_path(fd), my_id, SIZE, e);
	working_set_fini(&w);
	return r;
}

static void what_asks_for_more_than_there_is_is_refused(void **state)
{
	enum { ALL = SIZE / 4096 };
	static struct {
		uint32_t count, given;
		struct working_set_range range[2];
		const char *why;
	} cases[] = {
		{2, 2, {{0, ALL - 1}, {7, 1}}, NULL},
		{0, 0, {{0, 0}}, NULL},
		{1, 1, {{0, 0}}, "range"},
		{1, 1, {{0, ALL + 1}}, "range"},
		{1, 1, {{ALL, 1}}, "range"},
		{1, 1, {{1, ALL}}, "range"},
		{1, 1, {{UINT32_MAX, 2}}, "range"},
		{1, 1, {{2, UINT32_MAX}}, "range"},
		/* The same again and again: more than all of it in sum. */
		{2, 2, {{0, ALL}, {7, 1}}, "pages"},
		{2, 1, {{0, 1}}, ""},
		{1, 2, {{0, 1}, {1, 1}}, ""},
		{WORKING_SET_RANGES_MAX, 1, {{0, 1}}, ""},
		{WORKING_SET_RANGES_MAX + 1, 1, {{0, 1}}, ""},
		{UINT32_MAX, 1, {{0, 1}}, ""},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = {""};
		int r = load_made(SIZE, cases[i].count, cases[i].range,
				  cases[i].given, &e);

		if (!r != !cases[i].why || (r && !strstr(e.text, cases[i].why)))
			fail_msg("case %u: %d, %s", i, r, e.text);
	}
}

/* ---------------------------------------------------------------- recording */

/* Fresh RAM over a file that is all data. */
static int restored(void)
{
	struct err e;
	int fd;

	for (uint64_t at = 0; at < SIZE; at += PIECE)
		memset(ram(at), 1 + (int)(at / PIECE), PIECE);
	fd = full(&e);
	guest_mem_destroy(&world.mem);
	assert_int_equal(create_mem(&world.mem), 0);
	assert_ok(memory_file_map(&world.mem, fd, &e), e);
	return fd;
}

/* The range that has the page at @offset; -1: none.  Not two. */
static int range_of(const struct working_set *w, uint64_t offset)
{
	uint64_t page = offset / 4096;
	int found = -1;

	for (uint32_t i = 0; i < w->range_count; i++) {
		const struct working_set_range *r = &w->range[i];

		if (page < r->page || page - r->page >= r->count)
			continue;
		assert_int_equal(found, -1);
		found = (int)i;
	}
	return found;
}

static void sample(struct working_set *w)
{
	struct err e;

	assert_ok(working_set_sample(w, &world.mem, &e), e);
}

static void what_is_touched_first_comes_first(void **state)
{
	/* Written to, which copies a page; the last is read. */
	static const uint64_t order[] = {5 << 20, SIZE_0 + AROUND, 1 << 20,
					 SIZE_0 - 4096, 2 << 20};
	AUTO_CLOSE int fd = restored();
	struct working_set w = {.memory_size = SIZE};
	unsigned last = ARRAY_SIZE(order) - 1;

	(void)state;
	sample(&w);
	assert_int_equal(w.range_count, 0);
	for (unsigned i = 0; i <= last; i++) {
		if (i == last)
			assert_true(((volatile uint8_t *)ram(order[i]))[7]);
		else
			ram(order[i])[7] = 7;
		assert_int_equal(range_of(&w, order[i]), -1);
		sample(&w);
		assert_int_equal(range_of(&w, order[i]), i);
	}
	for (unsigned i = 0; i < last; i++) {
		assert_int_equal(w.range[i].page, order[i] / 4096);
		assert_int_equal(w.range[i].count, world.page / 4096);
	}
	assert_int_equal(w.range_count, ARRAY_SIZE(order));
	sample(&w);
	assert_int_equal(w.range_count, ARRAY_SIZE(order));
	working_set_fini(&w);
}

static void neighbours_become_one_range(void **state)
{
	AUTO_CLOSE int fd = restored();
	struct working_set w = {.memory_size = SIZE};

	(void)state;
	memset(ram(1 << 20), 1, AROUND);
	sample(&w);
	memset(ram((1 << 20) + AROUND), 1, AROUND);
	sample(&w);
	assert_int_equal(w.range_count, 1);
	assert_int_equal(w.range[0].page, (1 << 20) / 4096);
	assert_int_equal(w.range[0].count, 2 * AROUND / 4096);
	working_set_fini(&w);
}

/* It is not in the file any more. */
static void what_was_given_back_is_not_needed(void **state)
{
	AUTO_CLOSE int fd = restored();
	struct working_set w = {.memory_size = SIZE};

	(void)state;
	assert_int_equal(guest_mem_discard(&world.mem, ram(1 << 20), PIECE), 0);
	memset(ram(1 << 20), 1, PIECE);
	sample(&w);
	assert_int_equal(w.range_count, 0);
	working_set_fini(&w);
}

static void without_proc_it_is_said(void **state)
{
	AUTO_CLOSE int fd = restored();
	struct working_set w = {.memory_size = SIZE};
	struct err e;

	(void)state;
	world.no_pagemap = true;
	assert_err(working_set_sample(&w, &world.mem, &e), e,
		   "cannot tell which pages of guest RAM are used");
	working_set_fini(&w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		with_ram(what_was_saved_is_loaded_in_its_order),
		with_ram(the_bytes_are_where_they_are_documented),
		with_ram(every_flipped_bit_is_refused),
		with_ram(every_other_length_is_refused),
		with_ram(another_snapshots_is_refused),
		with_ram(what_asks_for_more_than_there_is_is_refused),
		with_ram(what_is_touched_first_comes_first),
		with_ram(neighbours_become_one_range),
		with_ram(what_was_given_back_is_not_needed),
		with_ram(without_proc_it_is_said),
	};

	return RUN_TESTS("working_set", tests);
}
