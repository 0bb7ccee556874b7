/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMClock: a page that relates the guest's counter to TAI and shows when that
 * relation was disrupted.  A guest reads the time from it without an exit, and
 * learns at once that it was stopped.
 *
 * Interface: Linux, include/uapi/linux/vmclock-abi.h (7.0; the flags' numbers
 * differ from the published draft's) and bindings/ptp/amazon,vmclock.yaml.
 *
 * All functions: main thread, while no vCPU runs.  The guest may write anything
 * into the page, so nothing is read back from it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/machine/irq_line.h"

enum { VMCLOCK_SIZE = 4096 };

struct snap;
struct vmclock_page;

/* The guest's counter and the host's TAI clock, read at the same moment. */
struct vmclock_pair {
	uint64_t counter;
	uint32_t hz;        /* counter frequency; at least 2 */
	uint64_t tai_sec;   /* seconds since 1970 */
	uint32_t tai_ns;    /* nanoseconds within that second */
	int tai_offset;     /* TAI minus UTC, in seconds */
	bool has_error;     /* max_error is known */
	uint64_t max_error; /* bound of the time's error, in nanoseconds */
};

struct vmclock {
	struct vmclock_page *page; /* VMCLOCK_SIZE bytes of guest RAM */
	struct irq_line irq;
	bool published;
	uint32_t seq;
	uint64_t disruption;
	uint64_t generation; /* number of restores */
};

/* @page: VMCLOCK_SIZE bytes of guest RAM. */
void vmclock_init(struct vmclock *clock, void *page, struct irq_line irq);

/*
 * Publish a new relation between the guest's counter and TAI.  Each call except
 * the first counts as a disruption.
 */
void vmclock_publish(struct vmclock *clock, const struct vmclock_pair *pair);

/*
 * Interrupt the guest because of the next vmclock_publish(), while it does not
 * run; does nothing before the first vmclock_publish().
 */
void vmclock_notify(const struct vmclock *clock);

/*
 * Save or load what was published last.  It is not taken from the page, because
 * the guest may have overwritten that.
 */
void vmclock_state(struct vmclock *clock, struct snap *s);

/*
 * The guest was restored and may be one of several copies: the next
 * vmclock_publish() shows a new generation.
 */
void vmclock_restored(struct vmclock *clock);
