/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host, its oscillator, its kernel's clock and the daemon that disciplines
 * it, and a guest that reads VMClock's page: simulated, step by step.  Only the
 * host's simulation knows what time it is.
 *
 * Who is linked with this needs --wrap=adjtimex.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/timex.h>

#include "arch/arch.h"
#include "vmm/vm/time/time_pages.h"

typedef __int128 wide;

enum { PPM = 1 << 16, BILLION = 1000000000, HZ = 62500000 };

struct world_host {
	wide true_ns;    /* TAI since 1970 */
	wide clock_ns;   /* the kernel's CLOCK_TAI */
	wide parts;      /* of the counter: 10^-18 ticks */
	wide clock_rest; /* of clock_ns, below a nanosecond */
	int64_t ppb;     /* the oscillator runs so much too fast */
	int64_t slew;    /* what the daemon adds to the right rate, 2^-16 ppm */
	bool slews_aside;   /* not by its rate: adjtime() */
	bool undisciplined; /* nobody corrects the oscillator */
	bool refuses;
	struct timex kernel;
	int state;
	/* The clock is set once the kernel has told the first time, or before
	 * it tells the second time. */
	bool spoilt_after, mended_before;
	unsigned asked;
};

extern struct world_host host;
extern struct arch_clock guest;
extern struct time_pages pages;
extern unsigned raised;    /* interrupts */
extern uint64_t refreshes; /* how often the page was brought up to date */

int set_up_time(void **state);
uint64_t any(uint64_t below); /* a random number */

/* ----------------------------------------------------------------- the host */

/* One that is right to @error, and whose oscillator runs too fast by @ppb. */
void boot_host(int64_t ppb, wide error);
void pass_ms(unsigned ms);
void show_clocks(void); /* after host.kernel or host.clock_ns was changed */
wide error_ns(void);    /* of its clock */
wide absolute(wide x);
void synchronise(void); /* what a daemon says: how wrong it is at most */
void set_clock(wide by_ns);
void set_rate(int64_t to);
void slew(int64_t ppm); /* until it is right */

/* ---------------------------------------------------------------- the guest */

enum {
	SOON = 3 << 1,
	HAS_RATE_EST = 1 << 3,
	HAS_RATE_MAX = 1 << 4,
	HAS_EST = 1 << 5,
	HAS_MAX = 1 << 6
};

uint64_t get(unsigned offset, unsigned len); /* from the page */
bool has(unsigned flag);
uint64_t guest_counter(void);
/* What it takes for the time now, and how far that may be off. */
wide guest_tai(wide *bound);
/* Fails the test if it is off by more than that. */
void look(void);
/* It runs, looks, and the page is kept up to date, as time_follow.c does. */
void run_s(unsigned seconds);
void refresh(bool was_set);
void never_refresh(void);
/* It goes on with its counter at @at, or with @offset. */
void resume(uint64_t at);
void resume_with(uint64_t offset);
void set_pages(void); /* those of another process */
