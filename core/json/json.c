/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json/json.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "core/base/err.h"
#include "core/base/text.h"
#include "core/io/log.h"
#include "core/json/json_place.h"

/*
 * The seed of jansson's hash tables.  Left alone it reads /dev/urandom, or, in
 * a jail without that, takes the time and the process's number, which a client
 * can guess: names that all collide would be slow.
 */
static void seed_hashes(void)
{
	static bool done;
	size_t seed;

	if (!done && getrandom(&seed, sizeof(seed), 0) == sizeof(seed))
		json_object_seed(seed | 1); /* 0: jansson makes one */
	done = true;
}

struct json_t *json_parse(const char *text, size_t len, struct err *e)
{
	json_error_t why;
	json_t *document;

	seed_hashes();
	document = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	if (document)
		json_keep_source(document, text, len);
	else
		/* serde would go on with a fraction, which no field takes. */
		err_set(e, "%s%s at line %d column %d",
			json_error_code(&why) == json_error_numeric_overflow
				? "invalid type: floating point, expected u64: "
				: "",
			why.text, why.line, why.column);
	return document;
}

void json_free(struct json_t *document)
{
	json_forget_source(document);
	json_decref(document);
}

/* What serde would call it. */
static void print_kind(const json_t *value, char *out, size_t size)
{
	static const char *const names[] = {
		[JSON_OBJECT] = "map",
		[JSON_ARRAY] = "sequence",
		[JSON_TRUE] = "boolean `true`",
		[JSON_FALSE] = "boolean `false`",
		[JSON_NULL] = "null",
	};

	switch (json_typeof(value)) {
	case JSON_STRING:
		snprintf(out, size, "string \"%.64s\"",
			 json_string_value(value));
		return;
	case JSON_INTEGER:
		snprintf(out, size, "integer `%lld`",
			 (long long)json_integer_value(value));
		return;
	case JSON_REAL:
		/* libc's %g would be 10 KiB of the program. */
		snprintf(out, size, "floating point");
		return;
	default:
		snprintf(out, size, "%s", names[json_typeof(value)]);
	}
}

static const char *number_name(uint64_t max)
{
	return max == UINT8_MAX    ? "u8"
	       : max == UINT16_MAX ? "u16"
	       : max == UINT32_MAX ? "u32"
	       : max == INT32_MAX  ? "usize"
				   : "u64";
}

/* As serde says it, and then which field that is. */
static int wrong_kind(const struct json_field *f, const json_t *object,
		      const json_t *value, struct err *e)
{
	static const char *const expected[] = {
		[JSON_KIND_STRING] = "a string",
		[JSON_KIND_BOOL] = "a boolean",
		[JSON_KIND_ANY] = "a value",
		[JSON_KIND_STRINGS] = "a map",
	};
	bool range = f->kind == JSON_KIND_U64 && json_is_integer(value);
	char kind[96];

	print_kind(value, kind, sizeof(kind));
	err_set(e, "invalid %s: %s, expected %s", range ? "value" : "type",
		kind,
		f->kind == JSON_KIND_U64 ? number_name(f->max)
					 : expected[f->kind]);
	json_add_place(e, JSON_AFTER_VALUE, object, f->name);
	if (!range)
		return err_suffix(e, " (field `%s`)", f->name);
	return err_suffix(e, " (field `%s` is 0 to %llu)", f->name,
			  (unsigned long long)(f->max ? f->max : INT64_MAX));
}

static int read_number(const struct json_field *f, const json_t *object,
		       const json_t *value, uint64_t *out, struct err *e)
{
	json_int_t n = json_integer_value(value);

	if (!json_is_integer(value))
		return wrong_kind(f, object, value, e);
	if (n < 0 || (f->max && (uint64_t)n > f->max))
		return wrong_kind(f, object, value, e);
	*out = (uint64_t)n;
	return 0;
}

static int read_string(const struct json_field *f, const json_t *object,
		       const json_t *value, char **out, struct err *e)
{
	const char *text = json_string_value(value);
	char *copy;

	if (!text)
		return wrong_kind(f, object, value, e);
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
static int read_strings(const struct json_field *f, const json_t *object,
			const json_t *value, char **out, struct err *e)
{
	const char *name;
	json_t *member;
	char *text;

	if (!json_is_object(value))
		return wrong_kind(f, object, value, e);
	json_object_foreach((json_t *)value, name, member)
	{
		if (!json_is_string(member)) {
			wrong_kind(&(struct json_field){.name = name}, value,
				   member, e);
			return err_prefix(e, "field `%s`", f->name);
		}
	}
	text = json_dumps(value, JSON_COMPACT);
	if (!text)
		return err_set(e, "field `%s`: no memory", f->name);
	free(*out);
	*out = text;
	return 0;
}

static int read_field(const struct json_field *f, const json_t *object,
		      const json_t *value, void *out, struct err *e)
{
	void *member = (char *)out + f->offset;

	switch (f->kind) {
	case JSON_KIND_STRING:
		return read_string(f, object, value, member, e);
	case JSON_KIND_BOOL:
		if (!json_is_boolean(value))
			return wrong_kind(f, object, value, e);
		*(bool *)member = json_is_true(value);
		return 0;
	case JSON_KIND_U64:
		return read_number(f, object, value, member, e);
	case JSON_KIND_STRINGS:
		return read_strings(f, object, value, member, e);
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

/* "`a`", "`a` or `b`", "one of `a`, `b`, `c`", as serde lists them. */
static void list_known(const char *const *names, size_t stride, unsigned count,
		       struct err *e)
{
	err_suffix(e, count > 2 ? ", expected one of " : ", expected ");
	for (unsigned i = 0; i < count; i++) {
		err_suffix(e, "%s`%s`",
			   !i           ? ""
			   : count == 2 ? " or "
					: ", ",
			   *names);
		names = (const void *)((const char *)names + stride);
	}
}

static int unknown_field(const json_t *object, const struct json_field *fields,
			 unsigned count, const char *name, struct err *e)
{
	err_set(e, "unknown field `%.64s`", name);
	list_known(&fields->name, sizeof(*fields), count, e);
	return json_add_place(e, JSON_AFTER_KEY, object, name);
}

static int not_an_object(const json_t *value, struct err *e)
{
	char kind[96];

	print_kind(value, kind, sizeof(kind));
	return err_set(e, "invalid type: %s, expected an object", kind);
}

/* @value is NULL, or null. */
static int missing_field(const json_t *object, const struct json_field *f,
			 const json_t *value, struct err *e)
{
	if (value)
		return wrong_kind(f, object, value, e);
	err_set(e, "missing field `%s`", f->name);
	return json_add_place(e, JSON_AFTER_OBJECT, object, NULL);
}

static int read_all(const struct json_t *object,
		    const struct json_field *fields, unsigned count, void *out,
		    bool strict, struct err *e)
{
	const char *name;
	json_t *value;

	if (!json_is_object(object))
		return not_an_object(object, e);
	/* jansson's iterator lacks the const; it changes nothing. */
	json_object_foreach((json_t *)object, name, value)
	{
		const struct json_field *f = find(fields, count, name);

		if (!f) {
			unknown_field(object, fields, count, name, e);
			if (strict)
				return -1;
			log_warn("ignored: %s", e->text);
			continue;
		}
		if (!json_is_null(value) &&
		    read_field(f, object, value, out, e))
			return -1;
	}
	for (unsigned i = 0; i < count; i++) {
		value = json_object_get(object, fields[i].name);
		if (fields[i].required && (!value || json_is_null(value)))
			return missing_field(object, &fields[i], value, e);
	}
	return 0;
}

int json_read(const struct json_t *object, const struct json_field *fields,
	      unsigned count, void *out, struct err *e)
{
	return read_all(object, fields, count, out, true, e);
}

int json_read_known(const struct json_t *object,
		    const struct json_field *fields, unsigned count, void *out,
		    struct err *e)
{
	return read_all(object, fields, count, out, false, e);
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
	for (unsigned i = 0; i < count; i++) {
		if (!strcmp(text, names[i])) {
			*index = i;
			return 0;
		}
	}
	err_set(e, "unknown variant `%.64s`", text);
	list_known(names, sizeof(*names), count, e);
	return json_add_place(e, JSON_AFTER_TEXT, NULL, text);
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
