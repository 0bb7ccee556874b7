/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients of the control API that ask and ask again:
 *
 *	api_load SOCKET times CLIENTS SECONDS	each on a connection of its own,
 *a request every 10 ms; prints how many there were, and how long the answers
 *						took: "requests N median_us N
 *p99_us N worst_us N" api_load SOCKET many COUNT		one after the
 *other, now and then on a new connection; prints "requests N"
 *
 * Fails at an answer that is neither 200, 204 nor 400, or takes ten seconds.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS_MAX = 10, TIMES_MAX = 200000, ANSWER_MAX = 32 << 10 };
enum { PAUSE_US = 10000, PATIENCE_MS = 10000, ROUNDS_A_CONNECTION = 5 };

static const char *const requests[] = {
	"GET / HTTP/1.1\r\n\r\n",
	"GET /vm/config HTTP/1.1\r\n\r\n",
	"GET /version HTTP/1.1\r\n\r\n",
	"GET /metrics HTTP/1.1\r\n\r\n",
	("PUT /machine-config HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"),
	("PATCH /vm HTTP/1.1\r\nContent-Length: "
	 "19\r\n\r\n{\"state\":\"Resumed\"}"),
	"GET /nothing HTTP/1.1\r\n\r\n",
	"GET /machine-config HTTP/1.1\r\n\r\n",
};

struct client {
	int fd;
	unsigned number; /* of its next request */
	bool waits;
	uint64_t sent_us, next_us;
	char answer[ANSWER_MAX];
	size_t len;
};

static struct client clients[CLIENTS_MAX];
static uint32_t times[TIMES_MAX];
static unsigned time_count;
static struct sockaddr_un name = {.sun_family = AF_UNIX};

static _Noreturn void fail(const char *what, const char *why)
{
	printf("api_load: %s: %s\n", what, why);
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void reach(struct client *c)
{
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&name, sizeof(name)))
		fail("connect", strerror(errno));
}

static void ask(struct client *c)
{
	const char *text =
		requests[c->number++ % (sizeof(requests) / sizeof(*requests))];

	c->sent_us = now_us();
	if (write(c->fd, text, strlen(text)) != (ssize_t)strlen(text))
		fail("write", strerror(errno));
	c->len = 0;
	c->waits = true;
}

/* How long the first answer is, if all of it is there; else 0. */
static size_t first_len(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");
	const char *length = strstr(answer, "Content-Length: ");
	size_t len;

	if (!end)
		return 0;
	len = (size_t)(end - answer) + 4;
	if (length && length < end)
		len += strtoul(length + 16, NULL, 10);
	return strlen(answer) >= len ? len : 0;
}

/* Take the first answer out of what has come, if it is whole. */
static bool take_answer(struct client *c)
{
	size_t len = first_len(c->answer);

	if (!len)
		return false;
	if (strncmp(c->answer, "HTTP/1.1 200", 12) != 0 &&
	    strncmp(c->answer, "HTTP/1.1 204", 12) != 0 &&
	    strncmp(c->answer, "HTTP/1.1 400", 12) != 0)
		fail("answer", c->answer);
	c->len -= len;
	memmove(c->answer, c->answer + len, c->len + 1);
	return true;
}

static void read_some(struct client *c)
{
	ssize_t n = read(c->fd, c->answer + c->len, ANSWER_MAX - 1 - c->len);

	if (n <= 0)
		fail("no answer", n ? strerror(errno) : "it was closed");
	c->len += (size_t)n;
	c->answer[c->len] = '\0';
}

static void listen_to(struct client *c)
{
	read_some(c);
	if (!take_answer(c))
		return;
	c->waits = false;
	c->next_us = now_us() + PAUSE_US;
	if (time_count < TIMES_MAX)
		times[time_count++] = (uint32_t)(now_us() - c->sent_us);
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void take_turns(unsigned count, uint64_t end_us)
{
	struct pollfd fds[CLIENTS_MAX];

	while (now_us() < end_us) {
		for (unsigned i = 0; i < count; i++) {
			struct client *c = &clients[i];

			if (!c->waits && now_us() >= c->next_us)
				ask(c);
			if (c->waits &&
			    now_us() - c->sent_us > PATIENCE_MS * 1000ull)
				fail("no answer", "for ten seconds");
			fds[i] = (struct pollfd){.fd = c->waits ? c->fd : -1,
						 .events = POLLIN};
		}
		poll(fds, count, 1);
		for (unsigned i = 0; i < count; i++) {
			if (fds[i].revents)
				listen_to(&clients[i]);
		}
	}
}

static void measure(unsigned count, unsigned seconds)
{
	for (unsigned i = 0; i < count; i++) {
		reach(&clients[i]);
		clients[i].number = i;
		clients[i].next_us = now_us() + PAUSE_US * i / count;
	}
	take_turns(count, now_us() + seconds * 1000000ull);
	if (!time_count)
		fail("no answer", "to any");
	qsort(times, time_count, sizeof(*times), by_size);
	printf("requests %u median_us %u p99_us %u worst_us %u\n", time_count,
	       times[time_count / 2],
	       times[(unsigned long)time_count * 99 / 100],
	       times[time_count - 1]);
}

/* One of each kind, ahead of the answers; gives how many. */
static unsigned ask_all(struct client *c)
{
	static char text[4096];
	const unsigned kinds = sizeof(requests) / sizeof(*requests);
	unsigned answers = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < kinds; i++)
		strcat(text, requests[i]);
	if (write(c->fd, text, strlen(text)) != (ssize_t)strlen(text))
		fail("write", strerror(errno));
	while (answers < kinds) {
		struct pollfd p = {.fd = c->fd, .events = POLLIN};

		if (poll(&p, 1, PATIENCE_MS) <= 0)
			fail("no answer", "for ten seconds");
		read_some(c);
		while (take_answer(c))
			answers++;
	}
	return kinds;
}

static void ask_many(unsigned count)
{
	struct client *c = &clients[0];
	unsigned asked = 0;

	for (unsigned round = 0; asked < count; round++) {
		if (round % ROUNDS_A_CONNECTION == 0) {
			if (round)
				close(c->fd);
			reach(c);
		}
		asked += ask_all(c);
	}
	printf("requests %u\n", asked);
}

int main(int argc, char **argv)
{
	unsigned count = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;

	if (argc < 4 || !count)
		fail("usage", "api_load SOCKET times|many COUNT [SECONDS]");
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", argv[1]);
	if (!strcmp(argv[2], "many"))
		ask_many(count);
	else if (count <= CLIENTS_MAX && argc > 4)
		measure(count, (unsigned)strtoul(argv[4], NULL, 10));
	else
		fail("usage", "times CLIENTS SECONDS, of at most 10 clients");
	return 0;
}
