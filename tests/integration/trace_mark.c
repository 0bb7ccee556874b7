/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace_mark SIDE PHASE N: writes N marks to the kernel's trace, each with the
 * counter just before it, and then each one's number with the counters before
 * and after it to standard output: mark=SIDE:PHASE:NUMBER:BEFORE:AFTER.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MARKS_MAX = 64 };

static uint64_t counter_now(void)
{
	uint64_t now;

	__asm__ volatile("isb\n\tmrs %0, cntvct_el0\n\tisb"
			 : "=r"(now)::"memory");
	return now;
}

int main(int argc, char **argv)
{
	int fd = open("/sys/kernel/tracing/trace_marker", O_WRONLY);
	long n = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
	uint64_t before[MARKS_MAX], after[MARKS_MAX];
	char text[64];

	if (fd < 0 || n < 1 || n > MARKS_MAX)
		return 1;
	for (int i = 0; i < n; i++) {
		int len = snprintf(text, sizeof(text), "mark=%s:%s:%d", argv[1],
				   argv[2], i);

		before[i] = counter_now();
		if (write(fd, text, (size_t)len) < len)
			return 1;
		after[i] = counter_now();
	}
	for (int i = 0; i < n; i++)
		printf("marked=%s:%s:%d:%llu:%llu\n", argv[1], argv[2], i,
		       (unsigned long long)before[i],
		       (unsigned long long)after[i]);
	return 0;
}
