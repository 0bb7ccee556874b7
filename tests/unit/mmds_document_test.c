/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/mmds: the document, and core/json/json_tree.c below it. */
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/util.h"
#include "core/json/json.h"
#include "tests/unit/testing.h"
#include "vmm/config/config.h"
#include "vmm/mmds/mmds.h"

static struct mmds_config config;
static struct mmds m;
static struct err e;

static int begin(void **state)
{
	(void)state;
	mmds_init(&m, &config);
	return 0;
}

static int end(void **state)
{
	(void)state;
	mmds_fini(&m);
	return 0;
}

static int change(int (*how)(struct mmds *m, const struct json_t *json,
			     struct err *e),
		  const char *text)
{
	struct json_t *json = json_parse(text, strlen(text), &e);
	int r;

	assert_non_null(json);
	r = how(&m, json, &e);
	json_free(json);
	return r;
}

static void assert_document(const char *text)
{
	struct buf out = {0};

	mmds_print(&m, &out);
	assert_string_equal(out.data, text);
	buf_free(&out);
}

static void the_document_is_replaced_and_printed(void **state)
{
	(void)state;
	assert_document("{}");
	assert_ok(change(mmds_put, "{\"b\": [1, {\"d\": 2, \"c\": 1}], "
				   "\"a\": \"\\u00e4\"}"),
		  e);
	assert_document("{\"a\":\"ä\",\"b\":[1,{\"c\":1,\"d\":2}]}");
	assert_ok(change(mmds_put, "{}"), e);
	assert_document("{}");
}

static void only_objects_are_taken(void **state)
{
	(void)state;
	assert_err(change(mmds_put, "[]"), e, "is not a JSON object");
	assert_err(change(mmds_patch, "{}"), e,
		   "The MMDS data store is not initialized.");
	assert_ok(change(mmds_put, "{\"a\":1}"), e);
	assert_err(change(mmds_patch, "[]"), e, "is not a JSON object");
	assert_document("{\"a\":1}");
}

/* RFC 7396, appendix A, of those that have objects. */
static void a_patch_is_merged(void **state)
{
	static const char *const cases[][3] = {
		{"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
		{"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
		{"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
		{"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
		{"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
		{"{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{\"b\":3}}",
		 "{\"a\":{\"b\":3,\"c\":2}}"},
		{"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
		{"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}",
		 "{\"a\":{\"b\":\"d\"}}"},
		{"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
		{"{\"e\":null}", "{\"a\":1}", "{\"a\":1,\"e\":null}"},
		{"{\"a\":\"foo\"}", "{\"a\":{\"bb\":{\"ccc\":null}}}",
		 "{\"a\":{\"bb\":{}}}"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_ok(change(mmds_put, cases[i][0]), e);
		assert_ok(change(mmds_patch, cases[i][1]), e);
		assert_document(cases[i][2]);
	}
}

static void a_deep_patch_is_refused_whole(void **state)
{
	char text[1500] = "{\"z\":1,";
	size_t len = strlen(text) - 1;

	(void)state;
	assert_ok(change(mmds_put, "{\"y\":1}"), e);
	text[len++] = ',';
	for (unsigned i = 0; i < 128; i++)
		len += (size_t)sprintf(text + len, "\"a\":{");
	memset(text + len, '}', 129);
	assert_err(change(mmds_patch, text), e, "nested more than 128 deep");
	assert_document("{\"y\":1}");
}

static void the_limit_is_that_of_the_compact_text(void **state)
{
	(void)state;
	m.limit = 16;
	assert_ok(change(mmds_put, "{ \"abcd\" : \"efgh\"  }"), e); /* 15 */
	assert_ok(change(mmds_put, "{\"abcd\":\"efghi\"}"), e);
	assert_int_equal(change(mmds_put, "{\"abcd\":\"efghij\"}"),
			 MMDS_TOO_LARGE);
	assert_string_equal(e.text, "The MMDS patch request doesn't fit.");
	assert_int_equal(change(mmds_patch, "{\"x\":1}"), MMDS_TOO_LARGE);
	assert_document("{\"abcd\":\"efghi\"}");
	assert_ok(change(mmds_patch, "{\"abcd\":null,\"x\":1}"), e);
}

#define MMDS_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MMDS_TEST(the_document_is_replaced_and_printed),
		MMDS_TEST(only_objects_are_taken),
		MMDS_TEST(a_patch_is_merged),
		MMDS_TEST(a_deep_patch_is_refused_whole),
		MMDS_TEST(the_limit_is_that_of_the_compact_text),
	};

	return cmocka_run_group_tests_name("mmds_document", tests, NULL, NULL);
}
