/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/schema.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "snapshot/codec.h"
#include "snapshot/schema_table.h"
#include "snapshot/state_file.h"

struct walk {
	struct snap s;
	const struct schema_arch *arch;
	FILE *out;
	bool json, first;         /* first: no comma before the next item */
	unsigned depth;           /* indentation of text */
	uint32_t last, id, count; /* last field of any integer type, 4i, 4n */
};

/* ----------------------------------------------------------------- printing */

/* The name of the next item; elements of an array have an index, too. */
struct label {
	const char *name;
	int index; /* -1: none */
	int len;   /* of the name */
};

static struct label named(const char *name)
{
	return (struct label){name, -1, (int)strlen(name)};
}

static void begin_item(struct walk *w, const struct label *l)
{
	if (w->json) {
		fputs(w->first ? "" : ",", w->out);
		if (l->index < 0)
			fprintf(w->out, "\"%.*s\":", l->len, l->name);
	} else {
		fprintf(w->out, "%*s%.*s", 2 * (int)w->depth, "", l->len,
			l->name);
		if (l->index >= 0)
			fprintf(w->out, "[%d]", l->index);
		fputs(":", w->out);
	}
	w->first = false;
}

/* Begin an object or array. */
static void open_item(struct walk *w, const struct label *l, char bracket)
{
	begin_item(w, l);
	putc(w->json ? bracket : '\n', w->out);
	w->first = true;
	w->depth++;
}

static void close_item(struct walk *w, char bracket)
{
	w->depth--;
	w->first = false;
	if (w->json)
		putc(bracket, w->out);
}

static void end_value(struct walk *w)
{
	if (!w->json)
		putc('\n', w->out);
}

static void begin_value(struct walk *w, const struct label *l)
{
	begin_item(w, l);
	if (!w->json)
		putc(' ', w->out);
}

/* Escape everything but printable ASCII, because the file is not trusted. */
static void print_text(struct walk *w, const struct label *l, const char *text)
{
	begin_value(w, l);
	putc('"', w->out);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < ' ' || c > '~' || c == '"' || c == '\\')
			fprintf(w->out, "\\u%04x", c);
		else
			putc(c, w->out);
	}
	putc('"', w->out);
	end_value(w);
}

static void print_bool(struct walk *w, const struct label *l, bool v)
{
	begin_value(w, l);
	fputs(v ? "true" : "false", w->out);
	end_value(w);
}

/* ------------------------------------------------------------------ reading */

/* Bytes left in the innermost section. */
static size_t left(const struct snap *s)
{
	return (s->depth ? s->section[s->depth - 1] : s->len) - s->at;
}

static void bytes_value(struct walk *w, const struct label *l, size_t len)
{
	uint8_t byte;

	if (len > left(&w->s)) {
		snap_require(&w->s, false, "bytes are cut off");
		return;
	}
	begin_value(w, l);
	putc('"', w->out);
	while (len--) {
		snap_u8(&w->s, &byte);
		fprintf(w->out, "%02x", byte);
	}
	putc('"', w->out);
	end_value(w);
}

static uint64_t read_integer(struct walk *w, unsigned size)
{
	uint8_t bytes[8] = {0};
	uint64_t v = 0;

	snap_bytes(&w->s, bytes, size);
	for (unsigned i = size; i--;)
		v = v << 8 | bytes[i];
	return v;
}

static void integer_value(struct walk *w, const struct label *l, unsigned size,
			  bool hex)
{
	uint64_t v = read_integer(w, size);

	if (snap_failed(&w->s))
		return;
	begin_value(w, l);
	fprintf(w->out, hex ? "\"0x%llx\"" : "%llu", (unsigned long long)v);
	end_value(w);
	w->last = (uint32_t)v;
}

static void text_value(struct walk *w, const struct label *l, bool optional)
{
	char text[PATH_MAX];
	bool given = true;

	if (optional)
		snap_bool(&w->s, &given);
	if (given)
		snap_string(&w->s, text, sizeof(text));
	if (snap_failed(&w->s))
		return;
	if (given) {
		print_text(w, l, text);
		return;
	}
	begin_value(w, l);
	fputs("null", w->out);
	end_value(w);
}

/* Each id encodes the size of its value: linux/kvm.h, KVM_REG_SIZE. */
static void registers_value(struct walk *w, const struct label *l)
{
	uint64_t count = read_integer(w, 4);

	open_item(w, l, '{');
	while (count-- && !snap_failed(&w->s)) {
		uint64_t id = read_integer(w, 8);
		unsigned size = 1u << (id >> 52 & 15);
		char name[32];
		struct label value;

		w->arch->name_register(id, name, sizeof(name));
		value = named(name);
		if (size > 8)
			bytes_value(w, &value, size);
		else
			integer_value(w, &value, size, true);
	}
	close_item(w, '}');
}

/* A field whose type does not refer to a part of the table. */
static void simple_value(struct walk *w, const struct label *l,
			 const char *type)
{
	bool yes = false;

	switch (*type) {
	case 'b':
		snap_bool(&w->s, &yes);
		if (!snap_failed(&w->s))
			print_bool(w, l, yes);
		break;
	case 's':
	case 't':
		text_value(w, l, *type == 't');
		break;
	case 'h':
		bytes_value(w, l, strtoul(type + 1, NULL, 10));
		break;
	case 'c':
		bytes_value(w, l, read_integer(w, 4));
		break;
	case 'z':
		bytes_value(w, l, left(&w->s));
		break;
	case 'r':
		registers_value(w, l);
		break;
	case 'x':
		integer_value(w, l, (unsigned)type[1] - '0', true);
		break;
	default:
		integer_value(w, l, (unsigned)*type - '0', false);
	}
	if (type[1] == 'i')
		w->id = w->last;
	if (type[1] == 'n')
		w->count = w->last;
}

/* ------------------------------------------------------ parts of the table */

/* Row @i of both tables, the architecture's after ours; NULL at the end. */
static const struct schema *row(const struct walk *w, unsigned i)
{
	if (i < schema_table_count)
		return &schema_table[i];
	i -= schema_table_count;
	return i < w->arch->count ? &w->arch->table[i] : NULL;
}

static const struct schema *by_name(const struct walk *w, const char *name)
{
	const struct schema *r;

	for (unsigned i = 0; (r = row(w, i)); i++) {
		if (!strcmp(r->name, name))
			return r;
	}
	return NULL;
}

static const struct schema *by_tag(const struct walk *w, const char *tag)
{
	const struct schema *r;

	for (unsigned i = 0; (r = row(w, i)); i++) {
		if (*tag && !memcmp(r->tag, tag, 4))
			return r;
	}
	return NULL;
}

/* The table limits the recursion's depth, whatever the file contains. */
/* NOLINTBEGIN(misc-no-recursion) */
static void print_fields(struct walk *w, const struct schema *schema);
static void print_section(struct walk *w);

static void print_unread(struct walk *w)
{
	const struct label l = named("unread");

	if (left(&w->s) && !snap_failed(&w->s))
		bytes_value(w, &l, left(&w->s));
}

/* Print a section, or a part of one. */
static void print_part(struct walk *w, const struct label *l,
		       const struct schema *schema)
{
	const char *tag = schema->tag;

	open_item(w, l, '{');
	if (*tag)
		snap_begin(&w->s, SNAP_TAG(tag[0], tag[1], tag[2], tag[3]));
	print_fields(w, schema);
	if (*tag) {
		print_unread(w);
		snap_end(&w->s);
	}
	close_item(w, '}');
}

static void print_list(struct walk *w, struct label l, char kind,
		       const struct schema *schema)
{
	uint64_t count = UINT32_MAX;

	if (kind == '+')
		count = read_integer(w, 4);
	else if (kind == '#')
		count = w->count;
	if (w->json)
		open_item(w, &l, '[');
	for (l.index = 0; (uint64_t)l.index < count && !snap_failed(&w->s) &&
			  (kind != '*' || left(&w->s));
	     l.index++)
		print_part(w, &l, schema);
	if (w->json)
		close_item(w, ']');
}

static void print_sections(struct walk *w, const struct label *l)
{
	open_item(w, l, '[');
	while (left(&w->s) && !snap_failed(&w->s))
		print_section(w);
	close_item(w, ']');
}

static void print_composite(struct walk *w, const struct label *l,
			    const char *type, size_t len)
{
	const struct schema *schema;
	bool there = true;
	char name[32];

	snprintf(name, sizeof(name), "%.*s", (int)len - 1, type + 1);
	if (*type == '@')
		snprintf(name + strlen(name), sizeof(name) - strlen(name), "%u",
			 w->id);
	schema = by_name(w, name);
	if (!schema)
		return;
	if (*type == '?')
		snap_bool(&w->s, &there);
	if (strchr("+#*", *type))
		print_list(w, *l, *type, schema);
	else if (there && !snap_failed(&w->s))
		print_part(w, l, schema);
}

static void print_fields(struct walk *w, const struct schema *schema)
{
	const char *f = schema->fields;

	while (*f && !snap_failed(&w->s)) {
		size_t name = strcspn(f, ":"), type = strcspn(f, " ");
		struct label l = {f, -1, (int)name};
		const char *kind = f + name + 1;

		if (*kind == 'S')
			print_sections(w, &l);
		else if (strchr(".?+#*@", *kind))
			print_composite(w, &l, kind, type - name - 1);
		else
			simple_value(w, &l, kind);
		f += type + (f[type] == ' ');
	}
}

/* Print a section of any kind. */
static void print_section(struct walk *w)
{
	const struct label section = named("section");
	const struct schema *schema;
	struct label l = {.name = ""};
	char tag[5] = {0};

	if (left(&w->s) < 4) {
		snap_require(&w->s, false, "a section is cut off");
		return;
	}
	memcpy(tag, w->s.in + w->s.at, 4);
	schema = by_tag(w, tag);
	if (!w->json)
		l = named(schema ? schema->name : "section");
	open_item(w, &l, '{');
	if (w->json || !schema)
		print_text(w, &section, schema ? schema->name : tag);
	snap_begin(&w->s, SNAP_TAG((uint8_t)tag[0], (uint8_t)tag[1],
				   (uint8_t)tag[2], (uint8_t)tag[3]));
	if (schema)
		print_fields(w, schema);
	print_unread(w);
	snap_end(&w->s);
	close_item(w, '}');
}

/* NOLINTEND(misc-no-recursion) */

/* ---------------------------------------------------------------- the whole */

int schema_print(FILE *out, const struct schema_state *state, bool json,
		 struct err *e)
{
	struct walk w = {
		.arch = state->arch, .out = out, .json = json, .first = true};
	int r;

	fprintf(out,
		json ? "{\"format\":\"%u.%u\",\"sections\":["
		     : "format: %u.%u\n",
		STATE_FILE_MAJOR, state->minor);
	snap_load(&w.s, state->body, state->len, snap_version_of(state->minor));
	while (left(&w.s) && !snap_failed(&w.s))
		print_section(&w);
	fputs(json ? "]}\n" : "", out);
	r = snap_finish(&w.s, e);
	snap_fini(&w.s);
	return r;
}
