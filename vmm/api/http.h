/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1 requests out of a stream of bytes, over llhttp: one at a time, with
 * bounds on everything, and no socket.
 *
 * Source: RFC 9112, and what Firecracker's own server takes: lines of up to
 * 1024 bytes; GET, PUT, PATCH and DELETE.
 */
#pragma once

#include <llhttp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"

enum {
	HTTP_LINE_MAX = 1024,  /* of the request, and of each header */
	HTTP_HEAD_MAX = 16384, /* all of them */
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

	/* The request that is read, or was. */
	enum http_method method;
	struct buf target, body;
	bool keep_alive;      /* when it is complete */
	bool awaits_continue; /* it said so, and its body is still to come */

	size_t line, head;        /* bytes of the current line, and of all */
	char name[HTTP_NAME_MAX]; /* of the header that is read, cut short */
	size_t name_len;
	char expect[HTTP_NAME_MAX];
	size_t expect_len;
	bool complete;
	struct buf refusal; /* why it is not HTTP, for the client */
};

enum http_result {
	HTTP_FEED_MORE,    /* all was used; the request goes on */
	HTTP_FEED_REQUEST, /* there is one */
	HTTP_FEED_REFUSED, /* ->refusal says why; nothing after it makes sense
			    */
};

void http_init(struct http_parser *parser, size_t body_max);
void http_fini(struct http_parser *parser);

/* Use up to @len bytes, how many goes to *used.  After HTTP_FEED_REQUEST, the
 * next call begins a new one. */
enum http_result http_feed(struct http_parser *parser, const char *data,
			   size_t len, size_t *used);

/* The path in the target, without scheme and host if it has them. */
const char *http_path(const struct http_parser *parser);
