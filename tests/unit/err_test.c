/* SPDX-License-Identifier: Apache-2.0 */
/* Failures in words: core/base/err.c. */
#include <errno.h>
#include <string.h>

#include "core/base/err.h"
#include "tests/unit/testing.h"

static void set_formats_and_gives_minus_one(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(err_set(&e, "%s %d", "answer", 42), -1);
	assert_string_equal(e.text, "answer 42");
}

static void errno_is_told_in_words(void **state)
{
	struct err e;

	(void)state;
	errno = ENOENT;
	assert_int_equal(err_errno(&e, "open %s", "x"), -1);
	assert_string_equal(e.text, "open x: No such file or directory");
}

static void unknown_errno_is_told_as_such(void **state)
{
	struct err e;

	(void)state;
	errno = 99999;
	err_errno(&e, "x");
	assert_string_equal(e.text, "x: unknown error");
}

static void prefix_goes_in_front(void **state)
{
	struct err e;

	(void)state;
	err_set(&e, "inner");
	assert_int_equal(err_prefix(&e, "outer %d", 1), -1);
	assert_string_equal(e.text, "outer 1: inner");
}

static void text_too_long_is_cut(void **state)
{
	char longer[3000];
	struct err e;

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	err_set(&e, "%s", longer);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	err_prefix(&e, "context");
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	assert_memory_equal(e.text, "context: xxx", 12);
}

static void prefix_too_long_is_cut(void **state)
{
	char longer[3000];
	struct err e;

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	err_set(&e, "inner");
	err_prefix(&e, "%s", longer);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	errno = EIO;
	err_errno(&e, "%s", longer);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_formats_and_gives_minus_one),
		cmocka_unit_test(errno_is_told_in_words),
		cmocka_unit_test(unknown_errno_is_told_as_such),
		cmocka_unit_test(prefix_goes_in_front),
		cmocka_unit_test(text_too_long_is_cut),
		cmocka_unit_test(prefix_too_long_is_cut),
	};

	return RUN_TESTS("err", tests);
}
