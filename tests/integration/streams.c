/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams that are checked byte for byte.  `streams echo ADDRESS` sends back
 * what it gets, and closes its direction when the other is closed; `streams
 * check ADDRESS COUNT BYTES` opens so many at once, sends different
 * pseudo-random bytes over each while it compares what comes back, closes its
 * direction first, and wants the rest and then the end.
 *
 * Addresses: tcp:10.0.0.1:7000, vsock:2:52 and unix:/PATH; unix:/PATH:52 asks
 * a VMM for port 52 of its guest.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { STREAMS_MAX = 512, CHUNK = 32 << 10, SECONDS_MAX = 120 };

struct stream {
	uint64_t sent, got;
	size_t at, len; /* echo: what is not sent back yet */
	uint8_t *data;
	int fd;
	bool in_ended, out_ended;
};

static struct stream streams[STREAMS_MAX];
static struct pollfd fds[STREAMS_MAX + 1];

static _Noreturn void fail(const char *what)
{
	printf("streams: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---------------------------------------------------------------- addresses */

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_vm vm;
	struct sockaddr_un un;
};

/* @text is cut into pieces; *port is what a VMM is asked for, or NULL. */
static socklen_t parse(char *text, union address *a, const char **port)
{
	char *kind = strsep(&text, ":"), *host = strsep(&text, ":");

	memset(a, 0, sizeof(*a));
	*port = NULL;
	if (host && !strcmp(kind, "unix")) {
		a->un.sun_family = AF_UNIX;
		snprintf(a->un.sun_path, sizeof(a->un.sun_path), "%s", host);
		*port = text;
		return sizeof(a->un);
	}
	if (!text)
		fail("not an address");
	if (!strcmp(kind, "vsock")) {
		a->vm.svm_family = AF_VSOCK;
		a->vm.svm_cid = (unsigned)strtoul(host, NULL, 10);
		a->vm.svm_port = (unsigned)strtoul(text, NULL, 10);
		return sizeof(a->vm);
	}
	a->in.sin_family = AF_INET;
	a->in.sin_port = htons((uint16_t)strtoul(text, NULL, 10));
	if (inet_pton(AF_INET, host, &a->in.sin_addr) != 1)
		fail(host);
	return sizeof(a->in);
}

static void ask_vmm(int fd, const char *port)
{
	char line[64], c = 0;
	size_t len = 0;
	int n = snprintf(line, sizeof(line), "CONNECT %s\n", port);

	if (write(fd, line, (size_t)n) != n)
		fail("CONNECT");
	while (c != '\n' && len < sizeof(line)) {
		if (read(fd, &c, 1) != 1)
			fail("the answer to CONNECT");
		line[len++] = c;
	}
	if (strncmp(line, "OK ", 3) != 0)
		fail("not OK");
}

/* --------------------------------------------------------------- the bytes */

static uint64_t word(uint64_t seed, uint64_t index)
{
	uint64_t z = (seed << 40) + (index + 1) * 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void fill(uint8_t *to, uint64_t seed, uint64_t offset, size_t len)
{
	for (size_t i = 0; i < len;) {
		uint64_t w = word(seed, (offset + i) / 8);
		size_t from = (offset + i) % 8, n = 8 - from;

		if (n > len - i)
			n = len - i;
		memcpy(to + i, (uint8_t *)&w + from, n);
		i += n;
	}
}

/* ------------------------------------------------------------------- check */

static void send_some(struct stream *s, uint64_t seed, uint64_t bytes)
{
	uint8_t data[CHUNK];
	size_t len = sizeof(data);
	ssize_t n;

	if (len > bytes - s->sent)
		len = bytes - s->sent;
	fill(data, seed, s->sent, len);
	n = send(s->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN)
		fail("send");
	if (n > 0)
		s->sent += (uint64_t)n;
	if (s->sent == bytes) {
		s->out_ended = true;
		shutdown(s->fd, SHUT_WR);
	}
}

static void receive_some(struct stream *s, uint64_t seed, uint64_t bytes)
{
	uint8_t data[CHUNK], wanted[CHUNK];
	ssize_t n = recv(s->fd, data, sizeof(data), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0)
		fail("recv");
	if (!n) {
		if (s->got != bytes) {
			printf("streams: stream %llu ended after %llu bytes\n",
			       (unsigned long long)seed,
			       (unsigned long long)s->got);
			exit(1);
		}
		s->in_ended = true;
		return;
	}
	fill(wanted, seed, s->got, (size_t)n);
	if (memcmp(data, wanted, (size_t)n) != 0) {
		printf("streams: stream %llu differs after %llu bytes\n",
		       (unsigned long long)seed, (unsigned long long)s->got);
		exit(1);
	}
	s->got += (uint64_t)n;
}

static unsigned wait_for_streams(unsigned count)
{
	unsigned open = 0;

	for (unsigned i = 0; i < count; i++) {
		struct stream *s = &streams[i];

		fds[i].fd = s->in_ended && s->out_ended ? -1 : s->fd;
		fds[i].events = (short)((s->in_ended ? 0 : POLLIN) |
					(s->out_ended ? 0 : POLLOUT));
		open += fds[i].fd >= 0;
	}
	if (open && poll(fds, count, SECONDS_MAX * 1000) <= 0)
		fail("nothing happens");
	return open;
}

static void check(char *address, unsigned count, uint64_t bytes)
{
	struct timespec a, b;
	const char *port;
	union address to;
	socklen_t len = parse(address, &to, &port);

	clock_gettime(CLOCK_MONOTONIC, &a);
	for (unsigned i = 0; i < count; i++) {
		streams[i].fd =
			socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (streams[i].fd < 0 || connect(streams[i].fd, &to.any, len))
			fail("connect");
		if (port)
			ask_vmm(streams[i].fd, port);
	}
	while (wait_for_streams(count)) {
		for (unsigned i = 0; i < count; i++) {
			if (fds[i].revents & (POLLIN | POLLHUP | POLLERR) &&
			    !streams[i].in_ended)
				receive_some(&streams[i], i, bytes);
			if (fds[i].revents & POLLOUT && !streams[i].out_ended)
				send_some(&streams[i], i, bytes);
		}
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("streams: %u of %llu bytes in %lld ms\n", count,
	       (unsigned long long)bytes,
	       (b.tv_sec - a.tv_sec) * 1000ll +
		       (b.tv_nsec - a.tv_nsec) / 1000000);
}

/* -------------------------------------------------------------------- echo */

static void echo_one(struct stream *s, short events)
{
	ssize_t n;

	if (!s->len && !s->in_ended && events & (POLLIN | POLLHUP | POLLERR)) {
		n = recv(s->fd, s->data, CHUNK, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		s->at = 0;
		s->len = n > 0 ? (size_t)n : 0;
		s->in_ended = n <= 0;
	}
	if (s->len) {
		n = send(s->fd, s->data + s->at, s->len,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN) {
			s->len = 0;
			s->in_ended = true;
		} else if (n > 0) {
			s->at += (size_t)n;
			s->len -= (size_t)n;
		}
	}
	if (s->in_ended && !s->len) {
		shutdown(s->fd, SHUT_WR);
		close(s->fd);
		free(s->data);
		s->fd = -1;
	}
}

static void accept_one(int fd)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		if (streams[i].fd >= 0)
			continue;
		streams[i] = (struct stream){
			.fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC),
			.data = malloc(CHUNK),
		};
		return;
	}
}

static _Noreturn void echo(char *address)
{
	const char *port;
	union address at;
	socklen_t len = parse(address, &at, &port);
	int one = 1, fd = socket(at.any.sa_family, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, &at.any, len) || listen(fd, STREAMS_MAX))
		fail("listen");
	printf("streams: listening\n");
	fflush(stdout);
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		streams[i].fd = -1;
	for (;;) {
		for (unsigned i = 0; i < STREAMS_MAX; i++) {
			fds[i].fd = streams[i].fd;
			fds[i].events = streams[i].len ? POLLOUT : POLLIN;
		}
		fds[STREAMS_MAX] = (struct pollfd){.fd = fd, .events = POLLIN};
		poll(fds, STREAMS_MAX + 1, -1);
		for (unsigned i = 0; i < STREAMS_MAX; i++) {
			if (fds[i].fd >= 0 && fds[i].revents)
				echo_one(&streams[i], fds[i].revents);
		}
		if (fds[STREAMS_MAX].revents & POLLIN)
			accept_one(fd);
	}
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && !strcmp(argv[1], "echo"))
		echo(argv[2]);
	if (argc == 5 && !strcmp(argv[1], "check")) {
		unsigned count = (unsigned)strtoul(argv[3], NULL, 10);

		if (count > STREAMS_MAX)
			return 2;
		check(argv[2], count, strtoull(argv[4], NULL, 10));
		return 0;
	}
	return 2;
}
