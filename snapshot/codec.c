/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/codec.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/util.h"

enum { LENGTH_SIZE = 4, FIRST_CAPACITY = 4096 };

void snap_save(struct snap *s, uint32_t version)
{
	*s = (struct snap){.version = version};
}

void snap_load(struct snap *s, const void *data, size_t len, uint32_t version)
{
	*s = (struct snap){
		.loading = true,
		.version = version,
		.in = data,
		.len = len,
	};
}

void snap_fini(struct snap *s)
{
	if (!s->loading)
		free(s->out);
	*s = (struct snap){0};
}

const void *snap_data(const struct snap *s, size_t *len)
{
	*len = s->len;
	return s->loading ? s->in : s->out;
}

static void fail(struct snap *s, const char *what)
{
	if (s->failed)
		return;
	s->failed = true;
	err_set(&s->err, "snapshot: %s", what);
}

/* Skip sections that a newer version appended. */
static void skip_newer(struct snap *s)
{
	while (!s->failed && s->at != s->len) {
		uint32_t tag = 0, len = 0;

		snap_u32(s, &tag);
		snap_u32(s, &len);
		snap_require(s, len <= s->len - s->at,
			     "a section is longer than what it is in");
		if (!s->failed)
			s->at += len;
	}
}

int snap_finish(struct snap *s, struct err *e)
{
	if (s->depth)
		fail(s, "a section was not ended");
	else if (s->loading && s->version > SNAPSHOT_VERSION)
		skip_newer(s);
	if (s->loading && s->at != s->len)
		fail(s, "it goes on after its end");
	if (s->failed)
		return err_set(e, "%s", s->err.text);
	return 0;
}

void snap_require(struct snap *s, bool ok, const char *what)
{
	if (!ok)
		fail(s, what);
}

/* Reads must end here: the end of the innermost section, or of the data. */
static size_t limit(const struct snap *s)
{
	return s->depth ? s->section[s->depth - 1] : s->len;
}

static bool grow(struct snap *s, size_t len)
{
	size_t capacity = s->capacity ? s->capacity : FIRST_CAPACITY;
	uint8_t *out;

	if (len > SIZE_MAX / 4 - s->len) {
		fail(s, "it is too large");
		return false;
	}
	while (capacity < s->len + len)
		capacity *= 2;
	if (capacity == s->capacity)
		return true;
	out = realloc(s->out, capacity);
	if (!out) {
		fail(s, "no memory to write it");
		return false;
	}
	s->out = out;
	s->capacity = capacity;
	return true;
}

void snap_bytes(struct snap *s, void *buf, size_t len)
{
	if (s->failed || !len)
		return;
	if (!s->loading) {
		if (!grow(s, len))
			return;
		memcpy(s->out + s->len, buf, len);
		s->len += len;
		return;
	}
	if (len > limit(s) - s->at) {
		fail(s, "it is cut off, or a section is too short");
		return;
	}
	memcpy(buf, s->in + s->at, len);
	s->at += len;
}

static void put_le(uint8_t *bytes, uint64_t v, unsigned len)
{
	for (unsigned i = 0; i < len; i++)
		bytes[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get_le(const uint8_t *bytes, unsigned len)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < len; i++)
		v |= (uint64_t)bytes[i] << 8 * i;
	return v;
}

static uint64_t integer(struct snap *s, uint64_t v, unsigned len)
{
	uint8_t bytes[8];

	put_le(bytes, v, len);
	snap_bytes(s, bytes, len);
	/* If loading failed, these are still the bytes of @v. */
	return get_le(bytes, len);
}

void snap_u8(struct snap *s, uint8_t *v)
{
	*v = (uint8_t)integer(s, *v, sizeof(*v));
}

void snap_u16(struct snap *s, uint16_t *v)
{
	*v = (uint16_t)integer(s, *v, sizeof(*v));
}

void snap_u32(struct snap *s, uint32_t *v)
{
	*v = (uint32_t)integer(s, *v, sizeof(*v));
}

void snap_u64(struct snap *s, uint64_t *v)
{
	*v = integer(s, *v, sizeof(*v));
}

void snap_bool(struct snap *s, bool *v)
{
	uint8_t byte = *v;

	snap_u8(s, &byte);
	snap_require(s, byte <= 1, "a yes or no is neither");
	if (!s->failed)
		*v = byte;
}

void snap_count(struct snap *s, uint32_t *count, uint32_t max)
{
	uint32_t n = *count;

	snap_u32(s, &n);
	snap_require(s, n <= max, "more of something than there can be");
	if (!s->failed)
		*count = n;
}

void snap_string(struct snap *s, char *buf, size_t size)
{
	uint32_t len = 0;

	if (!s->loading)
		len = (uint32_t)strnlen(buf, size);
	snap_count(s, &len, (uint32_t)size - 1);
	if (s->loading && !s->failed) {
		snap_require(s, len <= limit(s) - s->at, "a text is cut off");
		snap_require(s, s->failed || !memchr(s->in + s->at, 0, len),
			     "a text has a NUL within");
	}
	snap_bytes(s, buf, len);
	if (!s->failed)
		buf[len] = '\0';
}

void snap_begin(struct snap *s, uint32_t tag)
{
	uint32_t found = tag, len = 0;

	snap_u32(s, &found);
	snap_require(s, found == tag, "a section is not the expected one");
	snap_require(s, s->depth < SNAP_DEPTH_MAX, "sections nest too deep");
	snap_u32(s, &len);
	if (s->loading)
		snap_require(s, len <= limit(s) - s->at,
			     "a section is longer than what it is in");
	if (s->failed)
		return;
	s->section[s->depth++] = s->loading ? s->at + len : s->len;
}

uint32_t snap_next(const struct snap *s)
{
	if (s->failed || limit(s) - s->at < sizeof(uint32_t))
		return 0;
	return (uint32_t)get_le(s->in + s->at, sizeof(uint32_t));
}

void snap_end(struct snap *s)
{
	size_t mark;

	snap_require(s, s->depth > 0, "a section ends that did not begin");
	if (s->failed)
		return;
	mark = s->section[s->depth - 1];
	if (s->loading) {
		snap_require(s, s->at == mark, "a section is too long");
	} else {
		snap_require(s, s->len - mark <= UINT32_MAX,
			     "a section is too large");
		put_le(s->out + mark - LENGTH_SIZE, s->len - mark, LENGTH_SIZE);
	}
	s->depth--;
}
