/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps a Linux guest's CLOCK_REALTIME right, its time and its rate: steps it
 * when the VMM reports a disruption of time through VMClock, and follows the
 * host's clock in between.  Without VMClock, compares it with KVM's PTP clock
 * twenty times a second.  CLOCK_MONOTONIC is not stepped, so a frozen pause is
 * not visible in it.
 *
 *	clock-follow [--once] [--verbose]
 *	clock-follow --pair
 *
 * The latter prints the counter and CLOCK_MONOTONIC_RAW at one instant, for
 * `stasis trace-merge --guest` on the host.
 *
 * Source: Linux, drivers/ptp/ptp_vmclock.c (7.0), ptp_clock.h.  Do not run it
 * together with chronyd or another program that sets the clock.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tools/guest/clock-follow/page.h"
#include "tools/guest/clock-follow/ptp.h"
#include "tools/guest/clock-follow/steer.h"

enum { PERIOD_MS = 50, PERIODS_PER_S = 1000 / PERIOD_MS };

static bool verbose;

static uint64_t counter_now(void)
{
	uint64_t now;

	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(now)::"memory");
	return now;
}

static uint32_t counter_hz(void)
{
	uint64_t hz;

	__asm__("mrs %0, cntfrq_el0" : "=r"(hz));
	return (uint32_t)hz;
}

static int64_t ns_of(const struct timespec *t)
{
	return (int64_t)t->tv_sec * BILLION + t->tv_nsec;
}

/* Be there at once when the guest goes on, whatever else it does.  Without the
 * right to that it is only later. */
static void hurry(void)
{
	const struct sched_param first = {.sched_priority = 1};

	sched_setscheduler(0, SCHED_FIFO, &first);
	mlockall(MCL_CURRENT | MCL_FUTURE);
}

static void tell_step(const struct reading *now)
{
	if (verbose)
		printf("clock-follow: stepped by %lld us\n",
		       (long long)now->ahead_ns / 1000);
	fflush(stdout);
}

/* ------------------------------------------------------------------ VMClock */

static struct reading read_page(const struct page *p, uint32_t hz)
{
	uint64_t before, after;
	struct timespec now;

	/* Again if we were preempted between the two reads. */
	do {
		before = counter_now();
		clock_gettime(CLOCK_REALTIME, &now);
		after = counter_now();
	} while ((after - before) * 2000 > hz);
	return page_reading(p, before + (after - before) / 2, hz, ns_of(&now));
}

static int follow_page(const struct page *p)
{
	const uint32_t hz = counter_hz();
	struct reading now = read_page(p, hz);
	int stepped = steer_step(&now);
	uint64_t late = counter_now() - p->counter;

	if (stepped < 0)
		return -1;
	if (stepped) {
		tell_step(&now);
		now = read_page(p, hz);
	}
	/* How long ago it was that the VMM looked at the clock: just before the
	 * guest went on. */
	if (stepped && verbose)
		printf("clock-follow: stepped within %llu us\n",
		       (unsigned long long)(late * 1000000 / hz));
	fflush(stdout);
	return steer_rate(&now);
}

/* Returns 1 if there is no VMClock with a valid time. */
static int follow_vmclock(bool once)
{
	int fd = open("/dev/vmclock0", O_RDONLY | O_CLOEXEC);
	struct page p;

	if (fd < 0)
		return 1;
	for (;;) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};

		if (pread(fd, &p, sizeof(p), 0) != sizeof(p) ||
		    !page_is_usable(&p)) {
			close(fd);
			return 1;
		}
		if (follow_page(&p))
			return -1;
		if (once)
			return 0;
		poll(&wait, 1, page_notifies(&p) ? -1 : PERIOD_MS);
	}
}

/* ---------------------------------------------------------------------- PTP */

static int follow_ptp(bool once)
{
	const struct timespec period = {.tv_nsec = PERIOD_MS * 1000000L};
	int fd = ptp_open();

	if (fd < 0) {
		fprintf(stderr,
			"clock-follow: this guest has neither "
			"/dev/vmclock0 nor KVM's PTP clock (ptp_kvm)\n");
		return -1;
	}
	for (unsigned n = 0;; n++) {
		struct reading now;
		int stepped;

		if (!ptp_read(fd, &now)) {
			fprintf(stderr, "clock-follow: KVM's PTP clock: %s\n",
				strerror(errno));
			return -1;
		}
		stepped = steer_step(&now);
		if (stepped > 0)
			tell_step(&now);
		/* The kernel's loop learns the rate from these. */
		if (!stepped && n % PERIODS_PER_S == 0)
			stepped = steer_rate(&now);
		if (stepped < 0)
			return -1;
		if (once)
			return 0;
		nanosleep(&period, NULL);
	}
}

/* ------------------------------------------------------------------- traces */

/*
 * Read the clock between two reads of the counter, 100 times; print the clock
 * of the shortest interval and the counter in its middle.
 */
static int print_pair(void)
{
	uint64_t best = UINT64_MAX, counter = 0;
	int64_t ns = 0;

	for (int i = 0; i < 100; i++) {
		uint64_t before = counter_now(), width;
		struct timespec raw;

		clock_gettime(CLOCK_MONOTONIC_RAW, &raw);
		width = counter_now() - before;
		if (width >= best)
			continue;
		best = width;
		counter = before + width / 2;
		ns = ns_of(&raw);
	}
	printf("%llu:%lld\n", (unsigned long long)counter, (long long)ns);
	return 0;
}

int main(int argc, char **argv)
{
	bool once = false;
	int r;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--pair")) {
			return print_pair();
		} else if (!strcmp(argv[i], "--once")) {
			once = true;
		} else if (!strcmp(argv[i], "--verbose")) {
			verbose = true;
		} else {
			fprintf(stderr,
				"usage: clock-follow [--once] [--verbose]\n"
				"       clock-follow --pair\n"
				"Keeps this guest's CLOCK_REALTIME right, "
				"also over pauses and restores;\n"
				"--once: steps it, and ends. --pair: prints "
				"what stasis trace-merge --guest takes.\n");
			return 2;
		}
	}
	hurry();
	r = follow_vmclock(once);
	if (r > 0)
		r = follow_ptp(once);
	return r ? 1 : 0;
}
