/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One byte that a guest's init writes when it runs: the time since the VM was
 * started is logged, in the words that Firecracker's tools look for.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "core/machine/mmio_bus.h"

struct boot_timer {
	struct timespec wall, cpu; /* at start; CLOCK_MONOTONIC, process CPU */
	_Atomic bool done;         /* the guest gets one line of log */
};

void boot_timer_init(struct boot_timer *timer);

extern const struct mmio_ops boot_timer_mmio_ops;

struct snap;

/* While no vCPU runs.  What is measured is since the restore, then. */
void boot_timer_state(struct boot_timer *timer, struct snap *s);
