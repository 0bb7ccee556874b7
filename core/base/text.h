/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Untrusted text (from guests, files and clients) on its way to a terminal, a
 * log or JSON.  It should be UTF-8, but may not be.  Characters that move the
 * cursor, forge lines or change the reading direction are not printable:
 *
 *	C0, DEL, C1       U+0000..1F, U+007F..9F
 *	line separators   U+2028, U+2029
 *	direction         U+061C, U+200E..200F, U+202A..202E, U+2066..2069
 *	tags (invisible)  U+E0000..E007F
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Decode the first character of the @len bytes at @text; @len is at least 1.
 * Stores the code point in *c and returns its length in bytes, or 0 if it is
 * not valid UTF-8.
 */
unsigned text_decode(const char *text, size_t len, uint32_t *c);

/* Is code point @c outside the table above? */
bool text_is_printable(uint32_t c);

/*
 * Replace every byte that is not part of a printable character by a question
 * mark.
 */
void text_make_printable(char *text, size_t len);

/*
 * Split @text for a JSON string.  Returns @text if its first *len bytes need
 * no escaping; or NULL if its first *len bytes must be replaced by @escape
 * (U+FFFD if they are not valid UTF-8).  *len is 0 at the end of the text.
 */
enum { TEXT_ESCAPE_MAX = 8 };
const char *text_json_piece(const char *text, size_t *len,
			    char escape[TEXT_ESCAPE_MAX]);
