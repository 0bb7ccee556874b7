/* SPDX-License-Identifier: Apache-2.0 */
/* JSON documents that are kept and changed as such. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct err;
struct json_t; /* jansson's */

/* Objects in objects that json_merge() follows, as many as Firecracker. */
enum { JSON_MERGE_DEPTH_MAX = 128, JSON_NAME_MAX = 1024 };

/*
 * A copy of @value whose objects have their members in the order of their
 * names, also for json_list().  The caller passes it to json_free(); NULL if
 * there is no memory.
 */
struct json_t *json_sorted_copy(const struct json_t *value);

bool json_is_an_object(const struct json_t *value);

/* Append @value as compact text. */
void json_add(struct buf *out, const struct json_t *value);

/* Change the object @target as the object @patch says (RFC 7396). */
int json_merge(struct json_t *target, const struct json_t *patch,
	       struct err *e);

/*
 * The value at a path of @len bytes: JSON Pointer (RFC 6901), but slashes at
 * its end, or several in a row, do not matter.  NULL: there is none.
 */
const struct json_t *json_at(const struct json_t *root, const char *path,
			     size_t len);

/*
 * Append the names of an object's members, a line each, with a slash after
 * those of objects.  -1 if it is not an object.
 */
int json_list(struct buf *out, const struct json_t *value);
