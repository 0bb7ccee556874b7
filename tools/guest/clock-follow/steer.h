/* SPDX-License-Identifier: Apache-2.0 */
/* Makes Linux's CLOCK_REALTIME right: by a step, or by its rate. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { BILLION = 1000000000, STEP_NS = 1000000 };

/* What time it is, compared with CLOCK_REALTIME. */
struct reading {
	int64_t ahead_ns; /* the right time minus CLOCK_REALTIME */
	/* By how much the right clock runs faster than this guest's counter
	 * says, in 2^-16 ppm.  Without it, the kernel finds out. */
	bool has_rate;
	int64_t rate;
	bool is_bounded; /* the errors are known */
	uint64_t max_error_us, est_error_us;
	int leap; /* 1: this day has a second more; -1: one less */
	int tai;  /* TAI minus UTC in seconds; 0: unknown */
};

/*
 * Step CLOCK_REALTIME if it is off by a millisecond or more.  Returns 1 if it
 * did, 0 if there was no need, -1 if it may not.
 */
int steer_step(const struct reading *now);

/* Set the clock's rate, and let the rest of the difference vanish slowly; tell
 * the kernel how right it is.  0, or -1 if it may not. */
int steer_rate(const struct reading *now);
