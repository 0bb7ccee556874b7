/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a Linux guest's clocks say of each other, told for tests:
 *
 *	guest_time lag        of CLOCK_REALTIME behind KVM's PTP clock, us; and
 *	                      of VMClock's PTP clock (TAI) before it, if there
 *	guest_time within     is PTP's counter between two looks at it? 1: yes
 *	guest_time follow     the next time it is wrong by a second: how many ms
 *	                      until it is right to 20 ms; for each such time
 *	guest_time bound N    what VMClock's page says at a value of the
 *counter, N times, 7 s apart: that value, TAI in ns, and how far that may
 *be off; -1 if it does not say
 *
 * Linux, include/uapi/linux/ptp_clock.h and vmclock-abi.h.
 */
#include <fcntl.h>
#include <linux/ptp_clock.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 20, PERIOD_US = 2000, LOOK_S = 7 };

static int open_ptp(const char *wanted)
{
	char path[64], name[64];

	for (int i = 0; i < 8; i++) {
		ssize_t n;
		int fd;

		snprintf(path, sizeof(path), "/sys/class/ptp/ptp%d/clock_name",
			 i);
		fd = open(path, O_RDONLY);
		if (fd < 0)
			continue;
		n = read(fd, name, sizeof(name) - 1);
		close(fd);
		name[n > 0 ? n : 0] = '\0';
		snprintf(path, sizeof(path), "/dev/ptp%d", i);
		if (!strncmp(name, wanted, strlen(wanted)))
			return open(path, O_RDWR);
	}
	return -1;
}

static int64_t ns_of(const struct ptp_clock_time *t)
{
	return (int64_t)t->sec * 1000000000 + t->nsec;
}

/* The clock behind @fd minus CLOCK_REALTIME, at one value of the counter. */
static bool lag_of(int fd, int64_t *ns)
{
	struct ptp_sys_offset_precise pair = {0};

	if (ioctl(fd, PTP_SYS_OFFSET_PRECISE, &pair))
		return false;
	*ns = ns_of(&pair.device) - ns_of(&pair.sys_realtime);
	return true;
}

static int64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int lag(void)
{
	int kvm = open_ptp("KVM"), vmclock = open_ptp("vmclock");
	int64_t of_kvm = 0, of_vmclock;

	if (lag_of(kvm, &of_kvm))
		printf("guest: lag=%lld\n", (long long)of_kvm / 1000);
	/* Nobody steps the clock in between. */
	if (lag_of(vmclock, &of_vmclock))
		printf("guest: tai=%lld\n",
		       (long long)(of_vmclock - of_kvm) / 1000);
	return 0;
}

/* KVM subtracts the guest's offset from what it gives by the hypercall, or the
 * cross-timestamp would lie outside. */
static int within(void)
{
	int fd = open_ptp("KVM");
	int good = 0;

	for (int i = 0; i < TRIES; i++) {
		struct ptp_sys_offset_precise pair = {0};
		int64_t before = now_ns(CLOCK_MONOTONIC_RAW), at;

		if (ioctl(fd, PTP_SYS_OFFSET_PRECISE, &pair))
			break;
		at = ns_of(&pair.sys_monoraw);
		good += at >= before && at <= now_ns(CLOCK_MONOTONIC_RAW);
	}
	printf("guest: within=%d\n", good == TRIES);
	return 0;
}

static int follow(void)
{
	int fd = open_ptp("KVM");
	int64_t wrong_since = 0, ns;

	printf("guest: following\n");
	fflush(stdout);
	for (;;) {
		int64_t now = now_ns(CLOCK_MONOTONIC);

		if (!lag_of(fd, &ns))
			return 1;
		if (llabs(ns) > 1000000000 && !wrong_since)
			wrong_since = now;
		if (llabs(ns) < 20000000 && wrong_since) {
			printf("guest: followed=%lld\n",
			       (long long)(now - wrong_since) / 1000000);
			fflush(stdout);
			wrong_since = 0;
		}
		usleep(PERIOD_US);
	}
}

/* ------------------------------------------------------------------ VMClock */

static uint64_t field(const uint8_t *page, unsigned at)
{
	uint64_t value;

	memcpy(&value, page + at, sizeof(value));
	return value;
}

/* @rate for each of @ticks, in ns. */
static int64_t grown(const uint8_t *page, uint64_t rate, uint64_t ticks)
{
	unsigned __int128 parts = (unsigned __int128)rate * ticks >> page[0x27];

	return (int64_t)((parts >> 32) * 1000000000 >> 32);
}

static int bound(int count)
{
	int fd = open("/dev/vmclock0", O_RDONLY);
	uint8_t page[0x70];

	while (count--) {
		uint64_t now, ticks;
		int64_t tai, may_be_off = -1;

		if (pread(fd, page, sizeof(page), 0) != sizeof(page))
			return 1;
		__asm__ volatile("isb\n\tmrs %0, cntvct_el0"
				 : "=r"(now)::"memory");
		ticks = now - field(page, 0x28);
		tai = (int64_t)field(page, 0x48) * 1000000000 +
		      (int64_t)((unsigned __int128)field(page, 0x50) *
					1000000000 >>
				64) +
		      grown(page, field(page, 0x30), ticks);
		if (field(page, 0x18) & 1 << 6)
			may_be_off = (int64_t)field(page, 0x60) +
				     grown(page, field(page, 0x40), ticks);
		printf("guest: bound=%llu %lld %lld\n", (unsigned long long)now,
		       (long long)tai, (long long)may_be_off);
		fflush(stdout);
		sleep(LOOK_S);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "bound"))
		return bound((int)strtol(argv[2], NULL, 10));
	if (argc == 2 && !strcmp(argv[1], "lag"))
		return lag();
	if (argc == 2 && !strcmp(argv[1], "within"))
		return within();
	if (argc == 2 && !strcmp(argv[1], "follow"))
		return follow();
	fprintf(stderr, "guest_time lag | within | follow | bound N\n");
	return 2;
}
