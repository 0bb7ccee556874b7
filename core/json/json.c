/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json/json.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/text.h"

struct json_t *json_parse(const char *text, size_t len, struct err *e)
{
	json_error_t why;
	json_t *document = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);

	if (!document)
		err_set(e, "%s at line %d column %d", why.text, why.line,
			why.column);
	return document;
}

void json_free(struct json_t *document)
{
	json_decref(document);
}

static const char *kind_name(const json_t *value)
{
	static const char *const names[] = {
		[JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array",
		[JSON_STRING] = "a string",  [JSON_INTEGER] = "a number",
		[JSON_REAL] = "a fraction",  [JSON_TRUE] = "true",
		[JSON_FALSE] = "false",      [JSON_NULL] = "null",
	};

	return names[json_typeof(value)];
}

static int wrong_kind(const struct json_field *f, const json_t *value,
		      const char *expected, struct err *e)
{
	return err_set(e, "field `%s` is %s, expected %s", f->name,
		       kind_name(value), expected);
}

static int read_number(const struct json_field *f, const json_t *value,
		       uint64_t *out, struct err *e)
{
	json_int_t n = json_integer_value(value);

	if (!json_is_integer(value))
		return wrong_kind(f, value, "a whole number", e);
	if (n < 0 || (f->max && (uint64_t)n > f->max))
		return err_set(
			e, "field `%s` is %lld, expected 0 to %llu", f->name,
			(long long)n,
			(unsigned long long)(f->max ? f->max : INT64_MAX));
	*out = (uint64_t)n;
	return 0;
}

static int read_string(const struct json_field *f, const json_t *value,
		       char **out, struct err *e)
{
	const char *text = json_string_value(value);
	char *copy;

	if (!text)
		return wrong_kind(f, value, "a string", e);
	/* C would cut a path or command line short at a NUL. */
	if (strlen(text) != json_string_length(value))
		return err_set(e, "field `%s` contains a NUL character",
			       f->name);
	copy = strdup(text);
	if (!copy)
		return err_errno(e, "field `%s`", f->name);
	free(*out);
	*out = copy;
	return 0;
}

/* Keep an object of strings as JSON text. */
static int read_strings(const struct json_field *f, const json_t *value,
			char **out, struct err *e)
{
	const char *name;
	json_t *member;
	char *text;

	if (!json_is_object(value))
		return wrong_kind(f, value, "an object of strings", e);
	json_object_foreach((json_t *)value, name, member)
	{
		if (!json_is_string(member))
			return err_set(e,
				       "field `%s`: member `%.64s` is %s, "
				       "expected a string",
				       f->name, name, kind_name(member));
	}
	text = json_dumps(value, JSON_COMPACT);
	if (!text)
		return err_set(e, "field `%s`: no memory", f->name);
	free(*out);
	*out = text;
	return 0;
}

static int read_field(const struct json_field *f, const json_t *value,
		      void *out, struct err *e)
{
	void *member = (char *)out + f->offset;

	switch (f->kind) {
	case JSON_KIND_STRING:
		return read_string(f, value, member, e);
	case JSON_KIND_BOOL:
		if (!json_is_boolean(value))
			return wrong_kind(f, value, "true or false", e);
		*(bool *)member = json_is_true(value);
		return 0;
	case JSON_KIND_U64:
		return read_number(f, value, member, e);
	case JSON_KIND_STRINGS:
		return read_strings(f, value, member, e);
	case JSON_KIND_ANY:
		*(const json_t **)member = value;
		return 0;
	}
	return -1;
}

static const struct json_field *find(const struct json_field *fields,
				     unsigned count, const char *name)
{
	for (unsigned i = 0; i < count; i++) {
		if (!strcmp(fields[i].name, name))
			return &fields[i];
	}
	return NULL;
}

static int unknown_field(const struct json_field *fields, unsigned count,
			 const char *name, struct err *e)
{
	char known[320] = "";
	size_t len = 0;

	for (unsigned i = 0; i < count && len < sizeof(known) - 1; i++)
		len += (size_t)snprintf(known + len, sizeof(known) - len,
					"%s`%s`", i ? ", " : "",
					fields[i].name);
	return err_set(e, "unknown field `%.64s`, expected one of %s", name,
		       known);
}

int json_read(const struct json_t *object, const struct json_field *fields,
	      unsigned count, void *out, struct err *e)
{
	const char *name;
	json_t *value;

	if (!json_is_object(object))
		return err_set(e, "expected an object, found %s",
			       kind_name(object));
	/* jansson's iterator lacks the const; it changes nothing. */
	json_object_foreach((json_t *)object, name, value)
	{
		const struct json_field *f = find(fields, count, name);

		if (!f)
			return unknown_field(fields, count, name, e);
		if (!json_is_null(value) && read_field(f, value, out, e))
			return -1;
	}
	for (unsigned i = 0; i < count; i++) {
		value = json_object_get(object, fields[i].name);
		if (fields[i].required && (!value || json_is_null(value)))
			return err_set(e, "missing field `%s`", fields[i].name);
	}
	return 0;
}

int json_array_len(const struct json_t *value)
{
	return json_is_array(value) ? (int)json_array_size(value) : -1;
}

const struct json_t *json_array_at(const struct json_t *value, unsigned index)
{
	return json_array_get(value, index);
}

int json_variant(const char *text, const char *const *names, unsigned count,
		 unsigned *index, struct err *e)
{
	char known[320] = "";
	size_t len = 0;

	for (unsigned i = 0; i < count; i++) {
		if (!strcmp(text, names[i])) {
			*index = i;
			return 0;
		}
		if (len < sizeof(known) - 1)
			len += (size_t)snprintf(known + len,
						sizeof(known) - len, "%s`%s`",
						!i           ? ""
						: count == 2 ? " or "
							     : ", ",
						names[i]);
	}
	return err_set(e, "unknown variant `%.64s`, expected %s%s", text,
		       count > 2 ? "one of " : "", known);
}

const char *json_text(const struct json_t *value)
{
	const char *text = json_string_value(value);

	return text && strlen(text) == json_string_length(value) ? text : NULL;
}

bool json_u64(const struct json_t *value, uint64_t *out)
{
	json_int_t n = json_integer_value(value);

	if (!json_is_integer(value) || n < 0)
		return false;
	*out = (uint64_t)n;
	return true;
}

bool json_i64(const struct json_t *value, int64_t *out)
{
	*out = json_integer_value(value);
	return json_is_integer(value);
}

bool json_bool(const struct json_t *value, bool *out)
{
	*out = json_is_true(value);
	return json_is_boolean(value);
}

bool json_is_empty(const struct json_t *value)
{
	return json_is_object(value) && !json_object_size(value);
}

void json_print_string(FILE *out, const char *text)
{
	char escape[TEXT_ESCAPE_MAX];
	size_t len;

	putc('"', out);
	for (;; text += len) {
		const char *piece = text_json_piece(text, &len, escape);

		if (!len)
			break;
		if (piece)
			fwrite(piece, 1, len, out);
		else
			fputs(escape, out);
	}
	putc('"', out);
}

const struct json_t *json_member(const struct json_t *object, const char *name)
{
	return json_object_get(object, name);
}

void json_print(FILE *out, const struct json_t *value, bool indented)
{
	json_dumpf(value, out,
		   JSON_ENSURE_ASCII | JSON_ENCODE_ANY |
			   (indented ? JSON_INDENT(2) : JSON_COMPACT));
}

/* An object whose members are being printed; nested ones form a stack. */
struct flat_level {
	json_t *object;
	void *at;        /* jansson's iterator */
	size_t name_len; /* of the object's own name */
};

/* Print a member with its full name, unless it is 0. */
static void print_member(FILE *out, char *name, const json_t *value)
{
	if (json_is_integer(value) && !json_integer_value(value))
		return;
	text_make_printable(name, strlen(name));
	fprintf(out, "%-48s ", name);
	json_print(out, value, false);
	putc('\n', out);
}

void json_print_flat(FILE *out, const struct json_t *value)
{
	enum { LEVELS_MAX = 8 };
	struct flat_level levels[LEVELS_MAX] = {
		{(json_t *)value, json_object_iter((json_t *)value), 0}};
	unsigned depth = 1;
	char name[256];

	while (depth > 0) {
		struct flat_level *l = &levels[depth - 1];
		json_t *member = json_object_iter_value(l->at);

		if (!member) {
			depth--;
			continue;
		}
		snprintf(name + l->name_len, sizeof(name) - l->name_len, "%s%s",
			 l->name_len ? "." : "", json_object_iter_key(l->at));
		l->at = json_object_iter_next(l->object, l->at);
		if (json_is_object(member) && depth < LEVELS_MAX)
			levels[depth++] = (struct flat_level){
				member, json_object_iter(member), strlen(name)};
		else
			print_member(out, name, member);
	}
}
