/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's HTTP request and the answer to it, as of Firecracker's service and
 * of EC2's: GET of any path of the document, PUT of /latest/api/token.
 */
#include <llhttp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/buf.h"
#include "core/base/metrics.h"
#include "core/base/util.h"
#include "core/json/json.h"
#include "core/json/json_tree.h"
#include "vmm/config/config.h"
#include "vmm/mmds/mmds_internal.h"

/* Part of the request; at NULL: absent. */
struct span {
	const char *at;
	size_t len;
};

enum header { ACCEPT, TOKEN, TOKEN_EC2, TTL, TTL_EC2, FORWARDED, HEADERS };

static const char *const header_name[HEADERS] = {
	[ACCEPT] = "Accept",
	[TOKEN] = "X-metadata-token",
	[TOKEN_EC2] = "X-aws-ec2-metadata-token",
	[TTL] = "X-metadata-token-ttl-seconds",
	[TTL_EC2] = "X-aws-ec2-metadata-token-ttl-seconds",
	[FORWARDED] = "X-Forwarded-For",
};

struct request {
	llhttp_t llhttp;
	struct span target, header[HEADERS];
	enum header current; /* HEADERS: one that does not matter */
	bool complete;
};

struct answer {
	const char *status;
	struct buf body;
	bool is_json;
	enum header ttl; /* HEADERS, or the header that repeats the lifetime */
	unsigned ttl_s;
};

/* ------------------------------------------------------------------ parsing */

/* All of the request is at one place, so each span comes in one piece. */
static struct request *request_of(llhttp_t *llhttp)
{
	return container_of(llhttp, struct request, llhttp);
}

static int on_url(llhttp_t *llhttp, const char *at, size_t len)
{
	request_of(llhttp)->target = (struct span){at, len};
	return 0;
}

static int on_field(llhttp_t *llhttp, const char *at, size_t len)
{
	struct request *q = request_of(llhttp);
	unsigned i = 0;

	while (i < HEADERS && (strlen(header_name[i]) != len ||
			       strncasecmp(header_name[i], at, len) != 0))
		i++;
	q->current = i;
	if (i < HEADERS)
		q->header[i] = (struct span){at, 0};
	return 0;
}

static int on_value(llhttp_t *llhttp, const char *at, size_t len)
{
	struct request *q = request_of(llhttp);

	if (q->current < HEADERS)
		q->header[q->current] = (struct span){at, len};
	return 0;
}

static int on_headers(llhttp_t *llhttp)
{
	llhttp->upgrade = 0; /* as RFC 9110, 7.8 allows */
	return 0;
}

static int on_complete(llhttp_t *llhttp)
{
	request_of(llhttp)->complete = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_headers,
	.on_message_complete = on_complete,
};

/* ------------------------------------------------------------------ answers */

static void refuse(struct answer *a, const char *status, const char *why)
{
	a->status = status;
	a->is_json = false;
	buf_text(&a->body, why);
}

/* The target's path, without the scheme and host of an absolute one. */
static struct span path_of(const struct request *q)
{
	static const char scheme[] = "http://";
	const size_t skip = sizeof(scheme) - 1;
	struct span path = q->target;
	const char *end = path.at + path.len;

	if (path.len < skip || strncasecmp(path.at, scheme, skip) != 0)
		return path;
	path.at = memchr(path.at + skip, '/', path.len - skip);
	path.len = path.at ? (size_t)(end - path.at) : 0;
	return path;
}

static void not_found(struct answer *a, struct span path)
{
	refuse(a, "404 Not Found", "Resource not found: ");
	buf_add(&a->body, path.at, path.len);
	buf_text(&a->body, ".");
}

static bool wants_json(const struct request *q)
{
	static const char json[] = "application/json";
	const struct span *accept = &q->header[ACCEPT];

	for (size_t i = 0; i + sizeof(json) - 1 <= accept->len; i++) {
		if (!strncasecmp(accept->at + i, json, sizeof(json) - 1))
			return true;
	}
	return false;
}

static void get(const struct mmds *m, const struct request *q, struct span path,
		struct answer *a)
{
	const struct json_t *value = NULL;

	if (*path.at == '/' && m->data)
		value = json_at(m->data, path.at, path.len);
	a->status = "200 OK";
	a->is_json = wants_json(q) && !m->config->imds_compat;
	if (!value)
		not_found(a, path);
	else if (a->is_json)
		json_add(&a->body, value);
	else if (json_text(value))
		buf_text(&a->body, json_text(value));
	else if (json_list(&a->body, value))
		refuse(a, "501 Not Implemented",
		       "Cannot retrieve value. The value has an unsupported "
		       "type.");
}

/* Version 1 serves without a token, too, but counts as if it did not. */
static void get_checked(struct mmds *m, const struct request *q,
			struct span path, struct answer *a)
{
	const struct span *token = &q->header[TOKEN];

	if (!token->at)
		token = &q->header[TOKEN_EC2];
	if (!token->at) {
		metric_add(&m->server.metrics->rx_no_token, 1);
		if (m->config->v2) {
			refuse(a, "401 Unauthorized",
			       "No MMDS token provided. Use `X-metadata-token` "
			       "or `X-aws-ec2-metadata-token` header to "
			       "specify "
			       "the session token.");
			return;
		}
	} else if (!mmds_token_is_valid(m, token->at, token->len)) {
		metric_add(&m->server.metrics->rx_invalid_token, 1);
		if (m->config->v2) {
			refuse(a, "401 Unauthorized", "MMDS token not valid.");
			return;
		}
	}
	get(m, q, path, a);
}

static bool is_token_path(struct span path)
{
	static const char *const parts[] = {"latest", "api", "token"};
	const char *at = path.at, *end = path.at + path.len;

	for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
		size_t len = strlen(parts[i]);

		if (at == end || *at != '/')
			return false;
		while (at < end && *at == '/')
			at++;
		if ((size_t)(end - at) < len || memcmp(at, parts[i], len) != 0)
			return false;
		at += len;
	}
	return at == end;
}

/* A number from 0 to 2^32 - 1; false if it is not one. */
static bool read_ttl(struct span text, unsigned *out)
{
	unsigned value = 0;

	for (size_t i = 0; i < text.len; i++) {
		unsigned digit = (unsigned)(text.at[i] - '0');

		if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			return false;
	}
	*out = value;
	return text.len;
}

static void make_token(struct mmds *m, const struct request *q,
		       struct answer *a)
{
	enum header from = q->header[TTL].at ? TTL : TTL_EC2;
	const struct span text = q->header[from];
	char token[TOKEN_LEN + 1];
	unsigned ttl_s;

	a->status = "400 Bad Request";
	if (!text.at) {
		buf_text(&a->body,
			 "Token time to live value not found. Use "
			 "`X-metadata-token-ttl-seconds` or "
			 "`X-aws-ec2-metadata-token-ttl-seconds` header to "
			 "specify the token's lifetime.");
	} else if (!read_ttl(text, &ttl_s)) {
		buf_printf(&a->body,
			   "Invalid header. Reason: Invalid value. Key:%s; "
			   "Value:%.*s",
			   header_name[from], (int)text.len, text.at);
	} else if (ttl_s < TOKEN_TTL_MIN || ttl_s > TOKEN_TTL_MAX) {
		buf_printf(&a->body,
			   "Invalid time to live value provided for token: "
			   "%u. Please provide a value between %d and %d.",
			   ttl_s, TOKEN_TTL_MIN, TOKEN_TTL_MAX);
	} else if (!mmds_token_make(m, ttl_s, token)) {
		refuse(a, "500 Internal Server Error",
		       "There are no random numbers for a token.");
	} else {
		refuse(a, "200 OK", token);
		a->ttl = from;
		a->ttl_s = ttl_s;
	}
}

static void put(struct mmds *m, const struct request *q, struct span path,
		struct answer *a)
{
	/* It came through a proxy, which may serve somebody else. */
	if (q->header[FORWARDED].at)
		refuse(a, "400 Bad Request",
		       "Invalid header. Reason: Unsupported header name. Key: "
		       "X-Forwarded-For");
	else if (!is_token_path(path))
		not_found(a, path);
	else
		make_token(m, q, a);
}

/* Returns whether the connection may be used again. */
static bool answer(struct mmds *m, struct request *q, struct answer *a)
{
	struct span path = path_of(q);

	switch (llhttp_get_method(&q->llhttp)) {
	case HTTP_GET:
	case HTTP_PUT:
		break;
	default:
		/* A body might be taken for the next request. */
		refuse(a, "405 Method Not Allowed", "Not allowed HTTP method.");
		return false;
	}
	if (!path.len)
		refuse(a, "400 Bad Request", "Invalid URI.");
	else if (llhttp_get_method(&q->llhttp) == HTTP_GET)
		get_checked(m, q, path, a);
	else
		put(m, q, path, a);
	return llhttp_should_keep_alive(&q->llhttp);
}

static void print(struct buf *reply, const struct request *q,
		  const struct answer *a, bool close)
{
	buf_printf(reply,
		   "HTTP/1.%d %s\r\nServer: Firecracker API\r\n"
		   "Connection: %s\r\nContent-Type: %s\r\n"
		   "Content-Length: %zu\r\n",
		   q->llhttp.http_major == 1 && !q->llhttp.http_minor ? 0 : 1,
		   a->status, close ? "close" : "keep-alive",
		   a->is_json ? "application/json" : "text/plain", a->body.len);
	if (!strncmp(a->status, "405", 3))
		buf_text(reply, "Allow: GET, PUT\r\n");
	if (a->ttl != HEADERS)
		buf_printf(reply, "%s: %u\r\n", header_name[a->ttl], a->ttl_s);
	buf_text(reply, "\r\n");
	buf_add(reply, a->body.data, a->body.len);
	reply->failed |= a->body.failed;
}

size_t mmds_answer(void *context, const char *request, size_t len, bool is_all,
		   struct buf *reply, bool *close)
{
	struct request q = {.current = HEADERS};
	struct answer a = {.ttl = HEADERS};
	llhttp_errno_t error;

	llhttp_init(&q.llhttp, HTTP_REQUEST, &settings);
	error = llhttp_execute(&q.llhttp, request, len);
	if (q.complete) {
		len = (size_t)(llhttp_get_error_pos(&q.llhttp) - request);
		*close = !answer(context, &q, &a);
	} else if (error != HPE_OK) {
		refuse(&a, "400 Bad Request", "This is not an HTTP request: ");
		buf_text(&a.body, llhttp_get_error_reason(&q.llhttp));
		*close = true;
	} else if (is_all) {
		refuse(&a, "400 Bad Request", "The request is too long.");
		*close = true;
	} else {
		return 0;
	}
	print(reply, &q, &a, *close);
	buf_free(&a.body);
	return len;
}
