/* SPDX-License-Identifier: Apache-2.0 */
/* Samples of the host's clocks and counter at the same moment. */
#include <sys/timex.h>
#include <time.h>

#include "arch/aarch64/clock_model.h"
#include "arch/arch.h"
#include "core/base/now.h"
#include "core/kvm/kvm.h"

enum {
	SAMPLE_TRIES = 4,
	TAI_MINUS_UTC = 37, /* seconds, since 2017 */
	/* A wider reading, which was interrupted, could match another boot. */
	BOOT_WIDTH_MAX_NS = 20000,
};

static uint64_t ns_of(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec;
}

/*
 * Reads the clock between two reads of the counter, several times, and keeps
 * the tightest pair; .host is its middle.  A kernel that does not know the TAI
 * offset treats TAI as UTC.  Then the offset since 2017 is added, so that
 * guests that subtract it get UTC.
 */
void arch_clock_sample(struct arch_clock_sample *sample)
{
	struct timex kernel = {.modes = 0};
	int state = adjtimex(&kernel);
	uint64_t best = UINT64_MAX;

	*sample = (struct arch_clock_sample){.tai_offset = TAI_MINUS_UTC};
	for (unsigned i = 0; i < SAMPLE_TRIES; i++) {
		uint64_t before = kvm_counter_read(), width;
		struct timespec now;

		clock_gettime(CLOCK_REALTIME, &now);
		width = kvm_counter_read() - before;
		if (width >= best)
			continue;
		best = width;
		sample->host = before + width / 2;
		sample->tai_sec = (uint64_t)now.tv_sec;
		sample->tai_ns = (uint32_t)now.tv_nsec;
	}
	if (state >= 0 && kernel.tai > 0)
		sample->tai_offset = kernel.tai;
	sample->tai_sec += (unsigned)sample->tai_offset;
	sample->synchronized = state >= 0 && state != TIME_ERROR;
	if (sample->synchronized)
		sample->max_error = (uint64_t)kernel.maxerror * 1000 +
				    clock_ns(best, kvm_counter_hz());
}

void arch_clock_boot(struct arch_clock_boot *boot)
{
	uint64_t best = BOOT_WIDTH_MAX_NS + 1;

	*boot = (struct arch_clock_boot){0};
	for (unsigned i = 0; i < SAMPLE_TRIES; i++) {
		uint64_t before = clock_now_ns(CLOCK_BOOTTIME);
		uint64_t real = clock_now_ns(CLOCK_REALTIME);
		uint64_t width = clock_now_ns(CLOCK_BOOTTIME) - before;

		if (width >= best)
			continue;
		best = width;
		boot->ns = real - before - width / 2;
		boot->width_ns = (uint32_t)width;
	}
}

void arch_clock_pair(struct arch_clock_pair *pair)
{
	*pair = (struct arch_clock_pair){.width_ticks = UINT64_MAX};
	for (unsigned i = 0; i < SAMPLE_TRIES; i++) {
		struct timespec raw, real;
		uint64_t before, width;

		clock_gettime(CLOCK_REALTIME, &real);
		before = kvm_counter_read();
		clock_gettime(CLOCK_MONOTONIC_RAW, &raw);
		width = kvm_counter_read() - before;
		if (width >= pair->width_ticks)
			continue;
		pair->width_ticks = width;
		pair->host = before + width / 2;
		pair->monotonic_raw_ns = ns_of(&raw);
		pair->realtime_ns = ns_of(&real);
	}
}

uint64_t arch_clock_guest(const struct arch_clock *clock, uint64_t host)
{
	return clock_guest(host, clock->offset);
}

uint64_t arch_clock_ns(const struct arch_clock *clock, uint64_t ticks)
{
	return clock_ns(ticks, clock->hz);
}
