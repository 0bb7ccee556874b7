/* SPDX-License-Identifier: Apache-2.0 */
/* Internals of the API: the listening socket, connections, event streams. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/io/listener.h"
#include "core/io/loop.h"
#include "vmm/api/api.h"
#include "vmm/api/http.h"
#include "vmm/api/routes.h"

enum {
	API_CONNECTIONS_MAX = 10,
	API_STREAMS_MAX = 4, /* leaves connections for requests */
	/* listen()'s backlog: once full, a non-blocking connect() fails with
	 * EAGAIN. */
	API_BACKLOG = 128,
	API_INPUT_MAX = 4096,
	API_OUTPUT_HIGH = 65536,   /* unsent bytes: handle no more requests */
	API_DISCARD_MAX = 1 << 20, /* bytes read in CONN_DISCARD */
};

enum conn_mode {
	CONN_REQUESTS,
	CONN_WAITS,   /* its request is answered later */
	CONN_STREAM,  /* receives events */
	CONN_DISCARD, /* its HTTP was rejected: read and drop its input until
		       * it has read the reason, because closing a socket
		       * with unread input discards our output */
};

struct api_conn {
	struct event_source source;
	struct api *api;
	struct http_parser http;
	enum conn_mode mode;
	struct api_reply later; /* CONN_WAITS: to be completed; no body yet */
	bool close, eof;
	bool shut;        /* SHUT_WR was done */
	uint32_t watched; /* EPOLLIN, EPOLLOUT */

	struct buf out;
	size_t discarded;
	uint64_t dropped; /* events lost because it reads too slowly */

	char in[API_INPUT_MAX];
	size_t in_first, in_len;
};

struct api {
	struct event_loop *loop;
	struct instance *instance;
	struct event_source listener;
	struct api_conn *conn[API_CONNECTIONS_MAX]; /* NULL: free */
	size_t body_max;
	int spare_fd; /* see make_spare(); also the timer of .pause */
	struct event_source pause; /* ends the pause in accepting */
	uint64_t event_seq;

	struct listener_name name; /* empty with .listen_fd */
};

/* socket.c: create a listening socket at @path; returns its descriptor, or -1.
 */
int api_listen(struct api *api, const char *path, struct err *e);
/* socket.c: check and configure the launcher's listening socket. */
int api_adopt(int fd, struct err *e);

/* server.c: the "state" event, without its closing brace: conn_event() adds
 * it. */
void api_print_state(struct api *api, struct buf *out);

/* connection.c; conn_pump() and those that call it may free @conn. */
struct api_conn *conn_open(struct api *api, int fd);
void conn_close(struct api_conn *conn);
/* Answer a CONN_WAITS connection: @result is 0, or -1 with the reason in @e. */
void conn_complete(struct api_conn *conn, int result, const struct err *e);
/* Handle buffered requests and send output until that would block. */
void conn_pump(struct api_conn *conn);
/* Queue an event.  @json lacks its closing brace: "dropped", the number of
 * events that this reader has lost, is appended. */
void conn_event(struct api_conn *conn, const char *json);
/* Queue the end of the stream of events. */
void conn_end_stream(struct api_conn *conn);
