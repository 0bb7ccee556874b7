/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, as RFC 3629 defines it. */
#include "core/base/text.h"

#include <stdio.h>
#include <string.h>

#include "core/base/util.h"

struct range {
	uint32_t first, last;
};

static bool is_in(const struct range *ranges, unsigned count, uint32_t c)
{
	for (unsigned i = 0; i < count; i++) {
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	}
	return false;
}

/*
 * The length in bytes of a character whose first byte is @byte, 0 if none has
 * that; stores the code point's bits of that byte in *c.
 */
static unsigned begins(unsigned char byte, uint32_t *c)
{
	if (byte < 0x80) {
		*c = byte;
		return 1;
	}
	if (byte >= 0xc2 && byte <= 0xdf) {
		*c = byte & 0x1f;
		return 2;
	}
	if (byte >= 0xe0 && byte <= 0xef) {
		*c = byte & 0x0f;
		return 3;
	}
	if (byte >= 0xf0 && byte <= 0xf4) {
		*c = byte & 0x07;
		return 4;
	}
	return 0;
}

unsigned text_decode(const char *text, size_t len, uint32_t *c)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned size = begins((unsigned char)text[0], c);

	if (size > len)
		return 0;
	for (unsigned i = 1; i < size; i++) {
		unsigned char byte = (unsigned char)text[i];

		if ((byte & 0xc0) != 0x80)
			return 0;
		*c = *c << 6 | (byte & 0x3f);
	}
	/* Reject overlong forms, surrogates, and what exceeds U+10FFFF. */
	if (size && (*c < least[size] || (*c >= 0xd800 && *c <= 0xdfff) ||
		     *c > 0x10ffff))
		return 0;
	return size;
}

bool text_is_printable(uint32_t c)
{
	static const struct range not[] = {
		{0, 0x1f},          {0x7f, 0x9f},     {0x61c, 0x61c},
		{0x200e, 0x200f},   {0x2028, 0x202e}, {0x2066, 0x2069},
		{0xe0000, 0xe007f},
	};

	return !is_in(not, ARRAY_SIZE(not), c);
}

/* Nearly all of what is logged. */
static bool is_plain(char c)
{
	return c >= ' ' && c <= '~';
}

void text_make_printable(char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		uint32_t c;
		unsigned size;

		if (is_plain(text[i])) {
			i++;
			continue;
		}
		size = text_decode(text + i, len - i, &c);
		if (size && text_is_printable(c)) {
			i += size;
			continue;
		}
		memset(text + i, '?', size ? size : 1);
		i += size ? size : 1;
	}
}

/* The escape sequence for @c in a JSON string; @size 0: invalid UTF-8. */
static void json_escape(uint32_t c, unsigned size, char escape[TEXT_ESCAPE_MAX])
{
	if (c == '\n')
		snprintf(escape, TEXT_ESCAPE_MAX, "\\n");
	else if (c == '"' || c == '\\')
		snprintf(escape, TEXT_ESCAPE_MAX, "\\%c", (char)c);
	else if (!size || c > 0xffff)
		snprintf(escape, TEXT_ESCAPE_MAX, "\\ufffd");
	else
		snprintf(escape, TEXT_ESCAPE_MAX, "\\u%04x", (unsigned)c);
}

const char *text_json_piece(const char *text, size_t *len,
			    char escape[TEXT_ESCAPE_MAX])
{
	size_t n = 0;
	unsigned size = 0;
	uint32_t c = 0;

	/* Not strlen(): it would be that of all the rest, for each piece. */
	while (text[n]) {
		size = text_decode(text + n, strnlen(text + n, 4), &c);
		if (!size || !text_is_printable(c) || c == '"' || c == '\\')
			break;
		n += size;
	}
	*len = n;
	if (n || !*text)
		return text;
	*len = size ? size : 1;
	json_escape(c, size, escape);
	return NULL;
}
