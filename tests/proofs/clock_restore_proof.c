/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A restored guest's counter goes on where it stopped.  On the same boot of the
 * same host, the host's counter tells how long ago that was.  Elsewhere it is
 * what both hosts' clocks say, no more and no less, up to 2^63 ticks, and it is
 * known if they went back; the error never wraps, and is unbounded if one of
 * the clocks is not synchronised.
 *
 * Bounds: none; table.py replaces the quotient of 128 bits by any number of 66,
 * and the decision whether it is the same boot by either.
 */
#include "arch/aarch64/clock_model.h"
#include "arch/arch.h"
#include "tests/proofs/proofs.h"

static __int128 quotient;
static bool same;

#include "arch/aarch64/clock_record.c" /* nogncheck */

static struct arch_clock_sample now;

void arch_clock_sample(struct arch_clock_sample *sample)
{
	*sample = now;
}

int err_set(struct err *e, const char *format, ...)
{
	(void)e;
	(void)format;
	return -1;
}

static struct arch_clock_sample any_sample(void)
{
	struct arch_clock_sample sample = {
		.host = nondet_u64(),
		.tai_sec = nondet_u64(),
		.tai_ns = nondet_u32(),
		.synchronized = nondet_bool(),
		.max_error = nondet_u64(),
	};

	/* As arch_clock_record_state() has it. */
	assume(sample.tai_sec < INT64_MAX / 1000000000);
	assume(sample.tai_ns < 1000000000);
	return sample;
}

static void check_elsewhere(const struct arch_clock *c,
			    const struct arch_clock_record *r)
{
	const __int128 ticks =
		quotient + (uint64_t)(r->sample.host - r->host_stopped);
	uint64_t passed = now.host - c->host_stopped;

	prove(c->estimated, "it is an estimate");
	prove(c->unsynchronized ==
		      !(r->sample.synchronized && now.synchronized),
	      "clocks that nobody synchronises are told");
	prove(c->elapsed_error_ns >= now.max_error &&
		      c->elapsed_error_ns >= r->sample.max_error,
	      "the error does not wrap");
	prove(clock_goes_back(c->host_stopped, now.host) == (ticks < 0),
	      "a clock that went back is seen");
	if (ticks >= INT64_MIN && ticks <= INT64_MAX)
		prove(passed == (uint64_t)ticks, "it is what the clocks say");
}

int main(void)
{
	static struct arch_clock c;
	static struct arch_clock_record r;

	same = nondet_bool();
	quotient = ((__int128)nondet_u64() << 2) - ((__int128)1 << 65);
	now = any_sample();
	r.hz = nondet_u32();
	r.host_stopped = nondet_u64();
	r.guest_stopped = nondet_u64();
	r.sample = any_sample();
	c.hz = nondet_u32();
	c.has_offset = nondet_bool();
	if (arch_clock_restore(&c, &r, NULL))
		return 0;
	prove(c.hz == r.hz && c.has_offset, "counters of one speed");
	prove(c.moved && c.restored, "the offset is yet to be set");
	prove(clock_guest(c.host_stopped, c.offset_stopped) == r.guest_stopped,
	      "the guest goes on where it stopped");
	if (same)
		prove(c.host_stopped == r.host_stopped && !c.estimated,
		      "the host's counter tells");
	else
		check_elsewhere(&c, &r);
	return 0;
}
