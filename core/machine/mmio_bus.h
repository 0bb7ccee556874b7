/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device windows in guest-physical address space.
 *
 * Filled by the main thread, frozen before the first vCPU runs, then read by
 * all vCPU threads without a lock; handlers lock for themselves.
 */
#pragma once

#include <stdint.h>

#include "core/machine/gpa.h"

struct err;

/*
 * Registers of a device, called on a vCPU thread.  @offset + @len lies within
 * the window; @len is 1, 2, 4 or 8; nothing else about them is promised: the
 * guest chooses.
 */
struct mmio_ops {
	uint64_t (*read)(void *device, uint64_t offset, unsigned len);
	void (*write)(void *device, uint64_t offset, unsigned len,
		      uint64_t value);
};

struct mmio_window {
	gpa_t base;
	uint64_t size;
	const struct mmio_ops *ops;
	void *device;
};

enum { MMIO_WINDOWS_MAX = 96 };

struct mmio_bus {
	struct mmio_window window[MMIO_WINDOWS_MAX]; /* ascending, disjoint */
	unsigned count;
};

int mmio_bus_add(struct mmio_bus *bus, struct mmio_window window,
		 struct err *e);

/*
 * An access outside all windows, or across the end of one, reads as zero and
 * writes nothing; it is counted, and logged at a bounded rate.
 */
uint64_t mmio_bus_read(const struct mmio_bus *bus, gpa_t gpa, unsigned len);
void mmio_bus_write(const struct mmio_bus *bus, gpa_t gpa, unsigned len,
		    uint64_t value);

/* How many accesses hit nothing, in this process. */
uint64_t mmio_bus_missed(void);
