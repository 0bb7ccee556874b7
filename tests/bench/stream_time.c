// SPDX-License-Identifier: Apache-2.0
// What a stream between a guest and its host costs.
//   stream_time serve ADDRESS...   on the host: does what the guest asks for
//   stream_time ask ADDRESS NAME   in the guest: prints "guest: NAME-WAY=NS",
// for 64 KiB to and from the host, and for a byte there and one back.
// Addresses: tcp:10.0.0.1:7000, vsock:2:7000 and unix:/PATH.
#include <arpa/inet.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 64 << 10, CHUNKS = 512, TRIPS = 500 };

static char data[CHUNK];

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_vm vm;
	struct sockaddr_un un;
};

static void must(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

// A socket of @text's kind, whose address is then in @a.
static int make_socket(const char *text, union address *a, socklen_t *len)
{
	const char *name = strchr(text, ':'), *end = strrchr(text, ':');
	unsigned long port;
	char host[64];
	int fd;

	memset(a, 0, sizeof(*a));
	must(name != NULL, text);
	port = strtoul(end + 1, NULL, 10);
	name++;
	if (!strncmp(text, "tcp:", 4) && end > name) {
		snprintf(host, sizeof(host), "%.*s", (int)(end - name), name);
		a->in.sin_family = AF_INET;
		a->in.sin_port = htons((uint16_t)port);
		must(inet_pton(AF_INET, host, &a->in.sin_addr) == 1, text);
		*len = sizeof(a->in);
	} else if (!strncmp(text, "vsock:", 6) && end > name) {
		a->vm.svm_family = AF_VSOCK;
		a->vm.svm_cid = (unsigned)strtoul(name, NULL, 10);
		a->vm.svm_port = (unsigned)port;
		*len = sizeof(a->vm);
	} else {
		must(!strncmp(text, "unix:", 5), text);
		a->un.sun_family = AF_UNIX;
		snprintf(a->un.sun_path, sizeof(a->un.sun_path), "%s",
			 text + 5);
		*len = sizeof(a->un);
	}
	fd = socket(a->any.sa_family, SOCK_STREAM, 0);
	if (fd < 0)
		must(0, text);
	return fd;
}

static int send_all(int fd)
{
	for (int i = 0; i < CHUNKS; i++)
		if (send(fd, data, CHUNK, MSG_NOSIGNAL) != CHUNK)
			return 0;
	return 1;
}

static int take_all(int fd)
{
	for (size_t left = (size_t)CHUNK * CHUNKS; left;) {
		ssize_t got = read(fd, data, left < CHUNK ? left : CHUNK);

		if (got <= 0)
			return 0;
		left -= (size_t)got;
	}
	return 1;
}

static int take_byte(int fd)
{
	return read(fd, data, 1) == 1;
}

static int send_byte(int fd, char byte)
{
	return send(fd, &byte, 1, MSG_NOSIGNAL) == 1;
}

static void serve(const char *text)
{
	union address a;
	socklen_t len;
	int listener = make_socket(text, &a, &len), fd;

	must(!bind(listener, &a.any, len) && !listen(listener, 1), text);
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		int good = 1;

		while (good && take_byte(fd)) {
			if (data[0] == 'S')
				good = take_all(fd) && send_byte(fd, 'D');
			else if (data[0] == 'R')
				good = send_all(fd);
			else
				good = send_byte(fd, 'E');
		}
		close(fd);
	}
	must(0, "accept");
}

static void tell(const char *name, const char *way, double began, int count)
{
	printf("guest: %s-%s=%.0f\n", name, way, (now_ns() - began) / count);
	fflush(stdout);
}

static void ask(const char *text, const char *name)
{
	union address a;
	socklen_t len;
	int fd = make_socket(text, &a, &len);
	double began = 0;

	must(!connect(fd, &a.any, len), text);
	// Twice: the first time windows grow.
	for (int i = 0; i < 2; i++) {
		began = now_ns();
		must(send_byte(fd, 'S') && send_all(fd) && take_byte(fd), text);
	}
	tell(name, "out", began, CHUNKS);
	for (int i = 0; i < 2; i++) {
		began = now_ns();
		must(send_byte(fd, 'R') && take_all(fd), text);
	}
	tell(name, "in", began, CHUNKS);
	began = now_ns();
	for (int i = 0; i < TRIPS; i++)
		must(send_byte(fd, 'E') && take_byte(fd), text);
	tell(name, "trip", began, TRIPS);
}

int main(int argc, char **argv)
{
	must(argc > 2, "stream_time serve ADDRESS... | ask ADDRESS NAME");
	if (!strcmp(argv[1], "ask")) {
		ask(argv[2], argv[3]);
		return 0;
	}
	for (int i = 3; i < argc; i++) {
		if (!fork()) {
			serve(argv[i]);
			return 1;
		}
	}
	serve(argv[2]);
	return 0;
}
