/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json/json_tree.h"

#include <jansson.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/util.h"

static int add_piece(const char *text, size_t len, void *out)
{
	buf_add(out, text, len);
	return 0;
}

void json_add(struct buf *out, const struct json_t *value)
{
	if (json_dump_callback(value, add_piece, out,
			       JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY))
		out->failed = true;
}

bool json_is_an_object(const struct json_t *value)
{
	return json_is_object(value);
}

struct json_t *json_sorted_copy(const struct json_t *value)
{
	struct buf text = {0};
	json_t *copy = NULL;

	json_add(&text, value);
	if (!text.failed)
		copy = json_loadb(text.data, text.len, JSON_DECODE_ANY, NULL);
	buf_free(&text);
	return copy;
}

/* ------------------------------------------------------------------- merge */

/* An object of the patch that is being merged; nested ones form a stack. */
struct merge_level {
	json_t *target, *patch;
	void *at; /* jansson's iterator in the patch */
};

/* The object @name of @target; made if there is none. */
static json_t *object_in(json_t *target, const char *name)
{
	json_t *object = json_object_get(target, name);

	if (json_is_object(object))
		return object;
	object = json_object();
	return json_object_set_new(target, name, object) ? NULL : object;
}

/* Merge a member; an object is left to the level that is added for it. */
static int merge_member(struct merge_level *l, struct merge_level *below)
{
	const char *name = json_object_iter_key(l->at);
	json_t *value = json_object_iter_value(l->at);

	l->at = json_object_iter_next(l->patch, l->at);
	if (json_is_null(value)) {
		json_object_del(l->target, name);
		return 0;
	}
	if (!json_is_object(value))
		return json_object_set(l->target, name, value);
	*below = (struct merge_level){object_in(l->target, name), value,
				      json_object_iter(value)};
	return below->target ? 1 : -1;
}

int json_merge(struct json_t *target, const struct json_t *patch, struct err *e)
{
	struct merge_level levels[JSON_MERGE_DEPTH_MAX + 1] = {
		{target, (json_t *)patch, json_object_iter((json_t *)patch)}};
	unsigned depth = 1;

	while (depth) {
		struct merge_level *l = &levels[depth - 1];
		int r;

		if (!l->at) {
			depth--;
			continue;
		}
		r = merge_member(l, l + 1);
		if (r < 0)
			return err_set(e, "there is no memory for it");
		depth += (unsigned)r;
		if (depth > JSON_MERGE_DEPTH_MAX)
			return err_set(e, "it is nested more than %d deep",
				       JSON_MERGE_DEPTH_MAX);
	}
	return 0;
}

/* -------------------------------------------------------------------- look */

/* Copy a part of a path to @name: "~1" is '/', "~0" is '~'. */
static bool read_name(char name[JSON_NAME_MAX], const char *part, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char c = part[i];

		if (n == JSON_NAME_MAX - 1 || !c)
			return false;
		if (c == '~') {
			i++;
			if (i == len || (part[i] != '0' && part[i] != '1'))
				return false;
			c = part[i] == '1' ? '/' : '~';
		}
		name[n++] = c;
	}
	name[n] = '\0';
	return true;
}

/* The element of an array: a number without leading zeros. */
static const json_t *element(const json_t *array, const char *name)
{
	size_t index = 0, digits = strspn(name, "0123456789");

	if (!digits || name[digits] || digits > 9 ||
	    (digits > 1 && *name == '0'))
		return NULL;
	for (const char *c = name; *c; c++)
		index = index * 10 + (size_t)(*c - '0');
	return json_array_get(array, index);
}

const struct json_t *json_at(const struct json_t *root, const char *path,
			     size_t len)
{
	const char *end = path + len;
	char name[JSON_NAME_MAX];

	while (root) {
		const char *slash;

		while (path < end && *path == '/')
			path++;
		if (path == end)
			break;
		slash = memchr(path, '/', (size_t)(end - path));
		if (!slash)
			slash = end;
		if (!read_name(name, path, (size_t)(slash - path)))
			return NULL;
		root = json_is_array(root) ? element(root, name)
					   : json_object_get(root, name);
		path = slash;
	}
	return root;
}

int json_list(struct buf *out, const struct json_t *value)
{
	const char *line = "", *name;
	json_t *member;

	if (!json_is_object(value))
		return -1;
	json_object_foreach((json_t *)value, name, member)
	{
		buf_text(out, line);
		buf_text(out, name);
		if (json_is_object(member))
			buf_text(out, "/");
		line = "\n";
	}
	return 0;
}
