/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's side of the metadata service:
 *
 *	metadata ask COUNT PATH     GET it so often on one connection, with a
 *	                            token; print the time of one
 *	metadata open COUNT PATH    the same, each on a connection of its own
 *	metadata echo HOST:PORT COUNT   a byte there and back, for comparison
 *	metadata flood INTERFACE COUNT  frames for its address that mean nothing
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, FRAME_MAX = 1514 };

static const char service[] = "169.254.169.254";

static _Noreturn void fail(const char *what)
{
	printf("metadata: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int connect_to(const char *host, unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (inet_pton(AF_INET, host, &a.sin_addr) != 1 || fd < 0 ||
	    connect(fd, (struct sockaddr *)&a, sizeof(a)))
		fail(host);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* Send a request and receive all of its reply; returns the body. */
static const char *ask(int fd, const char *request)
{
	static char reply[100000];
	size_t len = 0, whole = 0;
	char *end = NULL;

	if (send(fd, request, strlen(request), 0) != (ssize_t)strlen(request))
		fail("send");
	while (!end || len < whole) {
		ssize_t n = recv(fd, reply + len, sizeof(reply) - 1 - len, 0);

		if (n <= 0)
			fail("recv");
		len += (size_t)n;
		reply[len] = '\0';
		if (end)
			continue;
		end = strstr(reply, "\r\n\r\n");
		if (end) {
			const char *length = strstr(reply, "Content-Length: ");

			if (!length || strncmp(reply, "HTTP/1.1 200", 12) != 0)
				fail(reply);
			whole = (size_t)(end + 4 - reply) +
				strtoul(length + 16, NULL, 10);
		}
	}
	return end + 4;
}

static void say_time(const char *what, uint64_t began, unsigned long count)
{
	printf("metadata: %s takes %llu ns\n", what,
	       (unsigned long long)((now_ns() - began) / (count ? count : 1)));
}

static void ask_often(unsigned long count, const char *path, int once)
{
	char request[512], token[128];
	int fd = connect_to(service, 80);
	uint64_t began;

	snprintf(token, sizeof(token), "%s",
		 ask(fd, "PUT /latest/api/token HTTP/1.1\r\n"
			 "X-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n"));
	snprintf(request, sizeof(request),
		 "GET %s HTTP/1.1\r\nX-aws-ec2-metadata-token: %s\r\n\r\n",
		 path, token);
	began = now_ns();
	for (unsigned long i = 0; i < count; i++) {
		if (once && i) {
			close(fd);
			fd = connect_to(service, 80);
		}
		ask(fd, request);
	}
	say_time(once ? "a request on a connection of its own" : "a request",
		 began, count);
	close(fd);
}

static void echo(char *address, unsigned long count)
{
	char *colon = strchr(address, ':'), byte = 'x';
	uint64_t began;
	int fd;

	if (!colon)
		fail(address);
	*colon = '\0';
	fd = connect_to(address, (unsigned)strtoul(colon + 1, NULL, 10));
	began = now_ns();
	for (unsigned long i = 0; i < count; i++) {
		if (send(fd, &byte, 1, 0) != 1 || recv(fd, &byte, 1, 0) != 1)
			fail("echo");
	}
	say_time("a byte there and back", began, count);
	close(fd);
}

/* ------------------------------------------------------------------- flood */

static uint32_t seed = 1;

static uint32_t any(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 8;
}

/* Any bytes, but for the address; returns the length. */
static size_t make_frame(uint8_t *frame)
{
	static const uint8_t head[] = {0x45, 0};
	size_t len = 42 + any() % (any() % 8 ? 100 : FRAME_MAX - 42);
	unsigned kind = any() % 4;

	for (size_t i = 0; i < len; i++)
		frame[i] = (uint8_t)any();
	frame[12] = 8;
	frame[13] = kind ? 0 : 6;
	inet_pton(AF_INET, service, frame + (kind ? 30 : 38));
	if (kind < 2)
		return len;
	/* Whole packets, and segments for the right port. */
	memcpy(frame + 14, head, sizeof(head));
	frame[16] = (uint8_t)((len - 14) >> 8);
	frame[17] = (uint8_t)(len - 14);
	frame[20] = frame[21] = 0;
	frame[23] = 6;
	frame[36] = 0;
	frame[37] = 80;
	frame[46] = 0x50;
	if (kind == 3) {
		frame[34] = 0;
		frame[47] &= 0x12;
	}
	return len;
}

static void flood(const char *interface, unsigned long count)
{
	static uint8_t frame[BATCH][FRAME_MAX];
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_ifindex = (int)if_nametoindex(interface),
		.sll_halen = 6,
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	uint64_t began = now_ns();

	if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)))
		fail(interface);
	for (unsigned long sent = 0; sent < count;) {
		struct mmsghdr message[BATCH] = {0};
		struct iovec iov[BATCH];
		int n;

		for (unsigned i = 0; i < BATCH; i++) {
			iov[i] = (struct iovec){frame[i], make_frame(frame[i])};
			message[i].msg_hdr.msg_iov = &iov[i];
			message[i].msg_hdr.msg_iovlen = 1;
		}
		n = sendmmsg(fd, message, BATCH, 0);
		if (n > 0)
			sent += (unsigned)n;
		else if (errno != ENOBUFS)
			fail("sendmmsg");
	}
	say_time("a frame", began, count);
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "ask"))
		ask_often(strtoul(argv[2], NULL, 10), argv[3], 0);
	else if (argc == 4 && !strcmp(argv[1], "open"))
		ask_often(strtoul(argv[2], NULL, 10), argv[3], 1);
	else if (argc == 4 && !strcmp(argv[1], "echo"))
		echo(argv[2], strtoul(argv[3], NULL, 10));
	else if (argc == 4 && !strcmp(argv[1], "flood"))
		flood(argv[2], strtoul(argv[3], NULL, 10));
	else
		return 2;
	return 0;
}
