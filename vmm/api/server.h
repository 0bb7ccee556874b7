/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the API: the listening socket, connections, and who gets events. */
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
	API_STREAMS_MAX = 4, /* so that somebody can still give orders */
	/* Who does not wait for connect() is refused when this many others
	 * were not accepted yet. */
	API_BACKLOG = 128,
	API_INPUT_MAX = 4096,
	API_OUTPUT_HIGH = 65536, /* unread bytes above which we do no more */
	API_DISCARD_MAX = 1 << 20,
};

enum conn_mode {
	CONN_REQUESTS,
	CONN_WAITS,   /* for an answer that takes long */
	CONN_STREAM,  /* gets events */
	CONN_DISCARD, /* refused: let it send, so that it reads why, and close
		       */
};

struct api_conn {
	struct event_source source;
	struct api *api;
	struct http_parser http;
	enum conn_mode mode;
	struct api_reply later; /* CONN_WAITS: for it, without a body yet */
	bool close, eof;
	bool shut;        /* it was told that no more will come */
	uint32_t watched; /* events */

	struct buf out;
	size_t discarded;
	uint64_t dropped; /* events it did not read in time */

	char in[API_INPUT_MAX];
	size_t in_first, in_len;
};

struct api {
	struct event_loop *loop;
	struct instance *instance;
	struct event_source listener;
	struct api_conn *conn[API_CONNECTIONS_MAX]; /* NULL: free */
	size_t body_max;
	int spare_fd;              /* in reserve, and the timer of @pause */
	struct event_source pause; /* while nothing is accepted */
	uint64_t event_seq;

	struct listener_name name; /* empty if it was not made by us */
};

/* socket.c: make it appear at @path, accepting; returns the descriptor, or -1.
 */
int api_listen(struct api *api, const char *path, struct err *e);
/* Take one that somebody else made. */
int api_adopt(int fd, struct err *e);

/* server.c: the event that says how things stand; the end is left open. */
void api_print_state(struct api *api, struct buf *out);

/* connection.c */
struct api_conn *conn_open(struct api *api, int fd);
void conn_close(struct api_conn *conn);
/* What it waits for has ended: -1 and why, or 0. */
void conn_complete(struct api_conn *conn, int result, const struct err *e);
/* Send what is there to send. */
void conn_pump(struct api_conn *conn);
/* @json lacks its end; it is added, with what this reader has lost. */
void conn_event(struct api_conn *conn, const char *json);
/* There will be no more. */
void conn_end_stream(struct api_conn *conn);
