/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A register access of the guest reaches a device only if all its bytes are
 * within the device's window, with the offset in that window; else no device
 * sees it.  And mmio_bus_add() keeps the windows sorted and disjoint, or
 * refuses.
 *
 * Bounds: MMIO_WINDOWS_MAX is 3; windows of up to 64 KiB below 4 GiB, accesses
 * anywhere.
 */
#include <string.h>

#include "core/machine/mmio_bus.h"
#include "tests/proofs/proofs.h"

/* Window by window, which is much easier to prove. */
static void move_up(struct mmio_window *to, const struct mmio_window *from,
		    size_t len)
{
	for (size_t i = len / sizeof(*to); i; i--)
		to[i - 1] = from[i - 1];
}

#define memmove(to, from, len) move_up((to), (from), (len))

#include "core/machine/mmio_bus.c" /* nogncheck */

/* One of the two, because both at once take long. */
#ifndef ADD
#define ADD 0
#endif

static struct mmio_bus bus;
static gpa_t gpa;
static unsigned len, reached;

/* @device is the window's number, plus 1. */
static void reach(const void *device, uint64_t offset, unsigned size)
{
	const struct mmio_window *w = &bus.window[(uint64_t)device - 1];

	reached++;
	prove(size == len, "the length is that of the access");
	prove(gpa >= w->base && offset == gpa - w->base,
	      "the offset is in the window of the device");
	prove(offset < w->size && len <= w->size - offset,
	      "the access ends within the window");
}

static uint64_t any_read(void *device, uint64_t offset, unsigned size)
{
	reach(device, offset, size);
	return nondet_u64();
}

static void any_write(void *device, uint64_t offset, unsigned size,
		      uint64_t value)
{
	(void)value;
	reach(device, offset, size);
}

static const struct mmio_ops any_ops = {.read = any_read, .write = any_write};

void log_guest(struct log_limit *limit, const char *format, ...)
{
	(void)limit;
	(void)format;
}

int err_set(struct err *e, const char *format, ...)
{
	(void)e;
	(void)format;
	return -1;
}

static struct mmio_window any_window(unsigned number)
{
	struct mmio_window w = {
		.base = nondet_u32(),
		.size = nondet_u16(),
		.ops = &any_ops,
		.device = (void *)(uint64_t)(number + 1),
	};

	assume(w.size);
	return w;
}

static bool is_sorted(void)
{
	for (unsigned i = 1; i < bus.count; i++)
		if (bus.window[i].base <
		    bus.window[i - 1].base + bus.window[i - 1].size)
			return false;
	return true;
}

static bool is_free(const struct mmio_window *w)
{
	for (unsigned i = 0; i < bus.count; i++)
		if (w->base < bus.window[i].base + bus.window[i].size &&
		    bus.window[i].base < w->base + w->size)
			return false;
	return true;
}

static void check_add(void)
{
	struct mmio_window w = any_window(0);
	bool fits = is_free(&w) && bus.count < MMIO_WINDOWS_MAX;
	unsigned before = bus.count;
	int r = mmio_bus_add(&bus, w, NULL);

	prove(!r == fits, "a window is added if there is room for it");
	prove(bus.count == before + fits, "and counted");
	prove(is_sorted(), "the windows are sorted and disjoint");
}

static void check_access(void)
{
	bool inside = false;

	gpa = nondet_u64();
	len = 1u << nondet_u8() % 4;
	for (unsigned i = 0; i < bus.count; i++)
		inside |=
			gpa >= bus.window[i].base &&
			gpa - bus.window[i].base < bus.window[i].size &&
			len <= bus.window[i].size - (gpa - bus.window[i].base);
	if (nondet_bool())
		mmio_bus_read(&bus, gpa, len);
	else
		mmio_bus_write(&bus, gpa, len, nondet_u64());
	prove(reached == inside, "one device is reached, or none");
}

int main(void)
{
	bus.count = nondet_u32();
	assume(bus.count <= MMIO_WINDOWS_MAX);
	for (unsigned i = 0; i < bus.count; i++)
		bus.window[i] = any_window(i);
	assume(is_sorted());
	if (ADD)
		check_add();
	else
		check_access();
	return 0;
}
