/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/ctl_server.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/testing.h"
#include "vmm/cli/cli.h"

struct server server;
char path[64];
char printed[OUT_MAX], complained[OUT_MAX];
int output = -1;
int (*command)(int argc, char **argv) = cli_ctl;

static char folder[] = "/tmp/ctl_test.XXXXXX";

static void say(int fd, const char *text, size_t step)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i += step) {
		size_t n = step < len - i ? step : len - i;

		if (send(fd, text + i, n, MSG_NOSIGNAL) < 0)
			return;
	}
}

/* A request without a body, or with all of it. */
static bool is_whole(const struct server *s)
{
	const char *head = strstr(s->request, "\r\n\r\n");
	const char *length = strstr(s->request, "Content-Length: ");

	return head &&
	       (!length || strlen(head + 4) >= strtoul(length + 16, NULL, 10));
}

static void *serve(void *arg)
{
	struct server *s = arg;
	int fd = accept(s->listener, NULL, NULL);
	char rest[4096];

	if (fd < 0)
		return NULL;

	while (!s->deaf && !is_whole(s)) {
		ssize_t n = recv(fd, s->request + s->len,
				 sizeof(s->request) - 1 - s->len, 0);

		if (n <= 0)
			break;
		s->len += (size_t)n;
	}
	if (s->answer)
		say(fd, s->answer, s->torn ? 1 : strlen(s->answer));
	for (ssize_t n = 0; s->again && n >= 0; s->sent += (size_t)n) {
		n = send(fd, s->again, strlen(s->again), MSG_NOSIGNAL);
		if (n <= 0)
			break;
	}
	while (s->silent && recv(fd, rest, sizeof(rest), 0) > 0)
		;
	close(fd);
	return NULL;
}

static void take(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	close(fd);
}

int ctl(const char *a, const char *b, const char *c, const char *d)
{
	char *argv[] = {(char *)"--socket", path,      (char *)a,
			(char *)b,          (char *)c, (char *)d};
	int argc = 2, status;
	int saved_out = dup(1), saved_err = dup(2);
	int new_out = output >= 0 ? output : memfd_create("out", 0);
	int new_err = memfd_create("err", 0);

	if (saved_out < 0 || saved_err < 0 || new_out < 0 || new_err < 0)
		fail();
	while (argc < 6 && argv[argc])
		argc++;
	fflush(stdout);
	dup2(new_out, 1);
	dup2(new_err, 2);
	status = command(argc, argv);
	fflush(stdout);
	dup2(saved_out, 1);
	dup2(saved_err, 2);
	close(saved_out);
	close(saved_err);
	if (output >= 0)
		close(output);
	else
		take(new_out, printed, sizeof(printed));
	take(new_err, complained, sizeof(complained));
	return status;
}

int served(const char *a, const char *b, const char *c, const char *d)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	pthread_t thread;
	int status;

	memset(server.request, 0, sizeof(server.request));
	server.len = server.sent = 0;
	unlink(path);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	server.listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (server.listener < 0)
		fail();
	assert_int_equal(bind(server.listener, (struct sockaddr *)&address,
			      sizeof(address)),
			 0);
	assert_int_equal(listen(server.listener, 1), 0);
	assert_int_equal(pthread_create(&thread, NULL, serve, &server), 0);
	status = ctl(a, b, c, d);
	shutdown(server.listener, SHUT_RDWR); /* in case nobody came */
	pthread_join(thread, NULL);
	close(server.listener);
	return status;
}

int answered(const char *answer, const char *a, const char *b)
{
	server.answer = answer;
	return served(a, b, NULL, NULL);
}

int answered_json(const char *status, const char *json, const char *a,
		  const char *b)
{
	static char answer[4096];

	snprintf(answer, sizeof(answer),
		 "HTTP/1.1 %s\r\nContent-Type: application/json\r\n"
		 "Content-Length: %zu\r\n\r\n%s",
		 status, strlen(json), json);
	return answered(answer, a, b);
}

int server_begin(void **state)
{
	(void)state;
	server = (struct server){0};
	command = cli_ctl;
	unlink(path);
	return 0;
}

int server_make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/vm.sock", folder);
	return 0;
}

int server_remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}
