/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's half of tests of guest time:
 *
 *	clock_host counter             its counter, and how many of that are 1 s
 *	clock_host raw                 its CLOCK_MONOTONIC_RAW in ns
 *	clock_host minus A B           A - B as counters count: wrapping, signed
 *	clock_host cycle SOCKET N      N times: pause, wait a little, resume
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int counter(void)
{
	uint64_t now, hz;

	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(now)::"memory");
	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(hz));
	printf("%llu %llu\n", (unsigned long long)now, (unsigned long long)hz);
	return 0;
}

static int raw(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	printf("%lld\n", (long long)t.tv_sec * 1000000000 + t.tv_nsec);
	return 0;
}

static int minus(const char *a, const char *b)
{
	uint64_t difference = strtoull(a, NULL, 10) - strtoull(b, NULL, 10);

	printf("%lld\n", (long long)difference);
	return 0;
}

/* PATCH /vm with @body on a kept connection; 0 if it was done. */
static int patch(int fd, const char *body)
{
	char text[512];
	int n = snprintf(text, sizeof(text),
			 "PATCH /vm HTTP/1.1\r\nHost: x\r\nContent-Length: "
			 "%zu\r\n\r\n%s",
			 strlen(body), body);
	ssize_t got;

	if (write(fd, text, (size_t)n) != n)
		return -1;
	got = read(fd, text, sizeof(text) - 1);
	if (got <= 0)
		return -1;
	text[got] = '\0';
	if (strstr(text, " 204 "))
		return 0;
	fprintf(stderr, "%s: %s\n", body, text);
	return -1;
}

static int cycle(const char *path, int n)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	unsigned seed = 1;

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to))) {
		perror(path);
		return 1;
	}
	for (int i = 0; i < n; i++) {
		if (patch(fd, "{\"state\":\"Paused\"}"))
			return 1;
		usleep(rand_r(&seed) % 2000);
		if (patch(fd, "{\"state\":\"Resumed\"}"))
			return 1;
		usleep(rand_r(&seed) % 2000);
	}
	printf("%d cycles\n", n);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "counter"))
		return counter();
	if (argc == 2 && !strcmp(argv[1], "raw"))
		return raw();
	if (argc == 4 && !strcmp(argv[1], "minus"))
		return minus(argv[2], argv[3]);
	if (argc == 4 && !strcmp(argv[1], "cycle"))
		return cycle(argv[2], (int)strtol(argv[3], NULL, 10));
	fprintf(stderr,
		"clock_host counter | raw | minus A B | cycle SOCKET N\n");
	return 2;
}
