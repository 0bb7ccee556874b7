/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing text buffer.  When memory runs out, everything added later is
 * dropped and `failed` stays set, so callers check it once, at the end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* {0} is an empty buffer; the owner calls buf_free(). */
struct buf {
	char *data; /* NUL-terminated; NULL until something is added */
	size_t len, capacity;
	bool failed;
};

/* Append bytes, a string, or formatted text. */
void buf_add(struct buf *buf, const void *data, size_t len);
void buf_text(struct buf *buf, const char *text);
void buf_printf(struct buf *buf, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Append @text as a JSON string: quoted and escaped. */
void buf_json_string(struct buf *buf, const char *text);

/* Remove the first @len bytes. */
void buf_drop(struct buf *buf, size_t len);

/* Free the memory; the buffer is empty and usable again. */
void buf_free(struct buf *buf);
