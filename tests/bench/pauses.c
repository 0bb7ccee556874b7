/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pauses a guest, and lets it go on a moment later, with as little work of its
 * own as can be:
 *
 *	pauses SOCKET pause|nothing COUNT AFTER_MS EVERY_MS
 *
 * "nothing" are requests that leave the guest alone.  Where there is one CPU,
 * the guest waits while others work: we do it at once, and not when the guest
 * could go on.
 */
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST(length, body)                                      \
	"PATCH /vm HTTP/1.1\r\nHost: x\r\nContent-Length: " length \
	"\r\n\r\n" body

static const char pause_it[] = REQUEST("18", "{\"state\":\"Paused\"}");
static const char resume_it[] = REQUEST("19", "{\"state\":\"Resumed\"}");

static const char do_nothing[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

static int ask(int fd, const char *request, size_t len)
{
	struct pollfd readable = {.fd = fd, .events = POLLIN};
	char answer[512];
	ssize_t n;

	if (write(fd, request, len) != (ssize_t)len)
		return -1;
	/* A read() that waits is woken by who makes room, too. */
	poll(&readable, 1, -1);
	n = read(fd, answer, sizeof(answer) - 1);
	if (n <= 0)
		return -1;
	answer[n] = '\0';
	if (strstr(answer, " 20"))
		return 0;
	fprintf(stderr, "pauses: %s\n", answer);
	return -1;
}

static void sleep_ms(const char *ms)
{
	usleep((useconds_t)strtoul(ms, NULL, 10) * 1000);
}

static int pause_and_resume(int fd)
{
	if (ask(fd, pause_it, sizeof(pause_it) - 1))
		return -1;
	usleep(20000);
	return ask(fd, resume_it, sizeof(resume_it) - 1);
}

int main(int argc, char **argv)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	struct sched_param first = {.sched_priority = 1};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (argc != 6) {
		fprintf(stderr, "pauses SOCKET pause|nothing COUNT AFTER_MS "
				"EVERY_MS\n");
		return 2;
	}
	snprintf(to.sun_path, sizeof(to.sun_path), "%s", argv[1]);
	if (fd < 0 || sched_setscheduler(0, SCHED_FIFO, &first) ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to))) {
		perror(argv[1]);
		return 1;
	}
	sleep_ms(argv[4]);
	for (unsigned long i = strtoul(argv[3], NULL, 10); i > 0; i--) {
		if (strcmp(argv[2], "pause") != 0
			    ? ask(fd, do_nothing, sizeof(do_nothing) - 1)
			    : pause_and_resume(fd))
			return 1;
		sleep_ms(argv[5]);
	}
	return 0;
}
