/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ARM PL031 real-time clock that shows the host's wall clock, so it is
 * right after any pause.  What a guest sets it to is kept as a difference.
 *
 * Its alarm interrupts when the time that it shows reaches the match register.
 * That follows the host's wall clock, too: through pauses, which an alarm does
 * not wait for, and when the clock is set.  There is no timer until the guest
 * enables the interrupt.
 *
 * Registers: ARM DDI 0224.  They are accessed on vCPU threads; everything else
 * is called on the main thread.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/io/loop.h"
#include "core/machine/irq_line.h"
#include "core/machine/mmio_bus.h"

struct rtc {
	struct event_loop *loop;
	struct irq_line irq;
	struct event_source alarm; /* a timer; fd -1 until it is needed */

	pthread_mutex_t lock; /* guards the rest, and adding the timer */
	uint32_t shift;       /* guest's seconds minus the host's, mod 2^32 */
	uint32_t load, match, mask;
	uint64_t due;   /* host's seconds since 1970 at which the time that is
			 * shown reaches the match register; 0: never */
	uint64_t armed; /* what the timer is set to; 0: it is not */
	bool raised;    /* the raw interrupt status */
	bool told;      /* and the guest was interrupted for it */
	bool warned;    /* that there can be no timer */
};

extern const struct mmio_ops rtc_mmio_ops;

struct snap;

/* @rtc is zeroed. */
void rtc_init(struct rtc *rtc, struct event_loop *loop, struct irq_line irq);
/* Nothing happens if it was only zeroed. */
void rtc_fini(struct rtc *rtc);

/* While no vCPU runs. */
void rtc_state(struct rtc *rtc, struct snap *s);
/* Its alarm; after the rest, since format 1.2. */
void rtc_alarm_state(struct rtc *rtc, struct snap *s);
