/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMClock: a page that relates the guest's counter to TAI, and tells when that
 * changed, so that a guest knows the time without asking and learns at once
 * that it was stopped.
 *
 * Linux, include/uapi/linux/vmclock-abi.h (7.0; the flags' numbers differ from
 * the published draft's) and bindings/ptp/amazon,vmclock.yaml.
 *
 * Main thread, while no vCPU runs.  The guest may write what it likes into the
 * page: nothing is read back.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/machine/irq_line.h"

enum { VMCLOCK_SIZE = 4096 };

struct snap;
struct vmclock_page;

/* A reading of the guest's counter, and of the host's clock at that moment. */
struct vmclock_pair {
	uint64_t counter;
	uint32_t hz;        /* of the counter; at least 2 */
	uint64_t tai_sec;   /* since 1970 */
	uint32_t tai_ns;    /* and nanoseconds */
	int tai_offset;     /* TAI minus UTC, seconds */
	bool has_error;     /* the host knows how wrong it may be: */
	uint64_t max_error; /* by so many nanoseconds */
};

struct vmclock {
	struct vmclock_page *page; /* of VMCLOCK_SIZE, shared with the guest */
	struct irq_line irq;
	bool published;
	uint32_t seq;
	uint64_t disruption;
	uint64_t generation; /* counts restores */
};

/* @page is the guest's RAM. */
void vmclock_init(struct vmclock *clock, void *page, struct irq_line irq);

/*
 * The guest's time moves relative to TAI: this is the new relation, and but for
 * the first time another disruption.
 */
void vmclock_publish(struct vmclock *clock, const struct vmclock_pair *pair);

/* Interrupt the guest for the next vmclock_publish(), while it does not run;
 * before the first one it is not. */
void vmclock_notify(const struct vmclock *clock);

/* What the guest was told last, which the page does not prove: it may have been
 * written over. */
void vmclock_state(struct vmclock *clock, struct snap *s);

/* The guest goes on as a copy of itself: the next vmclock_publish() says so. */
void vmclock_restored(struct vmclock *clock);
