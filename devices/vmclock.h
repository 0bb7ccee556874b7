/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMClock: a page that relates the guest's counter to TAI and shows when that
 * relation was disrupted.  A guest reads the time from it without an exit, and
 * learns at once that it was stopped.
 *
 * Interface: Linux, include/uapi/linux/vmclock-abi.h (7.0; the flags' numbers
 * differ from the published draft's) and bindings/ptp/amazon,vmclock.yaml.
 *
 * All functions: main thread.  vCPUs may run, because readers look again when
 * the page has changed.  The guest may write anything into the page, so nothing
 * is read back from it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/machine/irq_line.h"

enum { VMCLOCK_SIZE = 4096 };

struct snap;
struct vmclock_page;

/*
 * The guest's counter and TAI at the same moment, how fast both run, and how
 * well that is known.  At any later value of the counter TAI is what the two
 * say, give or take max_error and rate_max_error times what has passed since.
 */
struct vmclock_pair {
	uint64_t counter;
	uint32_t hz;       /* counter frequency, nominal; at least 2 */
	uint64_t tai_sec;  /* seconds since 1970 */
	uint32_t tai_ns;   /* nanoseconds within that second */
	int tai_offset;    /* TAI minus UTC, in seconds */
	bool synchronized; /* the two errors are known, in nanoseconds */
	uint64_t max_error, est_error;
	/* By how much time runs faster than hz says, and the error of that, in
	 * 2^-16 ppm.  An estimate of 0 is not known. */
	int64_t rate;
	uint64_t rate_max_error, rate_est_error;
	uint8_t leap; /* an enum arch_clock_leap, which has VMClock's numbers */
	uint8_t smear; /* an enum clock_smear, likewise */
};

struct vmclock {
	struct vmclock_page *page; /* VMCLOCK_SIZE bytes of guest RAM */
	struct irq_line irq;
	struct vmclock_pair pair; /* published last */
	bool published;
	bool soon; /* the guest is about to be stopped */
	uint32_t seq;
	uint64_t disruption;
	uint64_t generation; /* number of restores */
};

/* @page: VMCLOCK_SIZE bytes of guest RAM. */
void vmclock_init(struct vmclock *clock, void *page, struct irq_line irq);

/*
 * Publish @pair, whose counter must not be ahead of the guest's.  @disrupted:
 * what the guest had calibrated against its counter before is wrong; the first
 * call is no disruption.
 */
void vmclock_publish(struct vmclock *clock, const struct vmclock_pair *pair,
		     bool disrupted);

/* Show, or show no more, that the guest is about to be stopped. */
void vmclock_announce(struct vmclock *clock, bool soon);

/*
 * Interrupt the guest because of a change: after it, or before it while the
 * guest does not run.  Does nothing before the first vmclock_publish().
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
