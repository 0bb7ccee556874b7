// SPDX-License-Identifier: Apache-2.0
// What the control API costs, with a client that does as little as possible.
//
//	api_time first COUNT stasis ...	CPU time of the process until its first
//					answer has arrived, the least of COUNT
//	api_time trip COUNT stasis ...	wall time of a GET / on a connection
//					that is kept, mean of COUNT
//	api_time trip COUNT --		the same of a server that answers
//					without looking: what sockets alone
//					cost
//	api_time load COUNT FOLDER stasis ...
//					wall time of PUT /snapshot/load, with
//					resume, in a process that waits for it,
//					the least of COUNT
//
// Prints microseconds.  It adds --api-sock and --ready-fd to the command.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 32 };

static const char get[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
static struct sockaddr_un name = {.sun_family = AF_UNIX,
				  .sun_path = "api_time.sock"};

__attribute__((noreturn)) static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double ns_of(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t))
		fail("clock_gettime");
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void become(char **command, int ready)
{
	char number[16], *arguments[ARGUMENTS_MAX];
	char api_sock[] = "--api-sock", ready_fd[] = "--ready-fd";
	char *more[] = {api_sock, name.sun_path, ready_fd, number, NULL};
	int null = open("/dev/null", O_RDWR), n = 0;

	snprintf(number, sizeof(number), "%d", ready);
	for (; command[n] && n < ARGUMENTS_MAX - 5; n++)
		arguments[n] = command[n];
	memcpy(arguments + n, more, sizeof(more));
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	execvp(arguments[0], arguments);
	perror(arguments[0]);
	_exit(127);
}

// The least a server on an epoll loop can do.
static void serve(int ready)
{
	static const char answer[] =
		"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\n{}";
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), fd;
	struct epoll_event event = {.events = EPOLLIN};
	int loop = epoll_create1(0);
	char request[4096];

	if (listener < 0 || loop < 0 ||
	    bind(listener, (struct sockaddr *)&name, sizeof(name)) ||
	    listen(listener, 1) || write(ready, "", 1) != 1)
		_exit(1);
	fd = accept(listener, NULL, NULL);
	if (fd < 0)
		_exit(1);
	epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
	while (epoll_wait(loop, &event, 1, -1) == 1 &&
	       recv(fd, request, sizeof(request), 0) > 0)
		(void)!send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
	_exit(0);
}

static pid_t start(char **command)
{
	int ready[2];
	char byte;
	pid_t child;

	unlink(name.sun_path);
	if (pipe(ready))
		fail("pipe");
	child = fork();
	if (child == 0) {
		close(ready[0]);
		if (strcmp(command[0], "--") != 0)
			become(command, ready[1]);
		serve(ready[1]);
	}
	close(ready[1]);
	if (child < 0 || read(ready[0], &byte, 1) != 1) {
		fprintf(stderr, "api_time: %s did not get ready\n", command[0]);
		exit(1);
	}
	close(ready[0]);
	return child;
}

static int dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (fd < 0)
		fail("socket");
	if (connect(fd, (struct sockaddr *)&name, sizeof(name)))
		fail("connect");
	return fd;
}

static void request(int fd, const char *text, size_t len, const char *status)
{
	char answer[4096];
	ssize_t n;

	if (send(fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
		fail("send");
	n = recv(fd, answer, sizeof(answer), 0);
	if (n < 12 || memcmp(answer + 9, status, 3) != 0) {
		fprintf(stderr, "api_time: not an answer: %.*s\n",
			n < 0 ? 0 : (int)n, answer);
		exit(1);
	}
}

static void ask(int fd)
{
	request(fd, get, sizeof(get) - 1, "200");
}

static void end(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	unlink(name.sun_path);
}

static double first(int count, char **command)
{
	double least = -1;

	for (int i = 0; i < count; i++) {
		pid_t child = start(command);
		clockid_t clock;
		double used;

		ask(dial());
		if (clock_getcpuclockid(child, &clock))
			fail("clock_getcpuclockid");
		used = ns_of(clock);
		if (least < 0 || used < least)
			least = used;
		end(child);
	}
	return least;
}

static double trip(int count, char **command)
{
	pid_t child = start(command);
	int fd = dial();
	double began;

	ask(fd);
	began = ns_of(CLOCK_MONOTONIC);
	for (int i = 0; i < count; i++)
		ask(fd);
	began = ns_of(CLOCK_MONOTONIC) - began;
	end(child);
	return began / count;
}

static double load(int count, const char *folder, char **command)
{
	char body[1000], text[2000];
	double least = -1;
	size_t len;

	snprintf(body, sizeof(body),
		 "{\"snapshot_path\":\"%s/state\",\"mem_backend\":"
		 "{\"backend_type\":\"File\",\"backend_path\":"
		 "\"%s/memory\"},\"resume_vm\":true}",
		 folder, folder);
	len = (size_t)snprintf(text, sizeof(text),
			       "PUT /snapshot/load HTTP/1.1\r\n"
			       "Content-Length: %zu\r\n\r\n%s",
			       strlen(body), body);
	for (int i = 0; i < count; i++) {
		pid_t child = start(command);
		int fd = dial();
		double began;

		ask(fd);
		began = ns_of(CLOCK_MONOTONIC);
		request(fd, text, len, "204");
		began = ns_of(CLOCK_MONOTONIC) - began;
		if (least < 0 || began < least)
			least = began;
		close(fd);
		/* The guest ends by itself, and what it had is tidied up. */
		waitpid(child, NULL, 0);
	}
	return least;
}

static double measure(int count, char **argv)
{
	if (!strcmp(argv[1], "first"))
		return first(count, argv + 3);
	if (!strcmp(argv[1], "load") && argv[4])
		return load(count, argv[3], argv + 4);
	return trip(count, argv + 3);
}

int main(int argc, char **argv)
{
	int count = argc > 3 ? (int)strtol(argv[2], NULL, 10) : 0;

	if (count <= 0) {
		fprintf(stderr,
			"usage: api_time first|trip COUNT COMMAND...\n"
			"       api_time load COUNT FOLDER COMMAND...\n");
		return 2;
	}
	printf("%.1f\n", measure(count, argv) / 1000);
	return 0;
}
