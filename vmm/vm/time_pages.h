/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest is told of time in memory: VMClock and VMGenID, kept in step
 * with the guest's counter.  Main thread, while no vCPU runs.
 */
#pragma once

#include "arch/arch.h"
#include "devices/vmclock.h"
#include "devices/vmgenid.h"

struct err;
struct guest_mem;
struct snap;

struct time_pages {
	struct vmclock vmclock;
	struct vmgenid vmgenid;
	uint64_t offset; /* of the counter, as the guest was told */
	bool restored;   /* and the guest was not told so yet */
};

/* In memory that is the guest's already: VMGenID is new from here on. */
int time_pages_init(struct time_pages *t, const struct guest_mem *mem,
		    struct irq_line vmclock_irq, struct irq_line vmgenid_irq,
		    struct err *e);

/*
 * Before the clock is started: interrupt the guest for what it will be told, if
 * its time @moves.  Here, as it takes time, which is the guest's as soon as the
 * clock was started.
 */
void time_pages_notify(struct time_pages *t, bool moves);

/*
 * After the clock was started, before vCPUs are released.  @sample is from
 * before that, so that no counter the guest reads from now on is before it.
 */
void time_pages_resume(struct time_pages *t, const struct arch_clock *clock,
		       const struct arch_clock_sample *sample);

/* Loaded: the guest is told that it was restored when it goes on. */
void time_pages_state(struct time_pages *t, struct snap *s);
