/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Describe a component's state once; the same function saves and loads it.
 *
 *	static void timer_state(struct timer *t, struct snap *s)
 *	{
 *		snap_begin(s, SNAP_TAG('t', 'i', 'm', 'r'));
 *		snap_u64(s, &t->deadline);
 *		snap_u32(s, &t->mode);
 *		snap_require(s, t->mode < TIMER_MODES, "timer mode");
 *		snap_end(s);
 *	}
 *
 * A struct snap is a snapshot being written to, or read from, memory.  The
 * first failure sticks: later calls do nothing, and snap_finish() reports it.
 * So state functions contain no error handling.  After a failure, what is
 * loaded keeps the value it had.
 *
 * What is loaded is hostile: every read is bounded by the innermost section,
 * which must be read to its end.  Integers are little-endian, of fixed width.
 * One thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

enum {
	SNAP_DEPTH_MAX = 8,   /* sections within sections */
	SNAPSHOT_VERSION = 3, /* of what is written */
};

/* Four characters that a hex dump shows in this order. */
#define SNAP_TAG(a, b, c, d)                                        \
	((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | \
	 (uint32_t)(d) << 24)

struct snap {
	bool loading, failed;
	uint32_t version;
	union {
		uint8_t *out;      /* owned, grows */
		const uint8_t *in; /* the caller's */
	};
	size_t len; /* bytes written, or to be read */
	size_t capacity;
	size_t at; /* next byte to read */
	/* Saving: where a section's length belongs; loading: where it ends. */
	size_t section[SNAP_DEPTH_MAX];
	unsigned depth;
	struct err err;
};

/* Begin to save, in the format of @version. */
void snap_save(struct snap *s, uint32_t version);
/* Begin to load @len bytes, which stay the caller's and stay valid. */
void snap_load(struct snap *s, const void *data, size_t len, uint32_t version);
/*
 * End: 0, or -1 and the first failure.  A loaded snapshot must have been read
 * to its end; one of a newer version may have more sections there.
 */
int snap_finish(struct snap *s, struct err *e);
/* Free what snap_save() and later calls allocated. */
void snap_fini(struct snap *s);

/* What was saved.  Valid until snap_fini(). */
const void *snap_data(const struct snap *s, size_t *len);

static inline bool snap_loading(const struct snap *s)
{
	return s->loading;
}

/* That of a file of this minor; STATE_FILE_MINOR is the newest. */
static inline uint32_t snap_version_of(uint16_t minor)
{
	return 1u + minor;
}

/* The format being written or read: `if (snap_version(s) >= 2)`. */
static inline uint32_t snap_version(const struct snap *s)
{
	return s->version;
}

/* For loops over what was loaded, to end early.  No other need. */
static inline bool snap_failed(const struct snap *s)
{
	return s->failed;
}

/* A section: tag, length, content.  May contain others. */
void snap_begin(struct snap *s, uint32_t tag);
void snap_end(struct snap *s);

void snap_u8(struct snap *s, uint8_t *v);
void snap_u16(struct snap *s, uint16_t *v);
void snap_u32(struct snap *s, uint32_t *v);
void snap_u64(struct snap *s, uint64_t *v);
void snap_bool(struct snap *s, bool *v);
/* @len bytes, both ways; a length that may differ is saved before them. */
void snap_bytes(struct snap *s, void *buf, size_t len);
/* A number of things that follow, at most @max. */
void snap_count(struct snap *s, uint32_t *count, uint32_t max);
/* Text of at most @size - 1 bytes and the NUL. */
void snap_string(struct snap *s, char *buf, size_t size);

/*
 * Fail unless @ok: "snapshot: @what".  Saving checks, too: what could not be
 * loaded must not be written.
 */
void snap_require(struct snap *s, bool ok, const char *what);
