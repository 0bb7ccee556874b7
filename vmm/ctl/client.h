/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other end of the API: one HTTP request over a Unix socket, waited for.
 *
 * Source: RFC 9112.  The server is not trusted: what it sends is bounded, and
 * parsed strictly.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/base/buf.h"

struct err;

enum {
	CLIENT_BODY_MAX = 16 << 20, /* of an answer that is collected */
	CLIENT_LINE_MAX = 64 << 10, /* of one that is told line by line */
};

struct client_request {
	const char *socket; /* path */
	const char *method, *path;
	const char *body; /* JSON; NULL: none */
	size_t body_len;
	unsigned timeout_ms;
	/* If not NULL: a signal handler makes it true to give up. */
	const volatile sig_atomic_t *interrupted;

	/*
	 * If not NULL, a body with status 200 goes here line by line as it
	 * comes, without the line's end and NUL-terminated, for as long as it
	 * takes: the timeout ends with the head.  -1 and @e: stop.
	 */
	int (*line)(void *context, const char *line, size_t len, struct err *e);
	void *context;
};

struct client_answer {
	unsigned status;
	struct buf body; /* buf_free() it, whatever client_call() gave */
};

/*
 * 0 if there was an answer, whatever its status; -1 if none came, or none that
 * is HTTP.  When lines are told and standard output has lost its reader, that
 * is the end of it, too.
 */
int client_call(const struct client_request *request,
		struct client_answer *answer, struct err *e);

/* A path that can be sent: it starts with a slash and has no blanks or
 * control characters. */
bool client_path_is_valid(const char *path);
