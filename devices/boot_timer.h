/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A register into which the guest's init writes one byte: the time since the VM
 * was started is then logged, in the format that Firecracker's tools expect.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "core/machine/mmio_bus.h"

struct boot_timer {
	struct timespec wall, cpu; /* at start: monotonic, process CPU */
	_Atomic bool done;         /* only the first write is logged */
};

/* Start measuring.  Main thread. */
void boot_timer_init(struct boot_timer *timer);

/* Handlers run on vCPU threads. */
extern const struct mmio_ops boot_timer_mmio_ops;

struct snap;

/*
 * Save or load whether the time was logged, while no vCPU runs.  After a
 * restore, the time since the restore is measured.
 */
void boot_timer_state(struct boot_timer *timer, struct snap *s);
