/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json/json_place.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "core/base/err.h"

static struct {
	const json_t *document; /* NULL: none is known */
	const char *text;
	size_t len;
} source;

void json_keep_source(const json_t *document, const char *text, size_t len)
{
	source.document = document;
	source.text = text;
	source.len = len;
}

void json_forget_source(const json_t *document)
{
	if (source.document == document)
		source.document = NULL;
}

enum { DEPTH_MAX = 16 };

/* A walk through the text, which is valid JSON, and the values beside it. */
struct walk {
	enum json_spot spot;
	const json_t *object;
	const char *key;

	size_t at; /* behind what was read last */
	const json_t *value;
	const json_t *stack[DEPTH_MAX];
	size_t index[DEPTH_MAX];
	unsigned depth;
	bool key_next;
	unsigned wanted; /* depth of the value that is looked for, or 0 */
};

static const json_t *top(const struct walk *w)
{
	return w->depth ? w->stack[w->depth - 1] : NULL;
}

/* True if the walk ends here; so do the next two. */
static bool end_value(const struct walk *w)
{
	return w->wanted && w->depth == w->wanted;
}

static bool read_string(struct walk *w)
{
	const char *first = source.text + w->at;
	size_t len;
	bool same;

	while (source.text[w->at] != '"')
		w->at += source.text[w->at] == '\\' ? 2 : 1;
	len = (size_t)(source.text + w->at++ - first);
	same = strlen(w->key) == len && !memcmp(w->key, first, len);
	if (!w->key_next)
		return (same && w->spot == JSON_AFTER_TEXT) || end_value(w);
	w->key_next = false;
	w->value = json_object_getn(top(w), first, len);
	if (!same || top(w) != w->object)
		return false;
	if (w->spot == JSON_AFTER_VALUE)
		w->wanted = w->depth;
	return w->spot == JSON_AFTER_KEY;
}

static bool close_one(struct walk *w)
{
	bool found = w->spot == JSON_AFTER_OBJECT && top(w) == w->object;

	w->depth--;
	return found || end_value(w);
}

static bool open_one(struct walk *w, bool object)
{
	if (w->depth == DEPTH_MAX)
		return false;
	w->stack[w->depth] = w->value;
	w->index[w->depth++] = 0;
	w->key_next = object;
	if (!object)
		w->value = json_array_get(top(w), 0);
	return true;
}

static void next_one(struct walk *w)
{
	w->key_next = json_is_object(top(w));
	if (!w->key_next && w->depth)
		w->value = json_array_get(top(w), ++w->index[w->depth - 1]);
}

/* A number, true, false or null. */
static bool read_word(struct walk *w)
{
	w->at += strcspn(source.text + w->at, ",]} \t\r\n");
	return end_value(w);
}

static bool walk_to(struct walk *w)
{
	while (w->at < source.len) {
		char c = source.text[w->at++];

		if (c == '"' && read_string(w))
			return true;
		if ((c == '}' || c == ']') && (!w->depth || close_one(w)))
			return w->depth || w->spot == JSON_AFTER_OBJECT ||
			       w->wanted;
		if ((c == '{' || c == '[') && !open_one(w, c == '{'))
			return false;
		if (c == ',')
			next_one(w);
		if (c != '"' && !strchr("{}[],: \t\r\n", c) && read_word(w))
			return true;
	}
	return false;
}

int json_add_place(struct err *e, enum json_spot spot, const json_t *object,
		   const char *key)
{
	struct walk w = {
		.spot = spot,
		.object = object,
		.key = key ? key : "",
		.value = source.document,
	};
	unsigned line = 1;
	size_t start = 0;

	if (!source.document || !walk_to(&w))
		return -1;
	for (size_t i = 0; i < w.at; i++) {
		if (source.text[i] == '\n') {
			line++;
			start = i + 1;
		}
	}
	return err_suffix(e, " at line %u column %zu", line, w.at - start);
}
