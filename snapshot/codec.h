/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Describe a component's state once: the same function saves and loads it.
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
 * The result is the body of a state file (snapshot/state_file.h), a sequence of
 * sections.  FORMAT.md lists the fields of each:
 *
 *	 tag  length <length> bytes   tag  length
 *	+----+------+---------------++----+------+---------------------+--
 *	|snid|  24  | fields        ||devs|      |boot|..|rtc |..| ...  | ...
 *	+----+------+---------------++----+------+---------------------+--
 *	  4     4                                 sections may be nested
 *
 *	snid   identity of the snapshot
 *	head   versions of stasis and of the host's kernel, page size
 *	conf   configuration; contains driv, net, vsoc, ball
 *	disk   identity of each drive's file
 *	time   guest time and the host's clocks
 *	arch   kind of vCPUs and of interrupt controller
 *	more   settings that came later; contains a section for each
 *	devs   devices; contains boot, rtc, gpio, uart
 *	virt   virtio devices; contains one virt for each device
 *	vclk   VMClock
 *	vcpu   registers; one section for each vCPU
 *	gic    interrupt controller
 *		since minor 1:
 *	vhst   which interfaces use vhost
 *		since minor 2:
 *	alrm   alarm of the RTC
 *	dsks   contents of each drive's file
 *	hbot   when the host booted
 *		since minor 4:
 *	clkc   more of the clock's configuration
 *
 * A newer minor version only appends sections, here or in `more`.
 *
 * A struct snap is a snapshot being written to memory, or read from it.  The
 * first failure sticks: later calls do nothing, and snap_finish() reports it,
 * so state functions contain no error handling.  After a failure, variables
 * that were to be loaded keep their values.
 *
 * Loaded data is untrusted: every read is bounded by the innermost section,
 * which must be read to its end.  Integers are little-endian and of fixed
 * width.  One thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

enum {
	SNAP_DEPTH_MAX = 8,   /* sections within sections */
	SNAPSHOT_VERSION = 5, /* the version that is written */
};

/* A section's tag: four characters, which a hex dump shows in this order. */
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
	size_t len; /* bytes written so far, or bytes to be read */
	size_t capacity;
	size_t at; /* loading: offset of the next byte */
	/* Saving: offset of the section's content; loading: of its end. */
	size_t section[SNAP_DEPTH_MAX];
	unsigned depth;
	struct err err;
};

/* Begin to save in the format of @version.  Call snap_fini() at the end. */
void snap_save(struct snap *s, uint32_t version);
/*
 * Begin to load @len bytes, which the caller owns and must keep valid.  No
 * snap_fini() is needed.
 */
void snap_load(struct snap *s, const void *data, size_t len, uint32_t version);
/*
 * End saving or loading.  Returns 0, or -1 with the first failure in *e.  A
 * loaded snapshot must have been read to its end, but one of a newer version
 * may have more sections there, which are skipped.
 */
int snap_finish(struct snap *s, struct err *e);
/* Free the memory of a saved snapshot. */
void snap_fini(struct snap *s);

/* The saved bytes; valid until snap_fini(). */
const void *snap_data(const struct snap *s, size_t *len);

static inline bool snap_loading(const struct snap *s)
{
	return s->loading;
}

/* The version of a file with @minor; STATE_FILE_MINOR is the newest. */
static inline uint32_t snap_version_of(uint16_t minor)
{
	return 1u + minor;
}

/* The version being written or read: `if (snap_version(s) >= 2)`. */
static inline uint32_t snap_version(const struct snap *s)
{
	return s->version;
}

/* Has anything failed?  Only for loops over loaded data, to end early. */
static inline bool snap_failed(const struct snap *s)
{
	return s->failed;
}

/* Begin and end a section, which may contain others. */
void snap_begin(struct snap *s, uint32_t tag);
void snap_end(struct snap *s);

/* The tag of the section that follows in the innermost one; 0: none does.  Only
 * loading. */
uint32_t snap_next(const struct snap *s);

void snap_u8(struct snap *s, uint8_t *v);
void snap_u16(struct snap *s, uint16_t *v);
void snap_u32(struct snap *s, uint32_t *v);
void snap_u64(struct snap *s, uint64_t *v);
void snap_bool(struct snap *s, bool *v);
/* @len bytes, when saving and loading; save a variable length before them. */
void snap_bytes(struct snap *s, void *buf, size_t len);
/* The number of elements that follow, at most @max. */
void snap_count(struct snap *s, uint32_t *count, uint32_t max);
/* A string in a buffer of @size bytes: at most @size - 1 bytes and a NUL. */
void snap_string(struct snap *s, char *buf, size_t size);

/*
 * Fail with "snapshot: @what" unless @ok.  Also checked when saving, so that no
 * snapshot is written that could not be loaded.
 */
void snap_require(struct snap *s, bool ok, const char *what);
