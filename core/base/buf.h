/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text that is put together in pieces, and grows.  When memory runs out the
 * rest is dropped and `failed` stays set, so that only the end must look.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* {0} is an empty one; buf_free() it. */
struct buf {
	char *data; /* NUL-terminated, or NULL while nothing was added */
	size_t len, capacity;
	bool failed;
};

void buf_add(struct buf *buf, const void *data, size_t len);
void buf_text(struct buf *buf, const char *text);
void buf_printf(struct buf *buf, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* @text as a JSON string: quoted and escaped. */
void buf_json_string(struct buf *buf, const char *text);

/* Forget the first @len bytes. */
void buf_drop(struct buf *buf, size_t len);

/* Empty again; the memory is given back. */
void buf_free(struct buf *buf);
