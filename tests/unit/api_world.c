/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/api_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/base/now.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "tests/fake/kvm_fake.h"
#include "tests/unit/testing.h"
#include "vmm/api/routes.h"

enum { PATIENCE_MS = 10000 };

static void on_started(void *context, struct vm *vm)
{
	(void)context;
	assert_non_null(vm);
}

static void on_ended(void *context, int status)
{
	struct world *w = context;

	w->ended = true;
	w->status = status;
	loop_stop(&w->loop);
}

static void on_tick(struct event_source *source, uint32_t events)
{
	struct world *w = container_of(source, struct world, tick);

	(void)events;
	if (++w->ticks % 3 == 0)
		loop_stop(&w->loop);
}

void api_world_run(struct world *w)
{
	for (unsigned i = 0; i < 3 && !w->ended; i++) {
		assert_ok(loop_run(&w->loop, &w->e), w->e);
		w->loop.stopped = false;
	}
}

unsigned api_world_poll(struct world *w, int timeout_ms)
{
	struct event_loop *loop = &w->loop;
	int tick = w->tick.fd, n;

	loop_remove(loop, &w->tick);
	n = epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, timeout_ms);
	loop->batch_count = n;
	for (int i = 0; i < loop->batch_count; i++) {
		struct event_source *source = loop->batch[i].data.ptr;

		if (source)
			source->ready(source, loop->batch[i].events);
	}
	loop->batch_count = 0;
	assert_int_equal(loop_add(loop, &w->tick, tick, EPOLLIN), 0);
	return n > 0 ? (unsigned)n : 0;
}

static void write_kernel(struct world *w)
{
	uint8_t image[4096] = {0};
	FILE *file;

	strcpy(w->folder, "/tmp/api_test.XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	snprintf(w->kernel, sizeof(w->kernel), "%s/k", w->folder);
	snprintf(w->socket, sizeof(w->socket), "%s/s", w->folder);
	snprintf(w->body, sizeof(w->body), "{\"kernel_image_path\":\"%s\"}",
		 w->kernel);
	memcpy(image + 56, "ARM\x64", 4);
	image[16 + 1] = 0x10; /* image_size = 4096 */
	file = fopen(w->kernel, "w");
	if (!file)
		fail_msg("cannot write %s", w->kernel);
	assert_int_equal(fwrite(image, sizeof(image), 1, file), 1);
	fclose(file);
}

static void make_instance(struct world *w)
{
	const struct instance_host host = {
		.loop = &w->loop,
		.serial_out = -1,
		.serial_room = -1,
		.started = on_started,
		.ended = on_ended,
		.context = w,
	};

	kvm_fake_reset();
	instance_init(&w->instance, "name", &host);
}

int api_world_set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct api_config config = {.listen_fd = -1, .ready_fd = -1};
	int tick = eventfd(1, EFD_CLOEXEC);

	log_configure(&(struct log_config){
		.level = LOG_OFF, .style = LOG_PLAIN, .fd = STDERR_FILENO});
	write_kernel(w);
	assert_ok(loop_init(&w->loop, &w->e), w->e);
	make_instance(w);
	/* Always ready: the loop returns after a batch. */
	w->tick.ready = on_tick;
	assert_int_equal(loop_add(&w->loop, &w->tick, tick, EPOLLIN), 0);
	config.loop = &w->loop;
	config.instance = &w->instance;
	config.socket_path = w->socket;
	config.body_max = 1000;
	w->api = api_start(&config, &w->e);
	assert_non_null(w->api);
	*state = w;
	return 0;
}

int api_world_tear_down(void **state)
{
	struct world *w = *state;
	int tick = w->tick.fd;

	api_stop(w->api);
	instance_fini(&w->instance);
	loop_remove(&w->loop, &w->tick);
	close(tick);
	loop_fini(&w->loop);
	assert_int_equal(access(w->socket, F_OK), -1);
	unlink(w->kernel);
	assert_int_equal(rmdir(w->folder), 0);
	free(w);
	return 0;
}

/* A request that may be answered later. */
struct call {
	struct instance *in;
	struct api_reply reply;
};

static void on_done(void *context, enum instance_task task, int result,
		    const struct err *e)
{
	struct call *call = context;

	(void)task;
	routes_complete(call->in, result, e, &call->reply);
}

unsigned api_world_call(struct world *w, enum http_method method,
			const char *path, const char *body, char *text,
			size_t size)
{
	struct instance *in = &w->instance;
	struct call later = {.in = in};
	struct api_reply *reply = &later.reply;
	void *context = in->on_done_context;
	void (*server_done)(void *, enum instance_task, int,
			    const struct err *);

	routes_handle(in, method, path, body, body ? strlen(body) : 0, reply);
	/* Instead of the server's: a snapshot takes its time. */
	server_done = in->on_done;
	in->on_done = on_done;
	in->on_done_context = &later;
	while (reply->deferred && !reply->status) {
		w->loop.stopped = false;
		assert_int_equal(loop_run(&w->loop, &w->e), 0);
	}
	in->on_done = server_done;
	in->on_done_context = context;
	snprintf(text, size, "%s", reply->body.data ? reply->body.data : "");
	buf_free(&reply->body);
	return reply->status;
}

void api_world_do(struct world *w, enum http_method method, const char *path,
		  const char *body)
{
	char text[2000];

	if (api_world_call(w, method, path, body, text, sizeof(text)) != 204)
		fail_msg("%s %s: %s", path, body, text);
}

void api_world_boot(struct world *w)
{
	api_world_do(w, HTTP_METHOD_PUT, "/machine-config",
		     "{\"vcpu_count\":2,\"mem_size_mib\":64}");
	api_world_do(w, HTTP_METHOD_PUT, "/boot-source", w->body);
	api_world_do(w, HTTP_METHOD_PUT, "/actions",
		     "{\"action_type\":\"InstanceStart\"}");
}

/* ----------------------------------------------------------------- clients */

uint64_t api_world_now_ms(void)
{
	return clock_now_ns(CLOCK_MONOTONIC) / 1000000;
}

int api_world_client(struct world *w)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(name.sun_path, sizeof(name.sun_path), "%s", w->socket);
	if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof(name)))
		fail_msg("cannot connect");
	api_world_run(w);
	return fd;
}

void api_world_request(struct world *w, int fd, const char *method,
		       const char *path, const char *body)
{
	char text[300];
	int n = snprintf(text, sizeof(text),
			 "%s %s HTTP/1.1\r\nContent-Length: %zu\r\n\r\n%s",
			 method, path, strlen(body), body);

	assert_int_equal(send(fd, text, (size_t)n, 0), n);
	api_world_run(w);
}

/* What has come, at once. */
const char *api_world_heard(int fd)
{
	static char text[4000];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* The same, and the loop runs until something comes. */
static const char *hear(struct world *w, int fd)
{
	uint64_t end = api_world_now_ms() + PATIENCE_MS;
	const char *text;

	while (!*(text = api_world_heard(fd))) {
		assert_true(api_world_now_ms() < end);
		api_world_run(w);
		usleep(500);
	}
	return text;
}

void api_world_expect(struct world *w, int fd, const char *answer)
{
	assert_contains(hear(w, fd), answer);
}

/* The API answers, at once. */
void api_world_expect_state(struct world *w, const char *name)
{
	char text[300], state[60];
	uint64_t before = api_world_now_ms();

	snprintf(state, sizeof(state), "\"state\":\"%s\"", name);
	assert_int_equal(api_world_call(w, HTTP_METHOD_GET, "/", NULL, text,
					sizeof(text)),
			 200);
	assert_contains(text, state);
	assert_true(api_world_now_ms() - before < 1000);
}
