/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP client for the API: sends one request over a Unix socket and waits for
 * the answer.
 *
 * Source: RFC 9112.  The server is not trusted: answers are parsed strictly and
 * limited in size.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "core/base/buf.h"

struct err;

enum {
	CLIENT_BODY_MAX = 16 << 20, /* bytes of a body that is collected */
	CLIENT_LINE_MAX = 64 << 10, /* bytes of a line given to ->line() */
};

struct client_request {
	const char *socket; /* path */
	const char *method, *path;
	const char *body; /* JSON; NULL: no body */
	size_t body_len;
	unsigned timeout_ms;
	const char *remedy; /* ends the error if that is over; NULL: none */
	/* If not NULL: a signal handler sets it to cancel the request. */
	const volatile sig_atomic_t *interrupted;

	/*
	 * If not NULL, called for each line of a body with status 200 as it
	 * arrives; @line is NUL-terminated and lacks the newline.  timeout_ms
	 * then covers only the wait for the response's head.  Returning -1 and
	 * @e cancels the request.
	 */
	int (*line)(void *context, const char *line, size_t len, struct err *e);
	void *context;
};

struct client_answer {
	unsigned status;
	pid_t pid;       /* of the process that listens */
	struct buf body; /* buf_free() it, also if client_call() failed */
};

/*
 * Send @request and wait for the answer.  Returns 0 if an answer arrived,
 * whatever its status, and -1 and @e if none did or it is not HTTP.  With
 * ->line() set, it also returns 0 once standard output has lost its reader.
 */
int client_call(const struct client_request *request,
		struct client_answer *answer, struct err *e);

/* True if @path starts with a slash and has no blanks or control
 * characters. */
bool client_path_is_valid(const char *path);
