/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/text.h"

enum { BUF_FIRST = 256 };

/* Make room for @more bytes and a NUL. */
static bool reserve(struct buf *buf, size_t more)
{
	size_t need, capacity = buf->capacity ? buf->capacity : BUF_FIRST;
	char *data;

	if (buf->failed || __builtin_add_overflow(buf->len, more, &need) ||
	    __builtin_add_overflow(need, (size_t)1, &need)) {
		buf->failed = true;
		return false;
	}
	if (need <= buf->capacity)
		return true;
	while (capacity < need &&
	       !__builtin_mul_overflow(capacity, (size_t)2, &capacity))
		;
	data = capacity < need ? NULL : realloc(buf->data, capacity);
	if (!data) {
		buf->failed = true;
		return false;
	}
	buf->data = data;
	buf->capacity = capacity;
	return true;
}

void buf_add(struct buf *buf, const void *data, size_t len)
{
	if (!reserve(buf, len))
		return;
	if (len)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
}

void buf_text(struct buf *buf, const char *text)
{
	buf_add(buf, text, strlen(text));
}

void buf_printf(struct buf *buf, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (n < 0 || !reserve(buf, (size_t)n)) {
		buf->failed = true;
		return;
	}
	va_start(args, format);
	vsnprintf(buf->data + buf->len, (size_t)n + 1, format, args);
	va_end(args);
	buf->len += (size_t)n;
}

void buf_json_string(struct buf *buf, const char *text)
{
	char escape[TEXT_ESCAPE_MAX];
	size_t len;

	buf_add(buf, "\"", 1);
	for (;; text += len) {
		const char *piece = text_json_piece(text, &len, escape);

		if (!len)
			break;
		if (piece)
			buf_add(buf, piece, len);
		else
			buf_text(buf, escape);
	}
	buf_add(buf, "\"", 1);
}

void buf_drop(struct buf *buf, size_t len)
{
	if (len >= buf->len) {
		bool failed = buf->failed;

		buf_free(buf);
		buf->failed = failed;
		return;
	}
	buf->len -= len;
	memmove(buf->data, buf->data + len, buf->len + 1);
}

void buf_free(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){0};
}
