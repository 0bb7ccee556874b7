/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One client's connection.  Input is read one buffer at a time, and not while
 * the client leaves more than API_OUTPUT_HIGH bytes of answers unread.  So a
 * slow or silent client delays no other, and costs a bounded amount of memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "vmm/api/routes.h"
#include "vmm/api/server.h"

/* ----------------------------------------------------------------- replies */

static void add_head(struct buf *out, unsigned status, size_t len,
		     const char *more)
{
	/* No reason phrases, as in Firecracker's answers. */
	buf_printf(out,
		   "HTTP/1.1 %u \r\n"
		   "Server: Firecracker API\r\n"
		   "%s",
		   status, more);
	if (len)
		buf_printf(out,
			   "Content-Type: application/json\r\n"
			   "Content-Length: %zu\r\n",
			   len);
	buf_text(out, "\r\n");
}

static void add_reply(struct api_conn *c, const struct api_reply *reply)
{
	const char *more = c->close ? "Connection: close\r\n"
				    : "Connection: keep-alive\r\n";

	if (reply->deprecated)
		more = c->close ? "Connection: close\r\nDeprecation: true\r\n"
				: "Connection: keep-alive\r\n"
				  "Deprecation: true\r\n";
	add_head(&c->out, reply->status, reply->body.len, more);
	buf_add(&c->out, reply->body.data, reply->body.len);
}

/* The input is not valid HTTP: queue the reason, and ignore further input. */
static void refuse(struct api_conn *c)
{
	struct buf body = {0}, text = {0};

	buf_printf(&text,
		   "%s\nAll previous unanswered requests will be dropped.",
		   c->http.refusal.len ? c->http.refusal.data
				       : "There is no memory.");
	buf_text(&body, "{ \"error\": ");
	buf_json_string(&body, text.len ? text.data : "");
	buf_text(&body, " }");
	log_error("The API server refused a request: %s",
		  c->http.refusal.len ? c->http.refusal.data : "no memory");
	add_head(&c->out, 400, body.len, "Connection: close\r\n");
	buf_add(&c->out, body.data, body.len);
	buf_free(&body);
	buf_free(&text);
	c->mode = CONN_DISCARD;
	c->in_len = 0;
}

static unsigned count_streams(const struct api *api)
{
	unsigned n = 0;

	for (unsigned i = 0; i < API_CONNECTIONS_MAX; i++)
		n += api->conn[i] && api->conn[i]->mode == CONN_STREAM;
	return n;
}

static void begin_stream(struct api_conn *c)
{
	struct buf state = {0};

	if (count_streams(c->api) >= API_STREAMS_MAX) {
		struct api_reply refusal = {.status = 400};

		buf_printf(&refusal.body,
			   "{\"fault_message\":\"%d clients read events "
			   "already; close one of their connections\"}",
			   API_STREAMS_MAX);
		add_reply(c, &refusal);
		buf_free(&refusal.body);
		return;
	}
	add_head(&c->out, 200, 0,
		 "Connection: close\r\n"
		 "Content-Type: application/x-ndjson\r\n"
		 "Transfer-Encoding: chunked\r\n");
	c->mode = CONN_STREAM;
	c->in_len = 0;
	api_print_state(c->api, &state);
	conn_event(c, state.data);
	buf_free(&state);
}

static void answer(struct api_conn *c)
{
	struct http_parser *http = &c->http;
	struct api_reply reply = {0};

	c->close |= !http->keep_alive;
	routes_handle(c->api->instance, http->method, http_path(http),
		      http->body.len ? http->body.data : NULL, http->body.len,
		      &reply);
	if (reply.deferred) {
		buf_free(&reply.body);
		c->later = reply;
		c->mode = CONN_WAITS;
	} else if (reply.stream) {
		begin_stream(c);
	} else {
		add_reply(c, &reply);
	}
	buf_free(&reply.body);
	buf_free(&http->body);
}

void conn_complete(struct api_conn *c, int result, const struct err *e)
{
	struct api_reply reply = c->later;

	routes_complete(c->api->instance, result, e, &reply);
	c->mode = CONN_REQUESTS;
	add_reply(c, &reply);
	buf_free(&reply.body);
	conn_pump(c);
}

/* ------------------------------------------------------------------- input */

static void use_input(struct api_conn *c)
{
	while (c->in_len && c->mode == CONN_REQUESTS && !c->close &&
	       c->out.len < API_OUTPUT_HIGH) {
		size_t used = 0;

		switch (http_feed(&c->http, c->in + c->in_first, c->in_len,
				  &used)) {
		case HTTP_FEED_MORE:
			c->in_len = 0;
			break;
		case HTTP_FEED_REQUEST:
			c->in_first += used;
			c->in_len -= used;
			answer(c);
			break;
		case HTTP_FEED_REFUSED:
			refuse(c);
			break;
		}
	}
	if (c->http.awaits_continue && c->mode == CONN_REQUESTS) {
		c->http.awaits_continue = false;
		add_head(&c->out, 100, 0, "Connection: keep-alive\r\n");
	}
}

static void read_input(struct api_conn *c)
{
	ssize_t n = read(c->source.fd, c->in, sizeof(c->in));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		c->eof = true;
		return;
	}
	if (c->mode == CONN_REQUESTS) {
		c->in_first = 0;
		c->in_len = (size_t)n;
		return;
	}
	/* Discard input that belongs to no request. */
	c->discarded += (size_t)n;
	c->eof |= c->discarded > API_DISCARD_MAX;
}

/* ------------------------------------------------------------------ output */

/* Send queued output.  False if the connection is broken. */
static bool flush(struct api_conn *c)
{
	size_t sent = 0;

	while (sent < c->out.len) {
		ssize_t n = io_send(c->source.fd, c->out.data + sent,
				    c->out.len - sent);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0)
			return false;
		sent += (size_t)n;
	}
	buf_drop(&c->out, sent);
	return !c->out.failed;
}

static void watch(struct api_conn *c, uint32_t events)
{
	if (events == c->watched)
		return;
	if (!loop_modify(c->api->loop, &c->source, events))
		c->watched = events;
}

void conn_pump(struct api_conn *c)
{
	do {
		use_input(c);
		if (!flush(c)) {
			conn_close(c);
			return;
		}
	} while (c->in_len && !c->out.len && !c->close &&
		 c->mode == CONN_REQUESTS);

	if (c->mode == CONN_WAITS) {
		watch(c, c->out.len ? EPOLLOUT : 0);
		return;
	}
	if (!c->out.len && (c->eof || (c->close && c->mode != CONN_STREAM))) {
		conn_close(c);
		return;
	}
	/* "Connection: close" was sent.  Do not close() yet: unread input would
	 * discard the answer. */
	if (c->mode == CONN_DISCARD && !c->out.len && !c->shut) {
		shutdown(c->source.fd, SHUT_WR);
		c->shut = true;
	}
	if (c->mode == CONN_REQUESTS)
		watch(c, c->out.len ? EPOLLOUT : EPOLLIN);
	else
		watch(c, c->out.len ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* --------------------------------------------------------------- life cycle */

static void on_ready(struct event_source *source, uint32_t events)
{
	struct api_conn *c = container_of(source, struct api_conn, source);

	if (events & EPOLLIN && !c->in_len)
		read_input(c);
	else if (events & (EPOLLHUP | EPOLLERR))
		c->eof = true;
	/* The client has gone: drop any unsent output. */
	if (c->eof && (c->mode != CONN_REQUESTS || events & EPOLLHUP))
		conn_close(c);
	else
		conn_pump(c);
}

struct api_conn *conn_open(struct api *api, int fd)
{
	struct api_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->api = api;
	c->source.ready = on_ready;
	http_init(&c->http, api->body_max);
	c->watched = EPOLLIN;
	if (loop_add(api->loop, &c->source, fd, EPOLLIN)) {
		free(c);
		return NULL;
	}
	return c;
}

void conn_close(struct api_conn *c)
{
	for (unsigned i = 0; i < API_CONNECTIONS_MAX; i++) {
		if (c->api->conn[i] == c)
			c->api->conn[i] = NULL;
	}
	loop_close(c->api->loop, &c->source);
	http_fini(&c->http);
	buf_free(&c->out);
	free(c);
}

void conn_event(struct api_conn *c, const char *json)
{
	struct buf line = {0};

	if (c->out.len > API_OUTPUT_HIGH) {
		c->dropped++;
		return;
	}
	buf_printf(&line, "%s,\"dropped\":%llu}\n", json ? json : "{",
		   (unsigned long long)c->dropped);
	buf_printf(&c->out, "%zx\r\n%s\r\n", line.len,
		   line.data ? line.data : "");
	buf_free(&line);
}

void conn_end_stream(struct api_conn *c)
{
	buf_text(&c->out, "0\r\n\r\n");
	c->eof = true;
}
