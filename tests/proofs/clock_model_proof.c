/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic of guest time, modulo 2^64: with the offset that
 * clock_offset() returns, the guest reads what it should at that moment, and
 * from then on counts as the host does, without a jump; clock_bracketed()
 * accepts a reading if and only if there was a moment at which the offset gives
 * it; a jump is refused if and only if it is longer than the limit, to the
 * tick; and times saturate instead of wrapping.
 *
 * Bounds: none, but for the limit of a jump: 1 kHz, 24 MHz, 62.5 MHz and 1 GHz,
 * up to 255 ms.
 */
#include "arch/aarch64/clock_model.h"
#include "tests/proofs/proofs.h"

/* One of the two, because both at once take long. */
#ifndef JUMP
#define JUMP 0
#endif

static void check_offset(void)
{
	uint64_t host = nondet_u64(), guest = nondet_u64(), d = nondet_u64();
	uint64_t offset = clock_offset(host, guest);

	prove(clock_guest(host, offset) == guest, "the guest goes on there");
	prove(clock_guest(host + d, offset) == guest + d,
	      "the guest counts as the host does");
	prove(!(clock_goes_back(host, host + d)) == (d < 1ull << 63),
	      "what is less than 2^63 ahead is not back");
}

/* The guest shows @guest when the host's counter is @moment after @before. */
static void check_bracket(void)
{
	uint64_t before = nondet_u64(), took = nondet_u64();
	uint64_t offset = nondet_u64(), moment = nondet_u64();
	uint64_t guest = clock_guest(before, offset) + moment;

	prove(clock_bracketed(before, guest, before + took, offset) ==
		      (moment <= took),
	      "a reading is accepted if there was a moment for it");
}

/* Frequencies of real counters, in ticks per millisecond. */
static uint32_t any_frequency(void)
{
	switch (nondet_u8() % 4) {
	case 0:
		return 24000;
	case 1:
		return 62500;
	case 2:
		return 1000000;
	default:
		return 1;
	}
}

static void check_jump(void)
{
	uint32_t per_ms = any_frequency(), hz = per_ms * 1000;
	uint8_t ms = nondet_u8();
	uint64_t limit = (uint64_t)per_ms * ms;

	prove(!clock_longer_than(limit, hz, ms), "a jump may be of the limit");
	prove(clock_longer_than(limit + 1, hz, ms), "but not a tick longer");
	prove(clock_longer_than(1ull << 63, UINT32_MAX, 1000),
	      "nor does the longest wrap");
}

int main(void)
{
	if (JUMP) {
		check_jump();
	} else {
		check_offset();
		check_bracket();
	}
	return 0;
}
