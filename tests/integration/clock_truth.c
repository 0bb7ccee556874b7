/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host on which the true time is known, for tests of what VMClock claims: the
 * counter is taken to be exact, and this program is the daemon that disciplines
 * the kernel's clock, well or badly, and always says truthfully how wrong it
 *may be.
 *
 *	clock_truth begin [leap]             "COUNTER TAI": TAI in ns at that
 *	                                     moment; leap: before a leap second
 *	clock_truth keep HOW SECONDS COUNTER TAI    be the daemon
 *	clock_truth check COUNTER TAI OFFSET <LINES  what guest_time bound
 *printed
 *
 * HOW: steady; slew: by 500 ppm, from 20 ms off; lost: off by 490 ppm, and
 * nobody corrects it; set: by an hour, and back; leap: it has one to insert.
 *
 * Linux, Documentation/timers/ and include/uapi/linux/timex.h.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

enum { BILLION = 1000000000, PPM = 65536, TAI = 37 };
/* 2026-06-30 23:55:00 UTC */
#define BEFORE_LEAP 1782863700ll

typedef __int128 wide;

static struct {
	uint64_t counter;
	int64_t tai_ns;
} origin;

static uint64_t counter_now(void)
{
	uint64_t now;

	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(now)::"memory");
	return now;
}

static uint64_t counter_hz(void)
{
	uint64_t hz;

	__asm__("mrs %0, cntfrq_el0" : "=r"(hz));
	return hz;
}

/* True TAI when the counter is at @counter. */
static int64_t truth(uint64_t counter)
{
	return origin.tai_ns + (int64_t)((wide)(counter - origin.counter) *
					 BILLION / counter_hz());
}

/* What CLOCK_TAI is ahead of it. */
static int64_t error_ns(void)
{
	uint64_t before, after;
	struct timespec t;

	do {
		before = counter_now();
		clock_gettime(CLOCK_TAI, &t);
		after = counter_now();
	} while (after - before > counter_hz() / 5000);
	return (int64_t)t.tv_sec * BILLION + t.tv_nsec -
	       truth(before + (after - before) / 2);
}

static int change(struct timex *t)
{
	if (adjtimex(t) >= 0)
		return 0;
	fprintf(stderr, "clock_truth: adjtimex: %s\n", strerror(errno));
	return -1;
}

/* ----------------------------------------------------------------- the daemon
 */

static int set_rate(int64_t ppm)
{
	struct timex t = {
		.modes = ADJ_FREQUENCY | ADJ_TICK,
		.freq = ppm * PPM,
		.tick = 10000,
	};

	return change(&t);
}

/* Says how wrong the clock is at most: 0.1 ms more than it is, and what it may
 * have drifted since. */
static int synchronise(int status)
{
	int64_t error = error_ns();
	struct timex t = {
		.modes = ADJ_STATUS | ADJ_MAXERROR | ADJ_ESTERROR,
		.status = STA_NANO | status,
		.maxerror = (error < 0 ? -error : error) / 1000 + 100,
		.esterror = 50,
	};

	return change(&t);
}

/* The kernel calls the clock unsynchronised then. */
static int step(int64_t ns)
{
	struct timex t = {.modes = ADJ_SETOFFSET | ADJ_NANO};

	t.time.tv_sec = ns / BILLION;
	t.time.tv_usec = ns % BILLION;
	if (t.time.tv_usec < 0) {
		t.time.tv_sec--;
		t.time.tv_usec += BILLION;
	}
	return change(&t);
}

/* Every two minutes it is off by 20 ms, this way and that. */
static int slew(int second)
{
	int64_t error;

	if (second % 120 == 0) {
		if (step(second % 240 ? 20000000 : -20000000) || synchronise(0))
			return -1;
		return set_rate(second % 240 ? -500 : 500);
	}
	error = error_ns();
	if (error > -500000 && error < 500000 && set_rate(0))
		return -1;
	return synchronise(0);
}

static int set(int second)
{
	switch (second % 180) {
	case 60:
		return step(second % 360 == 60 ? 3600ll * BILLION
					       : -3600ll * BILLION);
	case 120:
		return step(-error_ns()) || synchronise(0) ? -1 : 0;
	default:
		return 0;
	}
}

static int keep(const char *how, int seconds)
{
	int leap = strcmp(how, "leap") ? 0 : STA_INS;

	if (step(-error_ns()) || synchronise(leap) ||
	    set_rate(strcmp(how, "lost") ? 0 : 490))
		return -1;
	for (int second = 0; second < seconds; second++) {
		int r = 0;

		if (!strcmp(how, "slew"))
			r = slew(second);
		else if (!strcmp(how, "set"))
			r = set(second);
		else if (!strcmp(how, "steady") && second % 16 == 0)
			r = synchronise(0);
		if (r)
			return -1;
		sleep(1);
	}
	return set_rate(0) || step(-error_ns()) ? -1 : 0;
}

static int begin(int leap)
{
	struct timex tai = {.modes = ADJ_TAI, .constant = TAI};
	struct timespec t = {.tv_sec = BEFORE_LEAP};

	if (change(&tai) || (leap && clock_settime(CLOCK_REALTIME, &t)))
		return -1;
	origin.counter = counter_now();
	clock_gettime(CLOCK_TAI, &t);
	printf("%llu %lld\n", (unsigned long long)origin.counter,
	       (long long)t.tv_sec * BILLION + t.tv_nsec);
	return 0;
}

/* ------------------------------------------------------------------- claims */

/* "looked N bounded N wrong N worst PERCENT off US", of the bound. */
static int check(uint64_t offset)
{
	unsigned looked = 0, bounded = 0, wrong = 0;
	int64_t most = 0, worst = 0;
	char line[256];

	while (fgets(line, sizeof(line), stdin)) {
		const char *words = "guest: bound=";
		uint64_t counter;
		int64_t tai, bound, off;
		char *next;

		if (strncmp(line, words, strlen(words)) != 0)
			continue;
		counter = strtoull(line + strlen(words), &next, 10);
		tai = strtoll(next, &next, 10);
		bound = strtoll(next, &next, 10);
		looked++;
		off = tai - truth(counter + offset);
		off = off < 0 ? -off : off;
		if (bound < 0)
			continue; /* it claims nothing */
		bounded++;
		if (off > bound)
			wrong++;
		if (off > most)
			most = off;
		if (bound && off * 100 / bound > worst)
			worst = off * 100 / bound;
	}
	printf("looked %u bounded %u wrong %u worst %lld off %lld\n", looked,
	       bounded, wrong, (long long)worst, (long long)most / 1000);
	return wrong ? -1 : 0;
}

int main(int argc, char **argv)
{
	int r = -1;

	if (argc >= 2 && !strcmp(argv[1], "begin"))
		return begin(argc > 2) ? 1 : 0;
	if (argc < 5) {
		fprintf(stderr, "clock_truth begin | keep | check: see "
				"clock_truth.c\n");
		return 2;
	}
	origin.counter = strtoull(argv[argc > 5 ? 4 : 2], NULL, 10);
	origin.tai_ns = strtoll(argv[argc > 5 ? 5 : 3], NULL, 10);
	if (!strcmp(argv[1], "keep") && argc == 6)
		r = keep(argv[2], (int)strtol(argv[3], NULL, 10));
	if (!strcmp(argv[1], "check"))
		r = check(strtoull(argv[4], NULL, 10));
	return r ? 1 : 0;
}
