/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where in a document's text an error is, in the words and by the count of
 * Rust's serde, which clients of Firecracker match: " at line 1 column 21",
 * the bytes of the line up to the one that was read last.
 *
 * One document is known at a time, the one that was parsed last: like the log,
 * this is state of the process.  Main thread.
 */
#pragma once

#include <stddef.h>

struct err;
struct json_t; /* jansson's */

enum json_spot {
	JSON_AFTER_KEY,   /* the key of a member */
	JSON_AFTER_VALUE, /* its value */
	JSON_AFTER_OBJECT,
	JSON_AFTER_TEXT, /* the first string value that is @key; no @object */
};

/* @text is what @document was parsed from, and stays valid until
 * json_forget_source(). */
void json_keep_source(const struct json_t *document, const char *text,
		      size_t len);
void json_forget_source(const struct json_t *document);

/*
 * Append to @e where that is; nothing if it is not in the document that is
 * known.  Returns -1.
 */
int json_add_place(struct err *e, enum json_spot spot,
		   const struct json_t *object, const char *key);
