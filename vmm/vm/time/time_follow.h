/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps VMClock in step with the host's clock while the guest runs.  Main
 * thread.
 *
 * The kernel tells when its clock is set, also by a leap second, but not when
 * its rate is changed, so that is looked for: after a second at first and after
 * a change, then after twice as long each time, up to a minute.
 */
#pragma once

#include "core/io/loop.h"

struct arch_clock;
struct time_pages;

struct time_follow {
	struct event_loop *loop;
	struct time_pages *pages;
	const struct arch_clock *clock;
	struct event_source timer;
	unsigned wait_s; /* what it was set to */
};

void time_follow_init(struct time_follow *f, struct event_loop *loop,
		      struct time_pages *pages, const struct arch_clock *clock);
void time_follow_fini(struct time_follow *f);

/* The guest runs from now on; it is about to be stopped. */
void time_follow_start(struct time_follow *f);
void time_follow_stop(struct time_follow *f);
