/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the host's clocks. */
#pragma once

#include <stdint.h>
#include <time.h>

#define NS_PER_S 1000000000ull

/* The time of @clock (CLOCK_MONOTONIC ...), in nanoseconds. */
static inline uint64_t clock_now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}
