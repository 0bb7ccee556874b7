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
	JSON_KIND_STRING,  /* char *, owned: free() */
	JSON_KIND_BOOL,    /* bool */
	JSON_KIND_U64,     /* uint64_t, at most .max if that is not 0 */
	JSON_KIND_ANY,     /* const struct json_t *, owned by the document */
	JSON_KIND_STRINGS, /* char *, owned: an object of strings, as text */
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

/* The value of a number from 0 to INT64_MAX; false if it is none. */
bool json_u64(const struct json_t *value, uint64_t *out);

/* The value of a number; false if it is none. */
bool json_i64(const struct json_t *value, int64_t *out);

/* The value of true or false; false if it is neither. */
bool json_bool(const struct json_t *value, bool *out);

/* Is it {}? */
bool json_is_empty(const struct json_t *value);

/* Which of @count names @text is. */
int json_variant(const char *text, const char *const *names, unsigned count,
		 unsigned *index, struct err *e);

/* The text of a string, or NULL if it is none. */
const char *json_text(const struct json_t *value);

/* @text quoted and escaped. */
void json_print_string(FILE *out, const char *text);

/* A member of an object, or NULL. */
const struct json_t *json_member(const struct json_t *object, const char *name);

/* @value as ASCII: on one line, or indented. */
void json_print(FILE *out, const struct json_t *value, bool indented);

/*
 * A line for each member of @value that is no object, nor 0, named by where it
 * is: "vcpu.exits 7".
 */
void json_print_flat(FILE *out, const struct json_t *value);
