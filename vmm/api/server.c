/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/api/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/metrics.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "core/io/fd_limit.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "vmm/api/routes.h"
#include "vmm/instance/instance.h"

enum { ACCEPT_PAUSE_MS = 100 };

static struct api_counters {
	uint64_t process_startup_time_us, process_startup_time_cpu_us;
} counters;

static const struct metric counter_table[] = {
	GAUGE(struct api_counters, process_startup_time_us),
	GAUGE(struct api_counters, process_startup_time_cpu_us),
};

static struct metrics_group group = {
	.name = "api_server",
	.metric = counter_table,
	.count = ARRAY_SIZE(counter_table),
	.base = &counters,
};

static uint64_t us_of(clockid_t clock)
{
	return clock_now_ns(clock) / 1000;
}

/* ------------------------------------------------------------------ events */

static void begin_event(struct api *api, struct buf *out, const char *name)
{
	buf_printf(out, "{\"seq\":%llu,\"time_us\":%llu,\"event\":\"%s\"",
		   (unsigned long long)api->event_seq,
		   (unsigned long long)us_of(CLOCK_REALTIME), name);
}

void api_print_state(struct api *api, struct buf *out)
{
	begin_event(api, out, "state");
	buf_printf(out, ",\"state\":\"%s\"",
		   instance_state_name(api->instance));
}

static void on_event(void *context, enum instance_event event,
		     const char *reason)
{
	static const char *const names[EVENT_COUNT] = {
		[EVENT_BOOTED] = "booted",
		[EVENT_PAUSED] = "paused",
		[EVENT_SUSPENDED] = "suspended",
		[EVENT_RESUMED] = "resumed",
		[EVENT_SNAPSHOTTED] = "snapshotted",
		[EVENT_RESTORED] = "restored",
		[EVENT_GUEST_OFF] = "guest-off",
		[EVENT_GUEST_RESET] = "guest-reset",
		[EVENT_ERROR] = "error",
		[EVENT_STALLED] = "stalled",
		[EVENT_STOPPED] = "stopped",
	};
	struct api *api = context;
	struct buf text = {0};

	api->event_seq++;
	begin_event(api, &text, names[event]);
	if (reason) {
		buf_text(&text, ",\"reason\":");
		buf_json_string(&text, reason);
	}
	for (unsigned i = 0; i < API_CONNECTIONS_MAX && text.data; i++) {
		struct api_conn *c = api->conn[i];

		if (!c || c->mode != CONN_STREAM)
			continue;
		conn_event(c, text.data);
		conn_pump(c);
	}
	buf_free(&text);
}

/* Answer the waiting clients.  If none is left, log a failure instead. */
static void on_done(void *context, enum instance_task task, int result,
		    const struct err *e)
{
	struct api *api = context;
	bool told = false;

	for (unsigned i = 0; i < API_CONNECTIONS_MAX; i++) {
		struct api_conn *c = api->conn[i];

		if (!c || c->mode != CONN_WAITS || c->later.task != task)
			continue;
		conn_complete(c, result, e);
		told = true;
	}
	if (result && !told)
		log_error("%s", e->text);
}

/* ------------------------------------------------------------- connections */

static void turn_away(int fd)
{
	static const char reply[] =
		"HTTP/1.1 503 \r\n"
		"Server: Firecracker API\r\n"
		"Connection: close\r\n"
		"Content-Type: application/json\r\n"
		"Content-Length: 40\r\n"
		"\r\n"
		"{ \"error\": \"Too many open connections\" }";

	_Static_assert(sizeof("{ \"error\": \"Too many open connections\" }") ==
			       41,
		       "");
	(void)!io_send(fd, reply, sizeof(reply) - 1);
	close(fd);
}

/*
 * A descriptor in reserve.  When descriptors have run out, it is closed to
 * accept a connection and answer 503.  While accepting is paused, it is the
 * timer that ends the pause, because there may be no descriptor for one then.
 */
static int make_spare(void)
{
	return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
}

/* Stop watching the listener for ACCEPT_PAUSE_MS, or epoll would spin. */
static void pause_accepting(struct api *api)
{
	static const struct itimerspec soon = {
		.it_value.tv_nsec = ACCEPT_PAUSE_MS * 1000000l,
	};

	if (!timerfd_settime(api->spare_fd, 0, &soon, NULL) &&
	    !loop_add(api->loop, &api->pause, api->spare_fd, EPOLLIN))
		(void)loop_modify(api->loop, &api->listener, 0);
}

static void on_pause_over(struct event_source *source, uint32_t events)
{
	struct api *api = container_of(source, struct api, pause);

	(void)events;
	loop_remove(api->loop, &api->pause);
	(void)loop_modify(api->loop, &api->listener, EPOLLIN);
}

/* Accept one connection with the spare descriptor, and answer 503.  0 or an
 * errno. */
static int refuse_one(struct api *api)
{
	int fd, error;

	util_close(&api->spare_fd);
	fd = accept4(api->listener.fd, NULL, NULL, SOCK_CLOEXEC);
	error = fd < 0 ? errno : 0;
	if (fd >= 0)
		turn_away(fd);
	api->spare_fd = make_spare();
	return error;
}

/* False if RLIMIT_NOFILE was lowered below the spare's number, so that closing
 * it does not help. */
static bool spare_helps(const struct api *api)
{
	return api->spare_fd >= 0 && (uint64_t)api->spare_fd < fd_limit();
}

static void accept_none(struct api *api)
{
	static struct log_limit limit;
	int error = errno;

	if (error == EAGAIN || error == EINTR || error == ECONNABORTED)
		return;
	log_limited(&limit, "API: cannot accept: %s", strerror(error));
	/* Another thread may have been given the one that was closed. */
	if (api->spare_fd < 0)
		api->spare_fd = make_spare();
	if (error == EMFILE && spare_helps(api))
		error = refuse_one(api);
	if (error && error != EAGAIN)
		pause_accepting(api);
}

static void on_connect(struct event_source *source, uint32_t events)
{
	struct api *api = container_of(source, struct api, listener);
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	unsigned i = 0;

	(void)events;
	if (fd < 0) {
		accept_none(api);
		return;
	}
	while (i < API_CONNECTIONS_MAX && api->conn[i])
		i++;
	if (i == API_CONNECTIONS_MAX) {
		turn_away(fd);
		return;
	}
	api->conn[i] = conn_open(api, fd);
	if (!api->conn[i])
		close(fd);
}

/* -------------------------------------------------------------- life cycle */

/* Microseconds of @clock since @start; 0 if @start is not in its past. */
static uint64_t us_since(clockid_t clock, uint64_t start)
{
	uint64_t now = us_of(clock);

	return now > start ? now - start : 0;
}

/*
 * A jailer that execs the VMM says when that process began, on both clocks. One
 * that forks it says 0 for the CPU clock, which begins anew, and what its own
 * processes used.
 */
static void count_startup(const struct api_config *config)
{
	if (config->start_us)
		metric_set(&counters.process_startup_time_us,
			   us_since(CLOCK_MONOTONIC, config->start_us));
	if (config->start_cpu_us || config->parent_cpu_us)
		metric_set(&counters.process_startup_time_cpu_us,
			   us_since(CLOCK_PROCESS_CPUTIME_ID,
				    config->start_cpu_us) +
				   config->parent_cpu_us);
}

static void tell_ready(const struct api_config *config)
{
	count_startup(config);
	if (config->ready_fd < 0)
		return;
	if (io_write_nowait(config->ready_fd, IO_UNKNOWN, "\n", 1) != 1)
		log_warn("--ready-fd %d: %s", config->ready_fd,
			 strerror(errno));
	close(config->ready_fd);
}

static int listen_on(struct api *api, const struct api_config *config,
		     struct err *e)
{
	int fd = config->listen_fd;

	if (fd >= 0 && api_adopt(fd, e))
		return -1;
	if (fd < 0)
		fd = api_listen(api, config->socket_path, e);
	if (fd < 0)
		return -1;
	if (loop_add(api->loop, &api->listener, fd, EPOLLIN)) {
		err_errno(e, "cannot watch the API socket");
		close(fd);
		return -1;
	}
	if (config->listen_fd < 0)
		log_info("Listening on API socket (\"%s\").",
			 config->socket_path);
	return 0;
}

static void free_api(struct api *api)
{
	loop_remove(api->loop, &api->pause);
	util_close(&api->spare_fd);
	free(api);
}

void api_metrics_add(void)
{
	metrics_add(&group);
	routes_init();
}

void api_metrics_remove(void)
{
	routes_fini();
	metrics_remove(&group);
}

struct api *api_start(const struct api_config *config, struct err *e)
{
	struct api *api = calloc(1, sizeof(*api));

	if (!api) {
		err_errno(e, "cannot start the API");
		return NULL;
	}
	api->loop = config->loop;
	api->instance = config->instance;
	api->body_max = config->body_max;
	api->listener = (struct event_source){.fd = -1, .ready = on_connect};
	api->pause = (struct event_source){.fd = -1, .ready = on_pause_over};
	api->spare_fd = -1;
	if (listen_on(api, config, e)) {
		listener_remove(&api->name);
		free_api(api);
		return NULL;
	}
	api->spare_fd = make_spare();
	api_metrics_add();
	config->instance->on_event = on_event;
	config->instance->on_event_context = api;
	config->instance->on_done = on_done;
	config->instance->on_done_context = api;
	tell_ready(config);
	log_info("API server started.");
	return api;
}

/* The last words to a client: the end of its events, or of its waiting. */
static void say_goodbye(struct api_conn *c)
{
	struct err e;

	if (c->mode == CONN_STREAM)
		conn_end_stream(c);
	c->close = true;
	if (c->mode == CONN_WAITS) {
		err_set(&e, "the microVM has ended");
		conn_complete(c, -1, &e); /* may close it */
		return;
	}
	conn_pump(c);
}

void api_stop(struct api *api)
{
	if (!api)
		return;
	listener_remove(&api->name);
	for (unsigned i = 0; i < API_CONNECTIONS_MAX; i++) {
		if (api->conn[i])
			say_goodbye(api->conn[i]);
		if (api->conn[i])
			conn_close(api->conn[i]);
	}
	loop_close(api->loop, &api->listener);
	api->instance->on_event = NULL;
	api->instance->on_done = NULL;
	api_metrics_remove();
	free_api(api);
}
