/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's clocks in a test's hands: whoever is linked with this gets
 * these times from clock_gettime(), all clocks alike but for the two offsets.
 */
#pragma once

#include <stdint.h>

void fake_clock_set(int64_t seconds, long nanoseconds);
void fake_clock_advance_ms(int64_t ms);
/* How often a clock was read, by anybody, since the program began. */
unsigned fake_clock_reads(void);
/* When it booted, by its clock: CLOCK_BOOTTIME counts from then.  0 is 1970. */
void fake_clock_set_boot(int64_t ns);
/* CLOCK_TAI minus the others. */
void fake_clock_set_tai(int seconds);
