/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/guest/clock-follow/page.h"

enum {
	MAGIC = 0x4b4c4356,
	VERSION = 1,
	COUNTER_ARM_VCNT = 0,
	PAGE_UTC = 0,
	PAGE_TAI = 1,
	SYNCHRONIZED = 2,
	LEAP_PRE_POS = 1,
	LEAP_PRE_NEG = 2,
	DAY_S = 86400,
};

enum {
	HAS_TAI_OFFSET = 1 << 0,
	HAS_TIME_EST_ERROR = 1 << 5,
	HAS_TIME_MAX_ERROR = 1 << 6,
	HAS_NOTIFICATION = 1 << 9,
};

#define MILLION_PPM (1000000ll << 16)
#define HALF        ((unsigned __int128)1 << 63)

bool page_is_usable(const struct page *p)
{
	return p->magic == MAGIC && p->version == VERSION &&
	       p->counter_id == COUNTER_ARM_VCNT && p->period &&
	       p->period_shift < 64 &&
	       (p->time_type == PAGE_UTC ||
		(p->time_type == PAGE_TAI && p->flags & HAS_TAI_OFFSET));
}

bool page_notifies(const struct page *p)
{
	return p->flags & HAS_NOTIFICATION;
}

/*
 * A second that is to be inserted or left out at the end of the day of the
 * page's own time, if that is over: the host will say so in a moment.
 */
static int64_t leap_since(const struct page *p, int64_t utc_s)
{
	int64_t then = (int64_t)p->time_sec;

	if (p->time_type == PAGE_TAI)
		then -= p->tai_offset;
	if (p->leap == LEAP_PRE_POS && utc_s / DAY_S > then / DAY_S)
		return -1;
	if (p->leap == LEAP_PRE_NEG && (utc_s + 1) / DAY_S > then / DAY_S)
		return 1;
	return 0;
}

int64_t page_utc_ns(const struct page *p, uint64_t counter)
{
	/* The period is in 2^-(64 + shift) s, the product may have 128 bits. */
	unsigned __int128 since =
		(unsigned __int128)(counter - p->counter) * p->period >>
		p->period_shift;
	unsigned __int128 fraction = since + p->time_frac; /* in 2^-64 s */
	int64_t sec = (int64_t)(p->time_sec + (uint64_t)(fraction >> 64));

	if (p->time_type == PAGE_TAI)
		sec -= p->tai_offset;
	sec += leap_since(p, sec);
	return sec * BILLION +
	       (int64_t)((unsigned __int128)(uint64_t)fraction * BILLION >> 64);
}

/* By how much time runs faster than @hz says, in 2^-16 ppm. */
static int64_t rate_of(const struct page *p, uint32_t hz)
{
	unsigned __int128 second =
		(unsigned __int128)p->period * hz >> p->period_shift;

	/* In 2^-64 s per second; rounded. */
	return (int64_t)((second * MILLION_PPM + HALF) >> 64) - MILLION_PPM;
}

/* An error in ns, in us, with what @error per tick makes of it. */
static uint64_t error_us(const struct page *p, uint64_t counter, uint64_t ns,
			 uint64_t error)
{
	unsigned __int128 grown =
		(unsigned __int128)(counter - p->counter) * error >>
		p->period_shift;

	return (ns + (uint64_t)((grown >> 32) * BILLION >> 32)) / 1000 + 1;
}

struct reading page_reading(const struct page *p, uint64_t counter, uint32_t hz,
			    int64_t realtime_ns)
{
	const uint64_t known = HAS_TIME_EST_ERROR | HAS_TIME_MAX_ERROR;
	struct reading now = {
		.ahead_ns = page_utc_ns(p, counter) - realtime_ns,
		.has_rate = true,
		.rate = rate_of(p, hz),
		.is_bounded = p->status == SYNCHRONIZED &&
			      (p->flags & known) == known,
		.tai = p->tai_offset,
	};

	if (p->leap == LEAP_PRE_POS || p->leap == LEAP_PRE_NEG)
		now.leap = p->leap == LEAP_PRE_POS ? 1 : -1;
	if (!(p->flags & HAS_TAI_OFFSET))
		now.tai = 0;
	if (now.is_bounded) {
		now.max_error_us = error_us(p, counter, p->time_max_error,
					    p->period_max_error);
		now.est_error_us = error_us(p, counter, p->time_est_error,
					    p->period_est_error);
	}
	return now;
}
