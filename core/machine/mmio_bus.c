/* SPDX-License-Identifier: Apache-2.0 */
#include "core/machine/mmio_bus.h"

#include <stddef.h>
#include <string.h>

#include "core/base/err.h"
#include "core/io/log.h"

static struct log_limit missed;

/* Index of the first window that ends after @gpa, or bus->count. */
static unsigned find(const struct mmio_bus *bus, gpa_t gpa)
{
	unsigned low = 0, high = bus->count;

	while (low < high) {
		unsigned mid = (low + high) / 2;
		const struct mmio_window *w = &bus->window[mid];

		if (gpa >= w->base && gpa - w->base >= w->size)
			low = mid + 1;
		else if (gpa < w->base)
			high = mid;
		else
			return mid;
	}
	return low;
}

static const struct mmio_window *lookup(const struct mmio_bus *bus, gpa_t gpa,
					unsigned len)
{
	unsigned i = find(bus, gpa);
	const struct mmio_window *w = &bus->window[i];

	if (i == bus->count || gpa < w->base || len > w->size - (gpa - w->base))
		return NULL;
	return w;
}

int mmio_bus_add(struct mmio_bus *bus, struct mmio_window window, struct err *e)
{
	unsigned i = find(bus, window.base);

	if (bus->count == MMIO_WINDOWS_MAX)
		return err_set(e, "more than %d devices", MMIO_WINDOWS_MAX);
	if (i < bus->count && (window.base >= bus->window[i].base ||
			       bus->window[i].base - window.base < window.size))
		return err_set(e, "two devices at 0x%llx",
			       (unsigned long long)window.base);
	memmove(&bus->window[i + 1], &bus->window[i],
		(bus->count - i) * sizeof(window));
	bus->window[i] = window;
	bus->count++;
	return 0;
}

uint64_t mmio_bus_read(const struct mmio_bus *bus, gpa_t gpa, unsigned len)
{
	const struct mmio_window *w = lookup(bus, gpa, len);

	if (w)
		return w->ops->read(w->device, gpa - w->base, len);
	log_guest(&missed, "read of %u bytes at 0x%llx, where nothing is", len,
		  (unsigned long long)gpa);
	return 0;
}

void mmio_bus_write(const struct mmio_bus *bus, gpa_t gpa, unsigned len,
		    uint64_t value)
{
	const struct mmio_window *w = lookup(bus, gpa, len);

	if (w)
		w->ops->write(w->device, gpa - w->base, len, value);
	else
		log_guest(&missed,
			  "write of %u bytes at 0x%llx, where nothing is", len,
			  (unsigned long long)gpa);
}

uint64_t mmio_bus_missed(void)
{
	return missed.count;
}
