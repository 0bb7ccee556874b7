/* SPDX-License-Identifier: Apache-2.0 */
/* Command-line options: core/base/options.c. */
#include <stdlib.h>
#include <string.h>

#include "core/base/options.h"
#include "core/base/util.h"
#include "tests/unit/testing.h"

struct seen {
	const char *kernel, *memory;
	unsigned flags;
	bool before, quiet, after;
	struct {
		const char *before, *path, *after;
	} at;
	struct {
		uint64_t before, number, after;
	} numbers;
	char *copied;
};

static struct seen seen;
static struct err e;

static int set_kernel(void *context, const char *value, struct err *err)
{
	(void)err;
	((struct seen *)context)->kernel = value;
	return 0;
}

static int set_memory(void *context, const char *value, struct err *err)
{
	if (!strcmp(value, "bad"))
		return err_set(err, "memory is bad");
	((struct seen *)context)->memory = value;
	return 0;
}

static int set_flag(void *context, const char *value, struct err *err)
{
	(void)err;
	assert_null(value);
	((struct seen *)context)->flags++;
	return 0;
}

static const struct option options[] = {
	{"kernel", "FILE", "the kernel", .set = set_kernel},
	{"memory", "SIZE", "RAM", .set = set_memory},
	{"flag", NULL, "a flag", .set = set_flag},
	{"hidden", "X", NULL, .set = set_kernel},
	{"many", "FILE[,HOW]...", "several", .set = set_kernel},
	{"quiet", NULL, "a member", OPTION_FLAG(struct seen, quiet)},
	{"path", "PATH", "another", OPTION_TEXT(struct seen, at.path)},
	{"copy", "TEXT...", "a copy", OPTION_COPY(struct seen, copied)},
	{"number", "N", "a number", OPTION_NUMBER(struct seen, numbers.number)},
};

static int clear(void **state)
{
	(void)state;
	seen = (struct seen){0};
	return 0;
}

/* Up to four words. */
static int parse(const char *a, const char *b, const char *c, const char *d)
{
	char *argv[] = {(char *)a, (char *)b, (char *)c, (char *)d};
	int argc = 0;

	while (argc < 4 && argv[argc])
		argc++;
	return options_parse(options, ARRAY_SIZE(options), argc, argv, &seen,
			     &e);
}

static void a_number_is_parsed_into_its_member(void **state)
{
	(void)state;
	assert_ok(parse("--number", "18446744073709551615", NULL, NULL), e);
	assert_true(seen.numbers.number == UINT64_MAX);
	assert_true(!seen.numbers.before && !seen.numbers.after);
	assert_err(parse("--number", "18446744073709551616", NULL, NULL), e,
		   "--number: \"18446744073709551616\" is not a number");
	assert_err(parse("--number=5k", NULL, NULL, NULL), e,
		   "--number: \"5k\" is not a number");
	assert_true(seen.numbers.number == UINT64_MAX);
}

/* The words may be gone when the copy is used; an earlier copy is freed. */
static void a_copy_is_the_contexts_own(void **state)
{
	char word[] = "first";

	(void)state;
	assert_ok(parse("--copy", word, NULL, NULL), e);
	word[0] = 'x';
	assert_string_equal(seen.copied, "first");
	assert_ok(parse("--copy", word, "--copy", "second"), e);
	assert_string_equal(seen.copied, "second");
	free(seen.copied);
}

static void value_as_the_next_word(void **state)
{
	(void)state;
	assert_ok(parse("--kernel", "Image", "--memory", "1G"), e);
	assert_string_equal(seen.kernel, "Image");
	assert_string_equal(seen.memory, "1G");
}

/* Rows without a function. */
static void members_are_set_and_no_others(void **state)
{
	(void)state;
	assert_ok(parse("--quiet", "--path", "a=b", NULL), e);
	assert_true(seen.quiet);
	assert_string_equal(seen.at.path, "a=b");
	assert_false(seen.before || seen.after);
	assert_null(seen.at.before);
	assert_null(seen.at.after);
	assert_err(parse("--quiet=yes", NULL, NULL, NULL), e,
		   "--quiet takes no value");
	assert_err(parse("--path", NULL, NULL, NULL), e,
		   "--path needs a value");
}

static void value_after_an_equals_sign(void **state)
{
	(void)state;
	assert_ok(parse("--kernel=a=b", "--memory=", "--flag", NULL), e);
	assert_string_equal(seen.kernel, "a=b");
	assert_string_equal(seen.memory, "");
	assert_int_equal(seen.flags, 1);
}

static void value_may_look_like_an_option(void **state)
{
	(void)state;
	assert_ok(parse("--kernel", "--flag", NULL, NULL), e);
	assert_string_equal(seen.kernel, "--flag");
	assert_int_equal(seen.flags, 0);
}

static void short_names_are_those_that_users_try(void **state)
{
	static const struct option rows[] = {
		{"help", NULL, "", OPTION_FLAG(struct seen, quiet)},
		{"version", NULL, "", OPTION_FLAG(struct seen, before)},
		{"path", "PATH", "", OPTION_TEXT(struct seen, at.path)},
	};
	char *argv[] = {(char *)"--path", (char *)"-h", (char *)"-h",
			(char *)"-V"};

	(void)state;
	assert_ok(options_parse(rows, 3, 4, argv, &seen, &e), e);
	assert_true(seen.quiet && seen.before);
	assert_string_equal(seen.at.path, "-h");
}

static void a_word_that_begins_with_a_dash_is_an_option(void **state)
{
	const char *word[2] = {NULL};
	struct option_words words = {.word = word, .max = 2};
	char *argv[] = {(char *)"-x",     (char *)"folder", (char *)"--path",
			(char *)"-value", (char *)"-",      (char *)"-h"};

	(void)state;
	assert_int_equal(options_take_words(options, ARRAY_SIZE(options), 6,
					    argv, &words, &e),
			 4);
	assert_int_equal(words.count, 2);
	assert_string_equal(word[0], "folder");
	assert_string_equal(word[1], "-");
	assert_string_equal(argv[0], "-x");
	assert_string_equal(argv[2], "-value");
	assert_err(parse("-x", NULL, NULL, NULL), e, "not a valid option");
}

static void nothing_is_fine(void **state)
{
	(void)state;
	assert_ok(parse(NULL, NULL, NULL, NULL), e);
}

static void missing_value_is_refused(void **state)
{
	(void)state;
	assert_err(parse("--flag", "--kernel", NULL, NULL), e,
		   "--kernel needs a value: --kernel FILE");
}

static void value_for_a_flag_is_refused(void **state)
{
	(void)state;
	assert_err(parse("--flag=1", NULL, NULL, NULL), e,
		   "--flag takes no value");
}

static void option_twice_is_refused(void **state)
{
	(void)state;
	assert_err(parse("--flag", "--flag", NULL, NULL), e,
		   "--flag is given twice");
	assert_err(parse("--kernel=a", "--kernel", "b", NULL), e,
		   "--kernel is given twice");
}

static void an_option_with_dots_may_be_given_several_times(void **state)
{
	(void)state;
	assert_ok(parse("--many", "a", "--many", "b"), e);
	assert_string_equal(seen.kernel, "b");
}

static void word_without_dashes_is_refused(void **state)
{
	(void)state;
	assert_err(parse("Image", NULL, NULL, NULL), e,
		   "\"Image\" is not a valid option");
	assert_err(parse("-k", NULL, NULL, NULL), e,
		   "\"-k\" is not a valid option");
	assert_err(parse("", NULL, NULL, NULL), e,
		   "\"\" is not a valid option");
}

static void dashes_alone_are_refused(void **state)
{
	(void)state;
	assert_err(parse("--", NULL, NULL, NULL), e, "unknown option --");
	assert_err(parse("--=x", NULL, NULL, NULL), e, "unknown option --");
}

static void abbreviation_is_refused_with_a_suggestion(void **state)
{
	(void)state;
	assert_err(parse("--mem", "1G", NULL, NULL), e,
		   "unknown option --mem; did you mean --memory?");
	assert_err(parse("--kernle", "x", NULL, NULL), e,
		   "did you mean --kernel?");
	assert_null(seen.memory);
}

static void suggestion_leaves_the_value_aside(void **state)
{
	(void)state;
	assert_err(parse("--mem=512M", NULL, NULL, NULL), e,
		   "unknown option --mem; did you mean --memory?");
}

static void suggestion_is_never_hidden(void **state)
{
	(void)state;
	assert_err(parse("--hiden", NULL, NULL, NULL), e, "--help lists them");
	assert_ok(parse("--hidden", "x", NULL, NULL), e);
}

static void far_name_gets_no_suggestion(void **state)
{
	(void)state;
	assert_err(parse("--completely-different", NULL, NULL, NULL), e,
		   "unknown option --completely-different; --help lists them");
}

static void refusal_of_a_value_is_passed_on(void **state)
{
	(void)state;
	assert_err(parse("--memory", "bad", NULL, NULL), e, "memory is bad");
}

static void sizes_are_read(void **state)
{
	static const struct {
		const char *text;
		unsigned long long mib;
	} cases[] = {
		{"512", 512},      {"512M", 512},   {"512m", 512},
		{"512MB", 512},    {"512MiB", 512}, {"2G", 2048},
		{"2gib", 2048},    {"1T", 1048576}, {"0", 0},
		{"1TiB", 1048576}, {"0001G", 1024},
	};
	unsigned long long mib;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_ok(options_parse_mib(cases[i].text, &mib, &e), e);
		assert_int_equal(mib, cases[i].mib);
	}
}

static void what_is_no_size_is_refused(void **state)
{
	static const char *const cases[] = {
		"",
		"M",
		"-1",
		"+1",
		" 1",
		"1 M",
		"1K",
		"1.5G",
		"0x10",
		"1GG",
		"1M1",
		"99999999999999999999",
		"18446744073709551615",
		"18446744073709551615T",
		"17592186044415T",
	};
	unsigned long long mib;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		assert_err(options_parse_mib(cases[i], &mib, &e), e,
			   "is not a valid size; write 256M or 2G");
}

static void largest_size_does_not_overflow(void **state)
{
	unsigned long long mib;

	(void)state;
	assert_ok(options_parse_mib("1099511627775", &mib, &e), e);
	assert_int_equal(mib, 1099511627775);
	assert_err(options_parse_mib("1099511627776", &mib, &e), e,
		   "not a valid size");
}

static void numbers_are_whole_and_bounded(void **state)
{
	uint64_t n = 7;

	(void)state;
	assert_true(options_parse_number("0", 0, &n));
	assert_int_equal(n, 0);
	assert_true(
		options_parse_number("18446744073709551615", UINT64_MAX, &n));
	assert_true(n == UINT64_MAX);
	assert_false(
		options_parse_number("18446744073709551616", UINT64_MAX, &n));
	assert_false(options_parse_number("256", 255, &n));
	assert_false(options_parse_number("", 255, &n));
	assert_false(options_parse_number("-1", 255, &n));
	assert_false(options_parse_number(" 1", 255, &n));
	assert_false(options_parse_number("1s", 255, &n));
	assert_ok(options_parse_max_jump("2147483647", &n, &e), e);
	assert_int_equal(n, INT32_MAX);
	assert_err(options_parse_max_jump("2147483648", &n, &e), e,
		   "--max-jump-ms 2147483648 is not valid");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_whole_and_bounded),
		cmocka_unit_test_setup(a_number_is_parsed_into_its_member,
				       clear),
		cmocka_unit_test_setup(a_copy_is_the_contexts_own, clear),
		cmocka_unit_test_setup(value_as_the_next_word, clear),
		cmocka_unit_test_setup(members_are_set_and_no_others, clear),
		cmocka_unit_test_setup(value_after_an_equals_sign, clear),
		cmocka_unit_test_setup(value_may_look_like_an_option, clear),
		cmocka_unit_test_setup(short_names_are_those_that_users_try,
				       clear),
		cmocka_unit_test_setup(
			a_word_that_begins_with_a_dash_is_an_option, clear),
		cmocka_unit_test_setup(nothing_is_fine, clear),
		cmocka_unit_test_setup(missing_value_is_refused, clear),
		cmocka_unit_test_setup(value_for_a_flag_is_refused, clear),
		cmocka_unit_test_setup(option_twice_is_refused, clear),
		cmocka_unit_test_setup(
			an_option_with_dots_may_be_given_several_times, clear),
		cmocka_unit_test_setup(word_without_dashes_is_refused, clear),
		cmocka_unit_test_setup(dashes_alone_are_refused, clear),
		cmocka_unit_test_setup(
			abbreviation_is_refused_with_a_suggestion, clear),
		cmocka_unit_test_setup(suggestion_leaves_the_value_aside,
				       clear),
		cmocka_unit_test_setup(suggestion_is_never_hidden, clear),
		cmocka_unit_test_setup(far_name_gets_no_suggestion, clear),
		cmocka_unit_test_setup(refusal_of_a_value_is_passed_on, clear),
		cmocka_unit_test(sizes_are_read),
		cmocka_unit_test(what_is_no_size_is_refused),
		cmocka_unit_test(largest_size_does_not_overflow),
	};

	return RUN_TESTS("options", tests);
}
