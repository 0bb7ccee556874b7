/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/fake_clock.h"

#include <time.h>

static struct timespec now;
static unsigned reads;
static int64_t booted;
static int tai_offset;

/* The linker's --wrap leads all calls here. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);

int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
	int64_t ns = now.tv_sec * 1000000000 + now.tv_nsec - booted;

	reads++;
	*t = now;
	if (clock == CLOCK_TAI)
		t->tv_sec += tai_offset;
	if (clock == CLOCK_BOOTTIME)
		*t = (struct timespec){.tv_sec = ns / 1000000000,
				       .tv_nsec = ns % 1000000000};
	return 0;
}

void fake_clock_set(int64_t seconds, long nanoseconds)
{
	now = (struct timespec){.tv_sec = seconds, .tv_nsec = nanoseconds};
}

void fake_clock_set_boot(int64_t ns)
{
	booted = ns;
}

void fake_clock_advance_ms(int64_t ms)
{
	int64_t ns = now.tv_sec * 1000000000 + now.tv_nsec + ms * 1000000;

	fake_clock_set(ns / 1000000000, ns % 1000000000);
}

void fake_clock_set_tai(int seconds)
{
	tai_offset = seconds;
}

unsigned fake_clock_reads(void)
{
	return reads;
}
