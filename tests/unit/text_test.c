/* SPDX-License-Identifier: Apache-2.0 */
/* What goes to terminals, logs and JSON: core/base/text.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/text.h"
#include "core/base/util.h"
#include "tests/unit/testing.h"

/* NOLINTBEGIN(misc-misleading-bidirectional) */
static const struct {
	const char *text, *printable, *json;
} cases[] = {
	{"plain", "plain", "plain"},
	/* Names people use, up to four bytes a character. */
	{"K\xc3\xa4se \xe2\x82\xac \xf0\x9f\x98\x80",
	 "K\xc3\xa4se \xe2\x82\xac \xf0\x9f\x98\x80",
	 "K\xc3\xa4se \xe2\x82\xac \xf0\x9f\x98\x80"},
	{"\xc2\xa0|\xed\x9f\xbf|\xee\x80\x80|\xf4\x8f\xbf\xbf",
	 "\xc2\xa0|\xed\x9f\xbf|\xee\x80\x80|\xf4\x8f\xbf\xbf",
	 "\xc2\xa0|\xed\x9f\xbf|\xee\x80\x80|\xf4\x8f\xbf\xbf"},
	{"\033[2J\r\n\a", "?[2J???", "\\u001b[2J\\u000d\\n\\u0007"},
	{"q\"\\", "q\"\\", "q\\\"\\\\"},
	{"\x7f", "?", "\\u007f"},
	/* C1 as UTF-8, and as a single byte. */
	{"\xc2\x9b"
	 "2J\xc2\x80\xc2\x9f",
	 "??2J????", "\\u009b2J\\u0080\\u009f"},
	{"\x9b"
	 "2J",
	 "?2J", "\\ufffd2J"},
	/* Reading direction and line separators. */
	{"a\xe2\x80\xae"
	 "b\xe2\x81\xa6\xd8\x9c\xe2\x80\x8f\xe2\x80\xa8",
	 "a???b???"
	 "??"
	 "???"
	 "???",
	 "a\\u202eb\\u2066\\u061c\\u200f\\u2028"},
	{"\xf3\xa0\x81\xa1", "????", "\\ufffd"},
	/* Not UTF-8: cut off, too long for what it is, a surrogate, too large,
	 * a byte that only goes on. */
	{"a\xe2\x82", "a??", "a\\ufffd\\ufffd"},
	{"\xe2\x82z", "??z", "\\ufffd\\ufffdz"},
	{"\xc0\xaf\xc1\xbf", "????", "\\ufffd\\ufffd\\ufffd\\ufffd"},
	{"\xe0\x82\x9b", "???", "\\ufffd\\ufffd\\ufffd"},
	{"\xf0\x80\x82\x9b", "????", "\\ufffd\\ufffd\\ufffd\\ufffd"},
	{"\xed\xa0\x80", "???", "\\ufffd\\ufffd\\ufffd"},
	{"\xf4\x90\x80\x80", "????", "\\ufffd\\ufffd\\ufffd\\ufffd"},
	{"\xff\x80", "??", "\\ufffd\\ufffd"},
	{"", "", ""},
};
/* NOLINTEND(misc-misleading-bidirectional) */

static void what_moves_cursors_is_not_shown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = strlen(cases[i].text);
		/* On the heap, so that a byte too far is found. */
		AUTO_FREE char *text = strdup(cases[i].text);
		AUTO_FREE char *cut = malloc(len + 1);

		text_make_printable(text, len);
		assert_string_equal(text, cases[i].printable);
		memcpy(cut, cases[i].text, len);
		text_make_printable(cut, len);
		assert_memory_equal(cut, cases[i].printable, len);
	}
}

static void json_has_it_escaped(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct buf out = {0};
		char wanted[100];

		snprintf(wanted, sizeof(wanted), "\"%s\"", cases[i].json);
		buf_json_string(&out, cases[i].text);
		assert_string_equal(out.data, wanted);
		buf_free(&out);
	}
}

/* Every byte alone, and what the table leaves of them. */
static void of_single_bytes_ascii_is_printable(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 256; i++) {
		char text[1] = {(char)i};

		text_make_printable(text, 1);
		assert_int_equal(text[0], i >= ' ' && i < 0x7f ? (char)i : '?');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_moves_cursors_is_not_shown),
		cmocka_unit_test(json_has_it_escaped),
		cmocka_unit_test(of_single_bytes_ascii_is_printable),
	};

	return RUN_TESTS("text", tests);
}
