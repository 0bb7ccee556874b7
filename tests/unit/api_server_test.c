/* SPDX-License-Identifier: Apache-2.0 */
/* How connections to the API behave, and its socket. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/now.h"
#include "tests/unit/api_world.h"
#include "tests/unit/testing.h"
#include "vmm/api/server.h"

#define PUT HTTP_METHOD_PUT
#define PAT HTTP_METHOD_PATCH

/* ------------------------------------------------------------- connections */

static int client(struct world *w)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(name.sun_path, sizeof(name.sun_path), "%s", w->socket);
	if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof(name)))
		fail_msg("cannot connect");
	api_world_run(w);
	return fd;
}

static void say(struct world *w, int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
	api_world_run(w);
}

/* What came so far. */
static char *hear(int fd)
{
	static char text[200000];
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, text + len, sizeof(text) - 1 - len, 0)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	return text;
}

static bool closed(int fd)
{
	char byte;

	return recv(fd, &byte, 1, 0) == 0;
}

static void replies_look_like_firecrackers(void **state)
{
	struct world *w = *state;
	int fd = client(w);

	say(w, fd, "GET /version HTTP/1.1\r\n\r\n");
	assert_string_equal(hear(fd), "HTTP/1.1 200 \r\n"
				      "Server: Firecracker API\r\n"
				      "Connection: keep-alive\r\n"
				      "Content-Type: application/json\r\n"
				      "Content-Length: 32\r\n\r\n"
				      "{\"firecracker_version\":\"1.17.0\"}");
	say(w, fd, "PUT /serial HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}");
	assert_string_equal(hear(fd), "HTTP/1.1 204 \r\n"
				      "Server: Firecracker API\r\n"
				      "Connection: keep-alive\r\n\r\n");
	close(fd);
	api_world_run(w);
}

/* By HTTP/1.0, and by who says so; what follows is not read. */
static void who_wants_one_answer_gets_one(void **state)
{
	static const char *const requests[] = {
		"GET /version HTTP/1.0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
		"GET /version HTTP/1.1\r\nConnection: close\r\n\r\n"
		"GET / HTTP/1.1\r\n\r\n",
	};
	static const char head[] = "HTTP/1.1 200 \r\n"
				   "Server: Firecracker API\r\n"
				   "Connection: close\r\n";
	struct world *w = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(requests); i++) {
		int fd = client(w);
		const char *text;

		say(w, fd, requests[i]);
		text = hear(fd);
		assert_memory_equal(text, head, sizeof(head) - 1);
		assert_contains(text, "firecracker_version");
		/* Once, and that was it. */
		assert_null(strstr(text + 1, "HTTP/1.1"));
		assert_true(closed(fd));
		close(fd);
	}
}

static void who_asks_to_go_on_is_told_to(void **state)
{
	struct world *w = *state;
	int fd = client(w);

	say(w, fd,
	    "PUT /serial HTTP/1.1\r\nExpect: 100-continue\r\n"
	    "Content-Length: 2\r\n\r\n");
	assert_memory_equal(hear(fd), "HTTP/1.1 100 \r\n", 15);
	say(w, fd, "{}");
	assert_memory_equal(hear(fd), "HTTP/1.1 204 \r\n", 15);
	close(fd);
	api_world_run(w);
}

static void a_refused_stream_is_told_and_closed(void **state)
{
	struct world *w = *state;
	int fd = client(w);

	say(w, fd, "PUT /x HTTP/1.1\r\nContent-Length: 1001\r\n\r\nabc");
	assert_contains(hear(fd),
			"{ \"error\": \"Request payload with size 1001 is "
			"larger than the limit of 1000 allowed by server.\\n"
			"All previous unanswered requests will be dropped.\" "
			"}");
	/* It may go on sending, so that it gets to read why. */
	say(w, fd, "more of it");
	shutdown(fd, SHUT_WR);
	api_world_run(w);
	assert_true(closed(fd));
	close(fd);
}

static void the_eleventh_is_turned_away(void **state)
{
	struct world *w = *state;
	int fd[API_CONNECTIONS_MAX], extra;

	for (unsigned i = 0; i < API_CONNECTIONS_MAX; i++)
		fd[i] = client(w);
	extra = client(w);
	assert_contains(hear(extra), "HTTP/1.1 503 ");
	assert_true(closed(extra));
	close(extra);
	/* A place that is free again is given away again. */
	close(fd[3]);
	api_world_run(w);
	fd[3] = client(w);
	say(w, fd[3], "GET / HTTP/1.1\r\n\r\n");
	assert_contains(hear(fd[3]), "200");
	for (unsigned i = 0; i < API_CONNECTIONS_MAX; i++)
		close(fd[i]);
	api_world_run(w);
	for (unsigned i = 0; i < API_CONNECTIONS_MAX; i++)
		assert_null(w->api->conn[i]);
}

static void who_finds_no_descriptor_is_turned_away(void **state)
{
	struct world *w = *state;
	struct rlimit before, none;
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(name.sun_path, sizeof(name.sun_path), "%s", w->socket);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = (rlim_t)fd + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof(name)))
		fail_msg("cannot connect");
	api_world_run(w);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_contains(hear(fd), "HTTP/1.1 503 ");
	assert_true(closed(fd));
	close(fd);
}

static void who_cannot_even_be_turned_away_wakes_nobody(void **state)
{
	struct world *w = *state;
	struct rlimit before, none;
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unsigned wakes = 0;
	uint64_t began;

	snprintf(name.sun_path, sizeof(name.sun_path), "%s", w->socket);
	if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof(name)))
		fail_msg("cannot connect");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){3, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	began = api_world_now_ms();
	for (unsigned ms = 0; ms < 250; ms++)
		wakes += api_world_poll(w, 1);
	/* Some in 100 ms, and this machine may be slow. */
	assert_in_range(wakes, 2, 10 + (api_world_now_ms() - began) / 40);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	for (unsigned ms = 0; ms < 120; ms++)
		api_world_poll(w, 1);
	say(w, fd, "GET / HTTP/1.1\r\n\r\n");
	assert_contains(hear(fd), "200");
	close(fd);
	api_world_run(w);
}

static void a_burst_is_answered_in_order(void **state)
{
	struct world *w = *state;
	int fd = client(w);
	unsigned replies = 0;

	for (unsigned i = 0; i < 40; i++)
		say(w, fd,
		    "GET /version HTTP/1.1\r\n\r\n"
		    "GET /nothing HTTP/1.1\r\n\r\n");
	for (const char *at = hear(fd); (at = strstr(at, "HTTP/1.1 ")); at++)
		assert_memory_equal(at + 9, replies++ % 2 ? "400" : "200", 3);
	assert_int_equal(replies, 80);
	close(fd);
	api_world_run(w);
}

static void who_never_reads_costs_little(void **state)
{
	static const char request[] = "GET /vm/config HTTP/1.1\r\n\r\n";
	struct world *w = *state;
	int fd = client(w), other = client(w);
	struct api_conn *c = w->api->conn[0];

	for (unsigned i = 0; i < 20000; i++) {
		if (send(fd, request, sizeof(request) - 1, 0) < 0)
			break;
		if (i % 100 == 0)
			api_world_run(w);
	}
	api_world_run(w);
	assert_int_equal(errno, EAGAIN);
	assert_in_range(c->out.len, 1, 2 * API_OUTPUT_HIGH);
	say(w, other, "GET / HTTP/1.1\r\n\r\n");
	assert_contains(hear(other), "200");
	/* Once it reads, it gets all the rest. */
	for (unsigned i = 0; i < 2000 && (c->out.len || c->in_len); i++) {
		hear(fd);
		api_world_run(w);
	}
	assert_int_equal(c->out.len, 0);
	close(fd);
	close(other);
	api_world_run(w);
}

static void half_a_request_keeps_nobody_waiting(void **state)
{
	struct world *w = *state;
	int fd = client(w), other = client(w);

	say(w, fd, "PUT /machine-config HTTP/1.1\r\nContent-Le");
	say(w, other, "GET / HTTP/1.1\r\n\r\n");
	assert_contains(hear(other), "200");
	close(fd);
	close(other);
	api_world_run(w);
}

static void events_are_streamed(void **state)
{
	struct world *w = *state;
	int fd = client(w);
	const char *text;

	say(w, fd, "GET /events HTTP/1.1\r\n\r\n");
	text = hear(fd);
	assert_contains(text, "Transfer-Encoding: chunked\r\n");
	assert_contains(text, "\"event\":\"state\",\"state\":\"Not started\","
			      "\"dropped\":0}\n\r\n");
	api_world_boot(w);
	assert_contains(hear(fd), "{\"seq\":1,");
	api_world_do(w, PAT, "/vm", "{\"state\":\"Paused\"}");
	assert_contains(hear(fd), "\"event\":\"paused\"");
	/* Pausing twice is one pause. */
	api_world_do(w, PAT, "/vm", "{\"state\":\"Paused\"}");
	assert_string_equal(hear(fd), "");
	api_world_do(w, PAT, "/vm", "{\"state\":\"Resumed\"}");
	assert_contains(hear(fd), "\"event\":\"resumed\"");
	close(fd);
	api_world_run(w);
	assert_null(w->api->conn[0]);
}

static void who_reads_no_events_is_told_how_many_it_lost(void **state)
{
	struct world *w = *state;
	int fd = client(w), size = 4096;
	char last[64] = "";
	const char *at;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	say(w, fd, "GET /events HTTP/1.1\r\n\r\n");
	api_world_boot(w);
	for (unsigned i = 0; i < 3000; i++) {
		api_world_do(w, PAT, "/vm", "{\"state\":\"Paused\"}");
		api_world_do(w, PAT, "/vm", "{\"state\":\"Resumed\"}");
	}
	assert_in_range(w->api->conn[0]->out.len, 1, 2 * API_OUTPUT_HIGH);
	assert_true(w->api->conn[0]->dropped > 0);
	for (unsigned i = 0; i < 2000 && w->api->conn[0]->out.len; i++) {
		hear(fd);
		api_world_run(w);
	}
	hear(fd);
	api_world_do(w, PAT, "/vm", "{\"state\":\"Paused\"}");
	at = hear(fd);
	snprintf(last, sizeof(last), "\"dropped\":%llu}",
		 (unsigned long long)w->api->conn[0]->dropped);
	assert_contains(at, last);
	close(fd);
	api_world_run(w);
}

static void there_is_always_room_for_orders(void **state)
{
	struct world *w = *state;
	int fd[API_STREAMS_MAX], extra;

	for (unsigned i = 0; i < API_STREAMS_MAX; i++) {
		fd[i] = client(w);
		say(w, fd[i], "GET /events HTTP/1.1\r\n\r\n");
	}
	extra = client(w);
	say(w, extra, "GET /events HTTP/1.1\r\n\r\n");
	assert_contains(hear(extra), "4 clients read events already");
	say(w, extra, "GET / HTTP/1.1\r\n\r\n");
	assert_contains(hear(extra), "200");
	close(extra);
	for (unsigned i = 0; i < API_STREAMS_MAX; i++)
		close(fd[i]);
	api_world_run(w);
}

static void stop_is_answered_and_ends_it(void **state)
{
	static const char body[] = "{\"action_type\":\"Stop\"}";
	struct world *w = *state;
	int fd = client(w);
	char text[200];

	api_world_boot(w);
	snprintf(text, sizeof(text),
		 "PUT /actions HTTP/1.1\r\nContent-Length: %zu\r\n\r\n%s",
		 strlen(body), body);
	say(w, fd, text);
	assert_true(w->ended);
	assert_int_equal(w->status, 0);
	assert_contains(hear(fd), "204");
	close(fd);
}

/* -------------------------------------------------------------- the socket */

static void a_socket_that_is_there_is_left_alone(void **state)
{
	struct world *w = *state;
	struct api_config config = {
		.loop = &w->loop,
		.instance = &w->instance,
		.socket_path = w->socket,
		.listen_fd = -1,
		.ready_fd = -1,
	};

	assert_null(api_start(&config, &w->e));
	assert_contains(w->e.text, "Failed to open the API socket at: ");
	assert_contains(w->e.text, "already used");
	config.socket_path = "/no/such/folder/s";
	assert_null(api_start(&config, &w->e));
	assert_contains(w->e.text, "No such file");
	/* The first one works on. */
	close(client(w));
	api_world_run(w);
}

static void who_is_not_listening_is_not_adopted(void **state)
{
	struct world *w = *state;
	struct api_config config = {
		.loop = &w->loop,
		.instance = &w->instance,
		.listen_fd = w->tick.fd,
		.ready_fd = -1,
	};

	assert_null(api_start(&config, &w->e));
	assert_contains(w->e.text, "is not a Unix socket that listens");
}

/* Serve anew with these times of a jailer; the numbers of its start. */
static void start_with(struct world *w, const struct api_config *times,
		       unsigned long long *us, unsigned long long *cpu_us)
{
	struct api_config config = *times;
	char text[16384];

	api_stop(w->api);
	config.loop = &w->loop;
	config.instance = &w->instance;
	config.socket_path = w->socket;
	config.listen_fd = config.ready_fd = -1;
	config.body_max = API_BODY_MAX_DEFAULT;
	w->api = api_start(&config, &w->e);
	assert_non_null(w->api);
	assert_int_equal(api_world_call(w, HTTP_METHOD_GET, "/metrics", NULL,
					text, sizeof(text)),
			 200);
	*us = strtoull(strstr(text, "\"process_startup_time_us\":") + 26, NULL,
		       10);
	*cpu_us =
		strtoull(strstr(text, "\"process_startup_time_cpu_us\":") + 30,
			 NULL, 10);
}

static void a_jailers_times_are_counted(void **state)
{
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC) / 1000;
	unsigned long long us, cpu_us;

	/* It execs the VMM: the CPU clock goes on. */
	start_with(*state,
		   &(struct api_config){.start_us = now - 5000000,
					.start_cpu_us = 1},
		   &us, &cpu_us);
	assert_in_range(us, 5000000, 65000000);
	assert_in_range(cpu_us, 1, 60000000);
	/* It forks the VMM: the CPU clock began at 0. */
	start_with(*state, &(struct api_config){.parent_cpu_us = 900000000},
		   &us, &cpu_us);
	assert_in_range(cpu_us, 900000001, 960000000);
	/* These cannot be times of this host. */
	start_with(*state,
		   &(struct api_config){.start_us = UINT64_MAX,
					.start_cpu_us = UINT64_MAX},
		   &us, &cpu_us);
	assert_int_equal(us, 0);
	assert_int_equal(cpu_us, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		API_TEST(replies_look_like_firecrackers),
		API_TEST(who_wants_one_answer_gets_one),
		API_TEST(who_asks_to_go_on_is_told_to),
		API_TEST(a_refused_stream_is_told_and_closed),
		API_TEST(the_eleventh_is_turned_away),
		API_TEST(who_finds_no_descriptor_is_turned_away),
		API_TEST(who_cannot_even_be_turned_away_wakes_nobody),
		API_TEST(a_burst_is_answered_in_order),
		API_TEST(who_never_reads_costs_little),
		API_TEST(half_a_request_keeps_nobody_waiting),
		API_TEST(events_are_streamed),
		API_TEST(who_reads_no_events_is_told_how_many_it_lost),
		API_TEST(there_is_always_room_for_orders),
		API_TEST(stop_is_answered_and_ends_it),
		API_TEST(a_socket_that_is_there_is_left_alone),
		API_TEST(who_is_not_listening_is_not_adopted),
		API_TEST(a_jailers_times_are_counted),
	};

	return RUN_TESTS("api_server", tests);
}
