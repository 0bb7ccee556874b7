/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device windows in guest-physical address space.
 *
 * The main thread adds windows before the first vCPU runs; after that the bus
 * is constant, and all vCPU threads read it without a lock.  Handlers do their
 * own locking.
 */
#pragma once

#include <stdint.h>

#include "core/machine/gpa.h"

struct err;

/*
 * Access to a device's registers, called on a vCPU thread.  @offset + @len lies
 * within the window, and @len is 1, 2, 4 or 8.  The guest chooses everything
 * else, so @offset may be unaligned.
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
	struct mmio_window window[MMIO_WINDOWS_MAX]; /* sorted, disjoint */
	unsigned count;
};

/* Add a window.  Fails if it overlaps another one, or the bus is full. */
int mmio_bus_add(struct mmio_bus *bus, struct mmio_window window,
		 struct err *e);

/*
 * An access outside all windows, or across the end of one, reads as zero and
 * writes nothing; it is counted, and logged at a bounded rate.
 */
uint64_t mmio_bus_read(const struct mmio_bus *bus, gpa_t gpa, unsigned len);
void mmio_bus_write(const struct mmio_bus *bus, gpa_t gpa, unsigned len,
		    uint64_t value);

/* Number of accesses that hit no window, in this process. */
uint64_t mmio_bus_missed(void);
