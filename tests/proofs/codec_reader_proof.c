/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot that is loaded is never read past its end, nor past the end of the
 * innermost section, and nothing is stored beyond the caller's variable,
 * whatever lengths are in it and in whatever order it is asked for things: each
 * call is made on any state that earlier calls may have left, and leaves such a
 * state.  A failure sticks.
 *
 * Bounds: data of any length up to 2^40; SNAP_DEPTH_MAX is 2; texts of at most
 * 7 bytes.
 */
#include <string.h>

#include "tests/proofs/proofs.h"

enum { TEXT_SIZE = 8 };
#define DATA 0x7f0000000000ull

static uint64_t data_len, may_read_to; /* offsets */

static void check_read(const void *from, uint64_t len)
{
	uint64_t at = (uint64_t)from - DATA;

	prove((uint64_t)from >= DATA && at <= may_read_to &&
		      len <= may_read_to - at,
	      "what is read is before the end");
}

/* Of snapshot data, which is addresses only: any bytes. */
static void any_bytes(uint8_t *to, const void *from, uint64_t len)
{
	check_read(from, len);
	for (unsigned i = 0; i < 8; i++)
		if (i < len)
			to[i] = nondet_u8();
}

static const void *any_byte(const void *from, uint64_t len)
{
	check_read(from, len);
	return nondet_bool() ? from : NULL;
}

#define memcpy(to, from, len)   any_bytes((to), (from), (len))
#define memchr(from, byte, len) any_byte((from), (len))

#include "snapshot/codec.c" /* nogncheck */

int err_set(struct err *e, const char *format, ...)
{
	(void)e;
	(void)format;
	return -1;
}

/* Each section ends within the one around it, all within the data. */
static bool is_sound(const struct snap *s)
{
	uint64_t end = s->len;

	if (!s->loading || (uint64_t)s->in != DATA || s->len != data_len ||
	    s->depth > SNAP_DEPTH_MAX)
		return false;
	for (unsigned i = 0; i < s->depth; i++) {
		if (s->section[i] > end)
			return false;
		end = s->section[i];
	}
	return s->at <= end;
}

static void any_state(struct snap *s)
{
	snap_load(s, (void *)DATA, data_len, 1);
	prove(is_sound(s), "a snapshot is sound at first");
	s->failed = nondet_bool();
	s->at = nondet_u64();
	s->depth = nondet_u32();
	assume(s->depth <= SNAP_DEPTH_MAX);
	for (unsigned i = 0; i < SNAP_DEPTH_MAX; i++)
		s->section[i] = nondet_u64();
	assume(is_sound(s));
}

static void any_integer(struct snap *s)
{
	uint16_t u16 = 0;
	uint32_t u32 = 0;
	uint64_t u64 = 0;
	bool yes = false;

	switch (nondet_u8() % 4) {
	case 0:
		snap_u16(s, &u16);
		break;
	case 1:
		snap_count(s, &u32, 5);
		prove(u32 <= 5, "a count is not above its limit");
		break;
	case 2:
		snap_bool(s, &yes);
		break;
	default:
		snap_u64(s, &u64);
		break;
	}
}

static void any_call(struct snap *s)
{
	static char text[TEXT_SIZE];
	static uint8_t bytes[8];
	uint32_t size = nondet_u32();

	switch (nondet_u8() % 5) {
	case 0:
		snap_begin(s, nondet_u32());
		break;
	case 1:
		snap_end(s);
		break;
	case 2:
		assume(size && size <= TEXT_SIZE);
		snap_string(s, text, size);
		break;
	case 3:
		snap_bytes(s, bytes, nondet_u64());
		break;
	default:
		any_integer(s);
		break;
	}
}

int main(void)
{
	struct snap s;
	bool failed;

	data_len = nondet_u64();
	assume(data_len <= 1ull << 40);
	any_state(&s);
	failed = s.failed;
	may_read_to = limit(&s);
	any_call(&s);
	prove(is_sound(&s), "a snapshot stays sound");
	prove(!failed || s.failed, "a failure sticks");
	return 0;
}
