/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON into plain structs, strictly: tables say which fields there may be and
 * where each goes; whatever a table does not know is refused.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct err;
struct json_t; /* jansson's */

enum json_kind {
	JSON_KIND_STRING, /* char *, owned: free() */
	JSON_KIND_BOOL,   /* bool */
	JSON_KIND_U64,    /* uint64_t, at most .max if that is not 0 */
	JSON_KIND_ANY,    /* const struct json_t *, owned by the document */
};

struct json_field {
	const char *name;
	enum json_kind kind;
	bool required;
	uint64_t max;
	size_t offset; /* of the member it fills */
};

/* A document; json_free() it.  Duplicate keys are refused. */
struct json_t *json_parse(const char *text, size_t len, struct err *e);
void json_free(struct json_t *document);

/*
 * Read @object.  `null` counts as absent; absent fields leave their
 * member alone.  What was read before a failure stays in @out.
 */
int json_read(const struct json_t *object, const struct json_field *fields,
	      unsigned count, void *out, struct err *e);

/* Number of elements, or -1 if it is no array; and one of them. */
int json_array_len(const struct json_t *value);
const struct json_t *json_array_at(const struct json_t *value, unsigned index);

/* @text quoted and escaped. */
void json_print_string(FILE *out, const char *text);
