/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text from guests, files and clients on its way to a terminal, a log or JSON.
 * It is UTF-8, or should be.  What moves cursors, forges lines or turns the
 * reading direction is not printable:
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
 * The first character of the @len bytes at @text, at least one: how many bytes
 * it has, and in *c what it is.  0 if that is not UTF-8.
 */
unsigned text_decode(const char *text, size_t len, uint32_t *c);

bool text_is_printable(uint32_t c);

/* Put a question mark for each byte that is not part of a printable one. */
void text_make_printable(char *text, size_t len);

/*
 * The next piece of @text, of *len bytes, that can be in a JSON string as it
 * is; or NULL, with @escape for the *len bytes that cannot (U+FFFD for what is
 * not UTF-8).  *len is 0 at the end.
 */
enum { TEXT_ESCAPE_MAX = 8 };
const char *text_json_piece(const char *text, size_t *len,
			    char escape[TEXT_ESCAPE_MAX]);
