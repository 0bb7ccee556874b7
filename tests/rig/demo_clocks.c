/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clocks of the demo's guest.  For each line it reads it does one thing:
 *
 *	arm SECONDS	set a timer, and tell when it rings how long that was
 *	now		tell the counter, CLOCK_MONOTONIC and CLOCK_REALTIME
 *
 * Times are in milliseconds.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static long long ms_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

static long long counter_ms(void)
{
	unsigned long long count, hz;

	__asm__ volatile("isb\n\tmrs %0, cntvct_el0\n\tmrs %1, cntfrq_el0"
			 : "=r"(count), "=r"(hz));
	return (long long)(count * 1000 / hz);
}

static long seconds; /* of the one timer there is */

static void *ring(void *argument)
{
	struct timespec span = {.tv_sec = seconds};
	long long began = ms_of(CLOCK_MONOTONIC);

	(void)argument;
	clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL);
	printf("clocks: rang=%lld\n", ms_of(CLOCK_MONOTONIC) - began);
	fflush(stdout);
	return NULL;
}

int main(void)
{
	char line[80];

	while (fgets(line, sizeof(line), stdin)) {
		pthread_t thread;

		if (!strncmp(line, "arm ", 4)) {
			seconds = strtol(line + 4, NULL, 10);
			pthread_create(&thread, NULL, ring, NULL);
			printf("clocks: armed=1\n");
		} else if (!strncmp(line, "now", 3)) {
			printf("clocks: now=%lld %lld %lld\n", counter_ms(),
			       ms_of(CLOCK_MONOTONIC), ms_of(CLOCK_REALTIME));
		}
		fflush(stdout);
	}
	return 0;
}
