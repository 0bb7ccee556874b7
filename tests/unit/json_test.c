/* SPDX-License-Identifier: Apache-2.0 */
/* JSON into structs, strictly: core/json/json.c. */
#include <stdlib.h>
#include <string.h>

#include "core/base/util.h"
#include "core/json/json.h"
#include "tests/unit/testing.h"

struct target {
	char *text;
	bool flag;
	uint64_t number, small;
	const struct json_t *any;
};

static const struct json_field fields[] = {
	{"text", JSON_KIND_STRING, false, 0, offsetof(struct target, text)},
	{"flag", JSON_KIND_BOOL, false, 0, offsetof(struct target, flag)},
	{"number", JSON_KIND_U64, false, 0, offsetof(struct target, number)},
	{"small", JSON_KIND_U64, false, 10, offsetof(struct target, small)},
	{"any", JSON_KIND_ANY, false, 0, offsetof(struct target, any)},
};

static struct target t;
static struct err e;

static int clear(void **state)
{
	(void)state;
	t = (struct target){0};
	return 0;
}

static int free_text(void **state)
{
	(void)state;
	free(t.text);
	return 0;
}

static int read_as(const struct json_field *f, unsigned count, const char *json)
{
	struct json_t *document = json_parse(json, strlen(json), &e);
	int r = document ? json_read(document, f, count, &t, &e) : -1;

	json_free(document);
	return r;
}

static int read_json(const char *json)
{
	return read_as(fields, ARRAY_SIZE(fields), json);
}

static void every_kind_is_read(void **state)
{
	(void)state;
	assert_ok(read_json("{\"text\":\"a b\",\"flag\":true,\"number\":7,"
			    "\"small\":10,\"any\":[1,2]}"),
		  e);
	assert_string_equal(t.text, "a b");
	assert_true(t.flag);
	assert_int_equal(t.number, 7);
	assert_int_equal(t.small, 10);
	assert_non_null(t.any);
}

static void absent_and_null_leave_members_alone(void **state)
{
	(void)state;
	t.number = 5;
	t.flag = true;
	assert_ok(read_json("{\"number\":null,\"text\":null}"), e);
	assert_int_equal(t.number, 5);
	assert_true(t.flag);
	assert_null(t.text);
}

static void false_overwrites(void **state)
{
	(void)state;
	t.flag = true;
	assert_ok(read_json("{\"flag\":false}"), e);
	assert_false(t.flag);
}

static void string_replaces_the_old_one(void **state)
{
	(void)state;
	assert_ok(read_json("{\"text\":\"one\"}"), e);
	assert_ok(read_json("{\"text\":\"two\"}"), e);
	assert_string_equal(t.text, "two");
}

static void unknown_field_is_refused_with_those_known(void **state)
{
	(void)state;
	assert_err(read_json("{\"txet\":1}"), e,
		   "unknown field `txet`, expected one of `text`, `flag`, "
		   "`number`, `small`, `any` at line 1 column 7");
}

static void long_list_of_known_fields_is_cut(void **state)
{
	static const char name[] = "a_name_that_is_rather_long_for_a_field";
	struct json_field many[64];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct json_field){name, JSON_KIND_U64, false, 0, 0};
	assert_err(read_as(many, ARRAY_SIZE(many), "{\"x\":1}"), e,
		   "unknown field `x`");
	assert_in_range(strlen(e.text), 1000, sizeof(e.text) - 1);
}

static void missing_field_is_named(void **state)
{
	static const struct json_field required[] = {
		{"text", JSON_KIND_STRING, true, 0,
		 offsetof(struct target, text)},
	};

	(void)state;
	assert_err(read_as(required, 1, "{}"), e,
		   "missing field `text` at line 1 column 2");
	assert_err(read_as(required, 1, "{\"text\":null}"), e,
		   "invalid type: null, expected a string at line 1 column 12 "
		   "(field `text`)");
}

static void wrong_kind_is_told_with_both_kinds(void **state)
{
	static const char *const cases[][2] = {
		{"{\"text\":1}", "type: integer `1`, expected a string at "
				 "line 1 column 9 (field `text`)"},
		{"{\"text\":{}}", "type: map, expected a string"},
		{"{\"text\":[]}", "type: sequence, expected a string"},
		{"{\"flag\":1}", "type: integer `1`, expected a boolean"},
		{"{\"flag\":\"true\"}",
		 "type: string \"true\", expected a boolean"},
		{"{\"number\":\"1\"}", "type: string \"1\", expected u64"},
		{"{\"number\":1.0}", "type: floating point, expected u64"},
		{"{\"number\":true}", "type: boolean `true`, expected u64"},
		{"{\"number\":false}", "type: boolean `false`, expected u64"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		assert_err(read_json(cases[i][0]), e, cases[i][1]);
}

/* By serde's count: the bytes of the line up to what was read last. */
static void errors_have_their_place(void **state)
{
	static const char *const cases[][2] = {
		{"{\"x\":1}", "line 1 column 4"},
		{" {\n\"x\" : 1}", "line 2 column 3"},
		{"{\"text\":\"x\",\"x\":1}", "line 1 column 15"},
		{"{\"any\":{\"x\":[{\"x\":1},2]},\"x\":1}", "line 1 column 28"},
		{"{\"any\":[\"a\\\"]}\",null,-1.5e3],\"x\":{}}",
		 "line 1 column 32"},
		{"{\"any\":[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]],\"x\":1}",
		 "`any`"},
		{"{\"any\":[],\n \"flag\"\n:\n 12 }", "line 4 column 3 (f"},
		{"{\"flag\":[1,{\"a\":[]}],\"text\":\"\"}",
		 "line 1 column 20 (f"},
		{"{\"text\":{\"text\":1},\"flag\":true}",
		 "line 1 column 18 (f"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		assert_err(read_json(cases[i][0]), e, cases[i][1]);
}

static void variants_have_their_place(void **state)
{
	static const char *const names[] = {"A", "B"};
	static const char text[] = "{\"B2\":1,\"a\":\"B2\"}";
	struct json_t *document = json_parse(text, sizeof(text) - 1, &e);
	unsigned index;

	(void)state;
	assert_err(json_variant("B2", names, 2, &index, &e), e,
		   "unknown variant `B2`, expected `A` or `B` at line 1 "
		   "column 16");
	json_free(document);
	/* Of no document any more. */
	assert_int_equal(json_variant("B2", names, 2, &index, &e), -1);
	assert_string_equal(e.text,
			    "unknown variant `B2`, expected `A` or `B`");
}

static void number_out_of_range_is_refused(void **state)
{
	(void)state;
	assert_err(read_json("{\"small\":11}"), e,
		   "invalid value: integer `11`, expected u64 at line 1 "
		   "column 11 (field `small` is 0 to 10)");
	assert_err(read_json("{\"small\":-1}"), e,
		   "invalid value: integer `-1`, expected u64");
	assert_err(read_json("{\"number\":-1}"), e,
		   "(field `number` is 0 to 9223372036854775807)");
}

static void largest_number_is_read(void **state)
{
	(void)state;
	assert_ok(read_json("{\"number\":9223372036854775807}"), e);
	assert_true(t.number == INT64_MAX);
}

static void number_of_more_than_63_bits_is_refused(void **state)
{
	(void)state;
	assert_err(read_json("{\"number\":9223372036854775808}"), e,
		   "invalid type: floating point");
}

static void nul_in_a_string_is_refused(void **state)
{
	(void)state;
	assert_int_equal(read_json("{\"text\":\"a\\u0000b\"}"), -1);
	assert_contains(e.text, "u0000");
	assert_null(t.text);
}

static void duplicate_is_refused(void **state)
{
	(void)state;
	assert_err(read_json("{\"number\":1,\"number\":1}"), e, "duplicate");
}

static void no_object_is_refused(void **state)
{
	(void)state;
	assert_err(read_json("[]"), e,
		   "invalid type: sequence, expected an object");
}

static void broken_text_is_told_with_its_place(void **state)
{
	(void)state;
	assert_err(read_json("{\n  \"text\":\n}"), e, "at line 3 column 1");
	assert_err(read_json(""), e, "at line 1 column 0");
	assert_err(read_json("{} x"), e, "end of file expected");
	assert_err(read_json("{\"text\":\"\xff\"}"), e, "at line 1");
}

static void text_ends_where_it_is_said_to_end(void **state)
{
	struct json_t *document = json_parse("{}garbage", 2, &e);

	(void)state;
	assert_non_null(document);
	json_free(document);
}

static void deep_nesting_is_refused(void **state)
{
	enum { DEPTH = 100000 };
	AUTO_FREE char *text = malloc(DEPTH);

	(void)state;
	memset(text, '[', DEPTH);
	assert_null(json_parse(text, DEPTH, &e));
	assert_contains(e.text, "depth");
}

static void arrays_are_counted(void **state)
{
	struct json_t *document = json_parse("[1,[],{}]", 9, &e);

	(void)state;
	assert_int_equal(json_array_len(document), 3);
	assert_int_equal(json_array_len(json_array_at(document, 1)), 0);
	assert_int_equal(json_array_len(json_array_at(document, 2)), -1);
	assert_null(json_array_at(document, 3));
	json_free(document);
}

static void printed_string_is_escaped(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	json_print_string(out, "a\"b\\c\n\x01\xc3\xa4");
	fclose(out);
	assert_string_equal(text, "\"a\\\"b\\\\c\\n\\u0001\xc3\xa4\"");
	free(text);
}

#define READS(test) cmocka_unit_test_setup_teardown(test, clear, free_text)

int main(void)
{
	const struct CMUnitTest tests[] = {
		READS(every_kind_is_read),
		READS(absent_and_null_leave_members_alone),
		READS(false_overwrites),
		READS(string_replaces_the_old_one),
		READS(unknown_field_is_refused_with_those_known),
		READS(long_list_of_known_fields_is_cut),
		READS(missing_field_is_named),
		READS(wrong_kind_is_told_with_both_kinds),
		READS(errors_have_their_place),
		cmocka_unit_test(variants_have_their_place),
		READS(number_out_of_range_is_refused),
		READS(largest_number_is_read),
		READS(number_of_more_than_63_bits_is_refused),
		READS(nul_in_a_string_is_refused),
		READS(duplicate_is_refused),
		READS(no_object_is_refused),
		READS(broken_text_is_told_with_its_place),
		READS(text_ends_where_it_is_said_to_end),
		READS(deep_nesting_is_refused),
		READS(arrays_are_counted),
		READS(printed_string_is_escaped),
	};

	return RUN_TESTS("json", tests);
}
