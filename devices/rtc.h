/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ARM PL031 real-time clock that shows the host's wall clock, or a time with
 * a constant distance to it (struct realtime), so it is right after any pause.
 * If the guest sets the time, the difference to the host's is kept.
 *
 * The alarm interrupts when the displayed time reaches the match register.  It
 * follows the host's wall clock, too: an alarm does not wait for the end of a
 * pause, and moves when the host's clock is set.  There is no timer until the
 * guest enables the interrupt.
 *
 * Registers: ARM DDI 0224.  They are accessed on vCPU threads; all other
 * functions are called on the main thread.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/io/loop.h"
#include "core/machine/irq_line.h"
#include "core/machine/mmio_bus.h"
#include "core/thread/lock.h"

/* Of all real-time clocks, for metrics_add(). */
extern struct metrics_group rtc_metrics;

struct rtc {
	struct event_loop *loop;
	struct irq_line irq;
	int wake_fd; /* eventfd: the main thread is to call rtc_look(), or the
		      * guest was interrupted for the alarm */
	struct event_source alarm; /* a timer; fd -1 until the first alarm */

	struct device_lock lock; /* also for creating the timer */
	GUARDED_BY(device_lock)
	int64_t offset_ns; /* what the guest is told minus the host's time */
	GUARDED_BY(device_lock)
	uint32_t shift; /* guest's seconds minus those it is told, mod 2^32 */
	GUARDED_BY(device_lock) uint32_t load, match, mask;
	/*
	 * Seconds since 1970, of the time it is told, at which the displayed
	 * time reaches the match register; 0: never.
	 */
	GUARDED_BY(device_lock) uint64_t due;
	/* What the timer is armed for; 0: it is not armed. */
	GUARDED_BY(device_lock) uint64_t armed;
	GUARDED_BY(device_lock) bool raised; /* the raw interrupt status */
	GUARDED_BY(device_lock)
	bool told; /* the guest was interrupted for it */
	/* Logged that no timer can be created. */
	GUARDED_BY(device_lock) bool warned;
};

extern const struct mmio_ops rtc_mmio_ops;

struct snap;

/* @rtc is zeroed; @loop and @wake_fd outlive it. */
void rtc_init(struct rtc *rtc, struct event_loop *loop, struct irq_line irq,
	      int wake_fd);
/* The guest is about to start: it is told the host's time plus @offset_ns. */
void rtc_start(struct rtc *rtc, int64_t offset_ns);
/* The guest may have set an alarm. */
void rtc_look(struct rtc *rtc);
/* Has the alarm's interrupt come, and the guest not yet seen to it? */
bool rtc_has_alarm(struct rtc *rtc);
/* Does nothing if @rtc was only zeroed. */
void rtc_fini(struct rtc *rtc);

/* Save or load, while no vCPU runs. */
void rtc_state(struct rtc *rtc, struct snap *s);
/* The same for the alarm, after rtc_state(); in snapshots since format 1.2.
 * After a load, it rings from rtc_start() on. */
void rtc_alarm_state(struct rtc *rtc, struct snap *s);
