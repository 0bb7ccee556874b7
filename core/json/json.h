/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict parsing of JSON into plain structs: a table lists the allowed fields
 * and where each goes; a field that is not in the table is rejected.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct err;
struct json_t; /* jansson's */

enum json_kind {
	JSON_KIND_STRING,  /* char *, owned by the struct: free() */
	JSON_KIND_BOOL,    /* bool */
	JSON_KIND_U64,     /* uint64_t, at most .max unless that is 0 */
	JSON_KIND_ANY,     /* const struct json_t *, owned by the document */
	JSON_KIND_STRINGS, /* char *, owned: JSON text of an object of strings
			    */
};

struct json_field {
	const char *name;
	enum json_kind kind;
	bool required;
	uint64_t max;
	size_t offset; /* of the member that it fills */
};

/*
 * Parse a document, which the caller passes to json_free(); @text must stay
 * until then, because errors say where in it they are.  Duplicate keys are
 * rejected.
 */
struct json_t *json_parse(const char *text, size_t len, struct err *e);
void json_free(struct json_t *document);

/*
 * Read the @count @fields of @object into the struct @out.  `null` counts as
 * absent; the member of an absent field is not changed.  After a failure, @out
 * keeps what was read before it.
 */
int json_read(const struct json_t *object, const struct json_field *fields,
	      unsigned count, void *out, struct err *e);

/* The same, but a field that is not in the table is logged, and ignored. */
int json_read_known(const struct json_t *object,
		    const struct json_field *fields, unsigned count, void *out,
		    struct err *e);

/* Number of elements, or -1 if @value is not an array; and one element. */
int json_array_len(const struct json_t *value);
const struct json_t *json_array_at(const struct json_t *value, unsigned index);

/* The value of an integer from 0 to INT64_MAX; false if it is not one. */
bool json_u64(const struct json_t *value, uint64_t *out);

/* The value of an integer; false if it is not one. */
bool json_i64(const struct json_t *value, int64_t *out);

/* The value of true or false; false if it is neither. */
bool json_bool(const struct json_t *value, bool *out);

/* Is @value {}? */
bool json_is_empty(const struct json_t *value);

/* Find @text among @count names and store its index; -1 if it is not there. */
int json_variant(const char *text, const char *const *names, unsigned count,
		 unsigned *index, struct err *e);

/* The text of a string; NULL if it is not a string, or contains a NUL. */
const char *json_text(const struct json_t *value);

/* Print @text quoted and escaped. */
void json_print_string(FILE *out, const char *text);

/* The member @name of an object, or NULL. */
const struct json_t *json_member(const struct json_t *object, const char *name);

/* Print @value in ASCII: on one line, or indented. */
void json_print(FILE *out, const struct json_t *value, bool indented);

/*
 * Print one line for each member of @value that is neither an object nor 0,
 * named by its path: "vcpu.exits 7".
 */
void json_print_flat(FILE *out, const struct json_t *value);
