/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMClock's page as a guest sees it: what time it is when the guest's counter
 * has a given value.  Arithmetic only.
 *
 * Source: Linux, include/uapi/linux/vmclock-abi.h (7.0).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tools/guest/clock-follow/steer.h"

/* Little-endian, as arm64 Linux. */
struct page {
	uint32_t magic, size;
	uint16_t version;
	uint8_t counter_id, time_type;
	uint32_t seq;
	uint64_t disruption, flags;
	uint8_t pad[2], status, smearing;
	int16_t tai_offset;
	uint8_t leap, period_shift;
	uint64_t counter, period;
	uint64_t period_est_error, period_max_error;
	uint64_t time_sec, time_frac;
	uint64_t time_est_error, time_max_error, generation;
};

_Static_assert(sizeof(struct page) == 0x70, "as Linux has it");

bool page_is_usable(const struct page *p);
/* It interrupts the guest when it changes. */
bool page_notifies(const struct page *p);

/* UTC in nanoseconds since 1970 when the counter is at @counter. */
int64_t page_utc_ns(const struct page *p, uint64_t counter);

/*
 * What CLOCK_REALTIME is to be when the counter, of @hz, is at @counter and
 * CLOCK_REALTIME is @realtime_ns.
 */
struct reading page_reading(const struct page *p, uint64_t counter, uint32_t hz,
			    int64_t realtime_ns);
