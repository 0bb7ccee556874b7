/* SPDX-License-Identifier: Apache-2.0 */
/* Samples of the host's clocks and counter at the same moment. */
#include <errno.h>
#include <sys/timex.h>
#include <time.h>

#include "arch/aarch64/clock_model.h"
#include "arch/arch.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "core/kvm/kvm.h"

enum {
	SAMPLE_TRIES = 4,
	TAI_MINUS_UTC = 37, /* seconds, since 2017 */
	TAI_MINUS_UTC_1972 = 10,
	NOMINAL_TICK = 10000,    /* us, of which the kernel adds 100/s */
	TICK_RATE = 100 * 65536, /* one us of it, in 2^-16 ppm */
	/* The kernel adds what a clock may drift, 500 ppm, to its bound once
	 * per second: the second that has begun is still missing. */
	SECOND_DRIFT_NS = 500000,
	/* A wider reading, which was interrupted, could match another boot. */
	BOOT_WIDTH_MAX_NS = 20000,
};

static uint64_t ns_of(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec;
}

/* -------------------------------------------------- what the kernel knows */

static enum arch_clock_leap leap_of(int state, int status)
{
	switch (state) {
	case TIME_INS:
		return CLOCK_LEAP_PRE_POS;
	case TIME_DEL:
		return CLOCK_LEAP_PRE_NEG;
	case TIME_OOP:
		return CLOCK_LEAP_POS;
	case TIME_WAIT:
		return status & STA_DEL ? CLOCK_LEAP_POST_NEG
					: CLOCK_LEAP_POST_POS;
	default:
		return CLOCK_LEAP_NONE;
	}
}

/*
 * Ask the kernel twice, before and after the clock is read: if somebody sets
 * the clock meanwhile, neither answer alone need hold for what was read.
 */
static void add_discipline(struct arch_clock_sample *sample)
{
	struct timex kernel = {.modes = 0};
	int state = adjtimex(&kernel);

	if (state < 0)
		sample->refused = errno;
	if (state < 0 || state == TIME_ERROR)
		sample->synchronized = false;
	if (state < 0)
		return;
	sample->max_error =
		max_u64(sample->max_error, (uint64_t)kernel.maxerror * 1000);
	sample->est_error =
		max_u64(sample->est_error, (uint64_t)kernel.esterror * 1000);
	sample->rate = (kernel.tick - NOMINAL_TICK) * TICK_RATE + kernel.freq;
	sample->leap = leap_of(state, kernel.status);
	sample->tai_offset = kernel.tai;
}

/* -------------------------------------------------------------------- reads */

/* Reads the clock between two reads of the counter, several times, and keeps
 * the tightest pair; .host is its middle.  Returns the pair's width. */
static uint64_t read_clock(struct arch_clock_sample *sample)
{
	uint64_t best = UINT64_MAX;

	for (unsigned i = 0; i < SAMPLE_TRIES; i++) {
		uint64_t before = kvm_counter_read(), width;
		struct timespec now;

		clock_gettime(CLOCK_TAI, &now);
		width = kvm_counter_read() - before;
		if (width >= best)
			continue;
		best = width;
		sample->host = before + width / 2;
		sample->tai_sec = (uint64_t)now.tv_sec;
		sample->tai_ns = (uint32_t)now.tv_nsec;
	}
	return best;
}

/* The kernel's TAI offset by its clocks, if it does not tell it otherwise. */
static int tai_offset_by_clocks(void)
{
	uint64_t tai = clock_now_ns(CLOCK_TAI);
	uint64_t utc = clock_now_ns(CLOCK_REALTIME);

	return (int)((int64_t)(tai - utc + NS_PER_S / 2) / (int64_t)NS_PER_S);
}

/*
 * CLOCK_TAI does not jump at a leap second, as CLOCK_REALTIME does.  A kernel
 * that was not told the TAI offset has 0, or how many leap seconds there were
 * since it booted; then the offset since 2017 is added to both, so that guests
 * that subtract it get UTC.
 */
void arch_clock_sample(struct arch_clock_sample *sample)
{
	uint64_t width;

	*sample = (struct arch_clock_sample){.synchronized = true};
	add_discipline(sample);
	width = read_clock(sample);
	add_discipline(sample);
	if (sample->refused)
		sample->tai_offset = tai_offset_by_clocks();
	if (sample->tai_offset < TAI_MINUS_UTC_1972) {
		sample->tai_sec += TAI_MINUS_UTC;
		sample->tai_offset += TAI_MINUS_UTC;
	}
	if (sample->synchronized) {
		width = clock_ns(width, kvm_counter_hz());
		sample->max_error += width + SECOND_DRIFT_NS;
		sample->est_error += width;
	} else {
		sample->max_error = sample->est_error = 0;
	}
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
