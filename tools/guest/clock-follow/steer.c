/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/guest/clock-follow/steer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/timex.h>

enum {
	NOMINAL_TICK = 10000,    /* us, of which the kernel adds 100/s */
	TICK_RATE = 100 * 65536, /* one us of it, in 2^-16 ppm */
	FREQ_MAX = 500 * 65536,  /* what .freq may be */
	PLL_CONSTANT = 2,        /* a sixteenth of the difference per second */
	TOO_LITTLE_NS = 2000,    /* to slew: microseconds are its unit */
};

static int refuse(const char *what)
{
	fprintf(stderr,
		"clock-follow: cannot set the clock's %s: %s; it needs root, "
		"or "
		"CAP_SYS_TIME\n",
		what, strerror(errno));
	return -1;
}

int steer_step(const struct reading *now)
{
	struct timex change = {.modes = ADJ_SETOFFSET | ADJ_NANO};
	int64_t ns = now->ahead_ns;

	if (ns > -STEP_NS && ns < STEP_NS)
		return 0;
	change.time.tv_sec = ns / BILLION;
	change.time.tv_usec = ns % BILLION; /* nanoseconds: ADJ_NANO */
	if (change.time.tv_usec < 0) {
		change.time.tv_sec--;
		change.time.tv_usec += BILLION;
	}
	return adjtimex(&change) < 0 ? refuse("time") : 1;
}

static int status_of(const struct reading *now)
{
	int status = STA_NANO;

	if (!now->is_bounded)
		status |= STA_UNSYNC;
	if (!now->has_rate)
		status |= STA_PLL;
	if (now->leap)
		status |= now->leap > 0 ? STA_INS : STA_DEL;
	return status;
}

/* .freq has a limit; the rest is done by .tick. */
static void set_rate(struct timex *change, int64_t rate)
{
	int64_t ticks = rate / TICK_RATE;

	if (rate >= -FREQ_MAX && rate <= FREQ_MAX)
		ticks = 0;
	change->modes |= ADJ_FREQUENCY | ADJ_TICK;
	change->tick = NOMINAL_TICK + (long)ticks;
	change->freq = (long)(rate - ticks * TICK_RATE);
}

int steer_rate(const struct reading *now)
{
	struct timex change = {
		.modes = ADJ_STATUS | ADJ_MAXERROR | ADJ_ESTERROR,
		.status = status_of(now),
		.maxerror = (long)now->max_error_us,
		.esterror = (long)now->est_error_us,
	};
	struct timex slew = {
		.modes = ADJ_OFFSET_SINGLESHOT,
		.offset = (long)(now->ahead_ns / 1000),
	};
	struct timex tai = {.modes = ADJ_TAI, .constant = now->tai};

	if (now->has_rate) {
		set_rate(&change, now->rate);
	} else {
		change.modes |= ADJ_OFFSET | ADJ_TIMECONST | ADJ_NANO;
		change.offset = (long)now->ahead_ns;
		change.constant = PLL_CONSTANT;
	}
	if (adjtimex(&change) < 0)
		return refuse("rate");
	if (now->has_rate &&
	    (now->ahead_ns >= TOO_LITTLE_NS || now->ahead_ns <= -TOO_LITTLE_NS))
		adjtimex(&slew);
	if (now->tai)
		adjtimex(&tai);
	return 0;
}
