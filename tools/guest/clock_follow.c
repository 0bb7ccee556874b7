/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps a Linux guest's CLOCK_REALTIME right when the guest is paused or moved:
 * steps it when the VMM reports a disruption of time through VMClock.  Without
 * VMClock, compares it with KVM's PTP clock twenty times a second.
 * CLOCK_MONOTONIC does not change, so a frozen pause is not visible in it.
 *
 *	clock-follow [--once] [--verbose]
 *	clock-follow --pair
 *
 * The latter prints the counter and CLOCK_MONOTONIC_RAW at one instant, for
 * `stasis trace-offset --guest` on the host.
 *
 * Source: Linux, include/uapi/linux/vmclock-abi.h and drivers/ptp/ptp_vmclock.c
 * (7.0), ptp_clock.h.  Nothing starts it by default.  Do not run it together
 * with chronyd or another program that sets the clock.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/ptp_clock.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

enum { PERIOD_MS = 50, BILLION = 1000000000, STEP_NS = 1000000 };

static bool verbose;

/* The part of VMClock's page that we use.  It is little-endian, as arm64 Linux.
 */
struct page {
	uint32_t magic, size;
	uint16_t version;
	uint8_t counter_id, time_type;
	uint32_t seq;
	uint64_t disruption, flags;
	uint8_t pad[2], status, smearing;
	int16_t tai_offset;
	uint8_t leap, period_shift;
	uint64_t counter, period;
	uint64_t period_error[2];
	uint64_t time_sec, time_frac;
	uint64_t time_error[2], generation;
};

_Static_assert(sizeof(struct page) == 0x70, "as Linux has it");

enum { MAGIC = 0x4b4c4356, COUNTER_ARM_VCNT = 0, PAGE_UTC = 0, PAGE_TAI = 1 };
enum { HAS_TAI_OFFSET = 1 << 0, HAS_NOTIFICATION = 1 << 9 };

static uint64_t counter_now(void)
{
	uint64_t now;

	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(now)::"memory");
	return now;
}

/* -------------------------------------------------------------------- steps */

static int64_t ns_of(const struct timespec *t)
{
	return (int64_t)t->tv_sec * BILLION + t->tv_nsec;
}

/* Add @ns to CLOCK_REALTIME, unless that is less than a millisecond. */
static int step(int64_t ns)
{
	struct timex change = {.modes = ADJ_SETOFFSET | ADJ_NANO};

	if (ns > -STEP_NS && ns < STEP_NS)
		return 0;
	change.time.tv_sec = ns / BILLION;
	change.time.tv_usec = ns % BILLION; /* nanoseconds: ADJ_NANO */
	if (change.time.tv_usec < 0) {
		change.time.tv_sec--;
		change.time.tv_usec += BILLION;
	}
	if (adjtimex(&change) < 0) {
		fprintf(stderr, "clock-follow: cannot set the clock: %s\n",
			strerror(errno));
		return -1;
	}
	if (verbose)
		printf("clock-follow: stepped by %lld us\n",
		       (long long)ns / 1000);
	fflush(stdout);
	return 0;
}

/* ------------------------------------------------------------------ VMClock */

static bool page_is_usable(const struct page *p)
{
	return p->magic == MAGIC && p->version == 1 &&
	       p->counter_id == COUNTER_ARM_VCNT && p->period &&
	       (p->time_type == PAGE_UTC ||
		(p->time_type == PAGE_TAI && p->flags & HAS_TAI_OFFSET));
}

/* UTC in nanoseconds when the counter is at @counter. */
static int64_t page_time(const struct page *p, uint64_t counter)
{
	/* The period is in 2^-(64 + shift) s, the product may have 128 bits. */
	unsigned __int128 since =
		(unsigned __int128)(counter - p->counter) * p->period >>
		p->period_shift;
	unsigned __int128 fraction = since + p->time_frac; /* in 2^-64 s */
	int64_t sec = (int64_t)(p->time_sec + (uint64_t)(fraction >> 64));

	if (p->time_type == PAGE_TAI)
		sec -= p->tai_offset;
	return sec * BILLION +
	       (int64_t)((unsigned __int128)(uint64_t)fraction * BILLION >> 64);
}

static int follow_page(const struct page *p)
{
	uint64_t before, after;
	struct timespec now;

	/* Retry if we were preempted between the two reads. */
	do {
		before = counter_now();
		clock_gettime(CLOCK_REALTIME, &now);
		after = counter_now();
	} while (page_time(p, after) - page_time(p, before) > STEP_NS / 2);
	return step(page_time(p, before) - ns_of(&now));
}

/* Returns 1 if there is no VMClock with a valid time. */
static int follow_vmclock(bool once)
{
	int fd = open("/dev/vmclock0", O_RDONLY | O_CLOEXEC);
	uint64_t seen = 0;
	bool first = true;
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
		if ((first || p.disruption != seen) && follow_page(&p))
			return -1;
		seen = p.disruption;
		first = false;
		if (once)
			return 0;
		poll(&wait, 1, p.flags & HAS_NOTIFICATION ? -1 : PERIOD_MS);
	}
}

/* ---------------------------------------------------------------------- PTP */

static int open_kvm_ptp(void)
{
	char path[64], name[64];

	for (int i = 0; i < 8; i++) {
		ssize_t n = -1;
		int fd;

		snprintf(path, sizeof(path), "/sys/class/ptp/ptp%d/clock_name",
			 i);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0) {
			n = read(fd, name, sizeof(name));
			close(fd);
		}
		if (n < 3 || strncmp(name, "KVM", 3) != 0)
			continue;
		snprintf(path, sizeof(path), "/dev/ptp%d", i);
		return open(path, O_RDWR | O_CLOEXEC);
	}
	return -1;
}

static int64_t ns_of_ptp(const struct ptp_clock_time *t)
{
	return (int64_t)t->sec * BILLION + t->nsec;
}

static int follow_ptp(bool once)
{
	const struct timespec period = {.tv_nsec = PERIOD_MS * 1000000L};
	int fd = open_kvm_ptp();

	if (fd < 0) {
		fprintf(stderr,
			"clock-follow: this guest has neither "
			"/dev/vmclock0 nor KVM's PTP clock (ptp_kvm)\n");
		return -1;
	}
	for (;;) {
		struct ptp_sys_offset_precise pair = {0};

		if (ioctl(fd, PTP_SYS_OFFSET_PRECISE, &pair)) {
			fprintf(stderr, "clock-follow: KVM's PTP clock: %s\n",
				strerror(errno));
			return -1;
		}
		if (step(ns_of_ptp(&pair.device) -
			 ns_of_ptp(&pair.sys_realtime)))
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
				"Steps this guest's CLOCK_REALTIME when its "
				"time was disrupted;\nor prints what stasis "
				"trace-offset --guest takes.\n");
			return 2;
		}
	}
	r = follow_vmclock(once);
	if (r > 0)
		r = follow_ptp(once);
	return r ? 1 : 0;
}
