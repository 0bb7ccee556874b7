/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pages of guest RAM that describe guest time: VMClock and VMGenID, kept in
 * step with the guest's counter and with the host's clock.  Main thread.
 *
 * What VMClock says is bounded, if the host's own bound is right and its
 * counter within 500 ppm of its nominal frequency, as Linux assumes, too: see
 * docs/time.md.
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
	uint64_t offset; /* the counter's, when VMClock was last published */
	bool restored;   /* the next resume must report a restore */
	enum clock_smear smear;
	struct arch_clock_sample sample; /* published last; host 0: none */
	bool is_told; /* the log says that the host does not tell its clock */
	int64_t realtime_ns; /* what the guest is told minus the host's time */
	bool stalled; /* or a disruption, although the offset is the same */
};

/* Place both in @mem, which already has the guest's contents, and write a new
 * VMGenID. */
int time_pages_init(struct time_pages *t, const struct guest_mem *mem,
		    struct irq_line vmclock_irq, struct irq_line vmgenid_irq,
		    struct err *e);

/*
 * Before the clock is started: raise the interrupts for what
 * time_pages_resume() will publish.  A step of its own, because raising an
 * interrupt takes time, which the guest would lose once its clock has started.
 */
void time_pages_notify(struct time_pages *t);

/*
 * After the clock was started, before vCPUs are released: publish VMClock.
 * @sample was taken before the clock was started, so that every counter value
 * the guest reads from now on is later than the published one.
 */
void time_pages_resume(struct time_pages *t, const struct arch_clock *clock,
		       const struct arch_clock_sample *sample);

/*
 * While vCPUs run: publish what the host's clock says now, and interrupt the
 * guest.  Returns whether it is something else than what was published before
 * would have let expect.
 */
bool time_pages_refresh(struct time_pages *t, const struct arch_clock *clock);

/* Show in VMClock that vCPUs are about to be stopped, or that they are not. */
void time_pages_announce(struct time_pages *t, bool soon);

/* Save, or load; after a load the next resume tells the guest of a restore. */
void time_pages_state(struct time_pages *t, struct snap *s);
