/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ARM PL031 real-time clock that shows the host's wall clock, so it is
 * right after any pause.  What a guest sets it to is kept as a difference.
 * There is no alarm interrupt.
 *
 * Registers: ARM DDI 0224.  Accessed on vCPU threads, without a lock.
 */
#pragma once

#include <stdint.h>

#include "vmm/mmio_bus.h"

struct rtc {
	_Atomic uint32_t shift; /* guest's seconds minus the host's, mod 2^32 */
	_Atomic uint32_t load, match, mask;
};

extern const struct mmio_ops rtc_mmio_ops;

struct snap;

/* While no vCPU runs. */
void rtc_state(struct rtc *rtc, struct snap *s);
