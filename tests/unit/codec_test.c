/* SPDX-License-Identifier: Apache-2.0 */
/* How state is written and read: snapshot/codec.c. */
#include <stdlib.h>
#include <string.h>

#include "snapshot/codec.h"
#include "tests/unit/testing.h"

enum { TAG = SNAP_TAG('t', 'e', 's', 't') };

static struct snap snap;

static int begin(void **state)
{
	(void)state;
	snap_save(&snap, 1);
	return 0;
}

static int end(void **state)
{
	(void)state;
	snap_fini(&snap);
	return 0;
}

/* Fails to load these bytes as @read does, with words that have @part. */
static void refuses(const void *data, size_t len, void (*read)(struct snap *),
		    const char *part)
{
	struct snap s;
	struct err e;

	snap_load(&s, data, len, 1);
	read(&s);
	assert_err(snap_finish(&s, &e), e, part);
	snap_fini(&s);
}

struct thing {
	uint8_t a;
	uint16_t b;
	uint32_t c;
	uint64_t d;
	bool e;
	uint8_t bytes[3];
	char text[8];
};

static void thing_state(struct thing *t, struct snap *s)
{
	snap_begin(s, TAG);
	snap_u8(s, &t->a);
	snap_u16(s, &t->b);
	snap_u32(s, &t->c);
	snap_u64(s, &t->d);
	snap_bool(s, &t->e);
	snap_bytes(s, t->bytes, sizeof(t->bytes));
	snap_string(s, t->text, sizeof(t->text));
	snap_end(s);
}

static const struct thing full = {
	1, 0x0203, 0x04050607, 0x08090a0b0c0d0e0f, true, {16, 17, 18}, "hi"};

static void what_is_saved_is_loaded(void **state)
{
	struct thing t = full, got = {0};
	struct snap s;
	struct err e;
	const void *data;
	size_t len;

	(void)state;
	thing_state(&t, &snap);
	assert_ok(snap_finish(&snap, &e), e);
	data = snap_data(&snap, &len);
	snap_load(&s, data, len, 1);
	thing_state(&got, &s);
	assert_ok(snap_finish(&s, &e), e);
	assert_int_equal(got.a, full.a);
	assert_int_equal(got.b, full.b);
	assert_int_equal(got.c, full.c);
	assert_true(got.d == full.d && got.e);
	assert_memory_equal(got.bytes, full.bytes, sizeof(full.bytes));
	assert_string_equal(got.text, "hi");
}

static void bytes_are_little_endian_after_tag_and_length(void **state)
{
	static const uint8_t expected[] = {
		't', 'e', 's', 't', 25, 0,  0,  0,  1,  3,   2,
		7,   6,   5,   4,   15, 14, 13, 12, 11, 10,  9,
		8,   1,   16,  17,  18, 2,  0,  0,  0,  'h', 'i'};
	struct thing t = full;
	size_t len;

	(void)state;
	thing_state(&t, &snap);
	assert_memory_equal(snap_data(&snap, &len), expected, sizeof(expected));
	assert_int_equal(len, sizeof(expected));
}

static void thing_read(struct snap *s)
{
	struct thing t = {0};

	thing_state(&t, s);
}

static void every_cut_is_refused(void **state)
{
	struct thing t = full;
	const uint8_t *data;
	size_t len;

	(void)state;
	thing_state(&t, &snap);
	data = snap_data(&snap, &len);
	for (size_t cut = 0; cut < len; cut++) {
		/* Of exactly this size, so that a read beyond it is seen. */
		uint8_t *copy = malloc(cut ? cut : 1);

		memcpy(copy, data, cut);
		refuses(copy, cut, thing_read, "snapshot: ");
		free(copy);
	}
}

static void bytes_after_the_end_are_refused(void **state)
{
	struct thing t = full;
	uint8_t more = 0;
	const void *data;
	size_t len;

	(void)state;
	thing_state(&t, &snap);
	snap_u8(&snap, &more);
	data = snap_data(&snap, &len);
	refuses(data, len, thing_read, "after its end");
}

static void failed_load_changes_nothing_more(void **state)
{
	static const uint8_t data[] = {1, 2, 3, 4, 5};
	uint32_t first = 7, second = 8;
	uint8_t third = 9;
	struct snap s;

	(void)state;
	snap_load(&s, data, sizeof(data), 1);
	snap_u32(&s, &first);
	snap_u32(&s, &second);
	snap_u8(&s, &third); /* there is one byte, but it failed before */
	assert_true(snap_failed(&s));
	assert_int_equal(first, 0x04030201);
	assert_int_equal(second, 8);
	assert_int_equal(third, 9);
	snap_fini(&s);
}

static void first_failure_is_the_one_reported(void **state)
{
	struct err e;

	(void)state;
	snap_require(&snap, true, "nothing");
	snap_require(&snap, false, "the first");
	snap_require(&snap, false, "the second");
	assert_err(snap_finish(&snap, &e), e, "snapshot: the first");
}

static void bool_that_is_neither_is_refused(void **state)
{
	static const uint8_t two = 2;
	bool value = true;
	struct snap s;

	(void)state;
	snap_load(&s, &two, 1, 1);
	snap_bool(&s, &value);
	assert_true(snap_failed(&s));
	assert_true(value);
}

static void count_is_bounded(void **state)
{
	static const uint8_t data[] = {4, 0, 0, 0, 5, 0, 0, 0};
	uint32_t count = 0;
	struct snap s;

	(void)state;
	snap_load(&s, data, sizeof(data), 1);
	snap_count(&s, &count, 4);
	assert_int_equal(count, 4);
	snap_count(&s, &count, 4);
	assert_true(snap_failed(&s));
	assert_int_equal(count, 4);
}

static void read_text(struct snap *s)
{
	char text[4] = "";

	snap_string(s, text, sizeof(text));
}

static void text_is_bounded_and_ends(void **state)
{
	static const uint8_t good[] = {3, 0, 0, 0, 'a', 'b', 'c'},
			     longer[] = {4, 0, 0, 0, 'a', 'b', 'c', 'd'},
			     nul[] = {3, 0, 0, 0, 'a', 0, 'c'},
			     cut[] = {3, 0, 0, 0, 'a'};
	char text[4] = "zzz";
	struct snap s;
	struct err e;

	(void)state;
	snap_load(&s, good, sizeof(good), 1);
	snap_string(&s, text, sizeof(text));
	assert_ok(snap_finish(&s, &e), e);
	assert_string_equal(text, "abc");
	refuses(longer, sizeof(longer), read_text, "more of something");
	refuses(nul, sizeof(nul), read_text, "NUL");
	refuses(cut, sizeof(cut), read_text, "cut off");
}

static void read_byte_section(struct snap *s)
{
	uint8_t byte = 0;

	snap_begin(s, TAG);
	snap_u8(s, &byte);
	snap_end(s);
}

static void sections_are_checked(void **state)
{
	static const uint8_t other[] = {'t', 'e', 's', 'T', 1, 0, 0, 0, 9},
			     longer[] = {'t', 'e', 's', 't', 2, 0, 0, 0, 9, 9},
			     shorter[] = {'t', 'e', 's', 't', 0, 0, 0, 0, 9},
			     huge[] = {'t',  'e',  's',  't', 0xff,
				       0xff, 0xff, 0xff, 9};

	(void)state;
	refuses(other, sizeof(other), read_byte_section, "not the expected");
	refuses(longer, sizeof(longer), read_byte_section, "too long");
	refuses(shorter, sizeof(shorter), read_byte_section, "too short");
	refuses(huge, sizeof(huge), read_byte_section, "longer than what");
}

static void read_nested(struct snap *s)
{
	snap_begin(s, TAG);
	read_byte_section(s);
	snap_end(s);
}

static void inner_section_stays_within_the_outer(void **state)
{
	static const uint8_t data[] = {'t', 'e', 's', 't', 8, 0, 0, 0, 't',
				       'e', 's', 't', 1,   0, 0, 0, 9};

	(void)state;
	refuses(data, sizeof(data), read_nested, "longer than what");
}

static void nesting_is_bounded(void **state)
{
	struct err e;

	(void)state;
	for (int i = 0; i <= SNAP_DEPTH_MAX; i++)
		snap_begin(&snap, TAG);
	assert_err(snap_finish(&snap, &e), e, "nest too deep");
}

static void sections_must_match_up(void **state)
{
	struct snap s;
	struct err e;

	(void)state;
	snap_begin(&snap, TAG);
	assert_err(snap_finish(&snap, &e), e, "not ended");
	snap_save(&s, 1);
	snap_end(&s);
	assert_err(snap_finish(&s, &e), e, "did not begin");
	snap_fini(&s);
}

static void large_things_fit(void **state)
{
	static uint8_t block[10000], got[10000];
	struct snap s;
	struct err e;
	const void *data;
	size_t len;

	(void)state;
	for (unsigned i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(i * 7);
	for (int i = 0; i < 5; i++)
		snap_bytes(&snap, block, sizeof(block));
	data = snap_data(&snap, &len);
	assert_int_equal(len, 5 * sizeof(block));
	snap_load(&s, data, len, 3);
	assert_int_equal(snap_version(&s), 3);
	for (int i = 0; i < 5; i++)
		snap_bytes(&s, got, sizeof(got));
	assert_ok(snap_finish(&s, &e), e);
	assert_memory_equal(got, block, sizeof(block));
}

/* A newer version adds sections at the end; nothing else can be there. */
static void sections_of_a_newer_version_are_skipped(void **state)
{
	struct thing in = {.a = 7}, out;
	uint8_t more[3] = {1, 2, 3};
	const uint8_t *data;
	struct snap s;
	struct err e;
	size_t len;

	(void)state;
	thing_state(&in, &snap);
	for (unsigned i = 0; i < 2; i++) {
		snap_begin(&snap, SNAP_TAG('n', 'e', 'w', '0' + i));
		snap_bytes(&snap, more, sizeof(more));
		snap_end(&snap);
	}
	data = snap_data(&snap, &len);
	for (size_t cut = 0; cut <= 2 * 11; cut++) {
		bool ok = cut % 11 == 0;

		snap_load(&s, data, len - cut, SNAPSHOT_VERSION + 1);
		thing_state(&out, &s);
		assert_int_equal(out.a, 7);
		assert_int_equal(snap_finish(&s, &e), ok ? 0 : -1);
	}
	snap_load(&s, data, len, SNAPSHOT_VERSION);
	thing_state(&out, &s);
	assert_err(snap_finish(&s, &e), e, "goes on after its end");
}

static void the_next_tag_is_within_its_section(void **state)
{
	struct thing t = full;
	struct snap s;
	const uint8_t *data;
	size_t len;

	(void)state;
	snap_begin(&snap, SNAP_TAG('o', 'u', 't', 'r'));
	thing_state(&t, &snap);
	snap_end(&snap);
	thing_state(&t, &snap);
	data = snap_data(&snap, &len);
	snap_load(&s, data, len, 1);
	assert_int_equal(snap_next(&s), SNAP_TAG('o', 'u', 't', 'r'));
	snap_begin(&s, snap_next(&s));
	assert_int_equal(snap_next(&s), SNAP_TAG('t', 'e', 's', 't'));
	thing_state(&t, &s);
	assert_int_equal(snap_next(&s), 0);
	snap_end(&s);
	assert_int_equal(snap_next(&s), SNAP_TAG('t', 'e', 's', 't'));
	snap_load(&s, data, 3, 1);
	assert_int_equal(snap_next(&s), 0);
	snap_require(&s, false, "no");
	assert_int_equal(snap_next(&s), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_next_tag_is_within_its_section),
		TEST(what_is_saved_is_loaded),
		TEST(bytes_are_little_endian_after_tag_and_length),
		TEST(every_cut_is_refused),
		TEST(bytes_after_the_end_are_refused),
		TEST(failed_load_changes_nothing_more),
		TEST(first_failure_is_the_one_reported),
		TEST(bool_that_is_neither_is_refused),
		TEST(count_is_bounded),
		TEST(text_is_bounded_and_ends),
		TEST(sections_are_checked),
		TEST(sections_of_a_newer_version_are_skipped),
		TEST(inner_section_stays_within_the_outer),
		TEST(nesting_is_bounded),
		TEST(sections_must_match_up),
		TEST(large_things_fit),
	};

	return RUN_TESTS("codec", tests);
}
