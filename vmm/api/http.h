/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses a stream of bytes into HTTP/1 requests, one at a time, with llhttp.
 * All sizes are bounded.  It does no I/O.
 *
 * Source: RFC 9112, and the limits of Firecracker's server: lines of at most
 * 1024 bytes; GET, PUT, PATCH and DELETE.
 */
#pragma once

#include <llhttp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"

enum {
	HTTP_LINE_MAX = 1024,  /* bytes of the request line or a header */
	HTTP_HEAD_MAX = 16384, /* bytes of all of these */
	HTTP_NAME_MAX = 24,
};

enum http_method {
	HTTP_METHOD_GET,
	HTTP_METHOD_PUT,
	HTTP_METHOD_PATCH,
	HTTP_METHOD_DELETE
};

extern const char *const http_method_name[];

struct http_parser {
	llhttp_t llhttp;
	size_t body_max;

	/* The request being parsed, or the one just completed. */
	enum http_method method;
	struct buf target, body;
	bool keep_alive;      /* valid once complete */
	bool awaits_continue; /* Expect: 100-continue, no body yet */

	size_t line, head;        /* bytes of this line, and of the head */
	char name[HTTP_NAME_MAX]; /* the current header's, truncated */
	size_t name_len;
	char expect[HTTP_NAME_MAX];
	size_t expect_len;
	bool complete;
	struct buf refusal; /* why it was rejected, for the client */
};

enum http_result {
	HTTP_FEED_MORE,    /* all was used; the request is incomplete */
	HTTP_FEED_REQUEST, /* a request is complete */
	HTTP_FEED_REFUSED, /* not valid, see ->refusal; feed no more */
};

void http_init(struct http_parser *parser, size_t body_max);
void http_fini(struct http_parser *parser);

/*
 * Parse at most @len bytes, up to the end of a request; *used is how many were
 * parsed.  After HTTP_FEED_REQUEST, the next call begins a new request.
 */
enum http_result http_feed(struct http_parser *parser, const char *data,
			   size_t len, size_t *used);

/* The request's path, without the scheme and host of an absolute target. */
const char *http_path(const struct http_parser *parser);
