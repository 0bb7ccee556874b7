/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/api/http.h"

#include <string.h>
#include <strings.h>

#include "core/base/util.h"

const char *const http_method_name[] = {
	[HTTP_METHOD_GET] = "GET",
	[HTTP_METHOD_PUT] = "PUT",
	[HTTP_METHOD_PATCH] = "PATCH",
	[HTTP_METHOD_DELETE] = "DELETE",
};

static struct http_parser *parser_of(llhttp_t *llhttp)
{
	return container_of(llhttp, struct http_parser, llhttp);
}

static int refuse(struct http_parser *p, const char *why)
{
	if (!p->refusal.len)
		buf_text(&p->refusal, why);
	return -1;
}

/* Count bytes of the current line; reject it if it is too long. */
static int count(struct http_parser *p, size_t len)
{
	p->line += len;
	p->head += len;
	if (p->line > HTTP_LINE_MAX)
		return refuse(p, "A line of the request is longer than 1024 "
				 "bytes.");
	if (p->head > HTTP_HEAD_MAX)
		return refuse(p, "The headers are longer than 16384 bytes.");
	return 0;
}

static int on_begin(llhttp_t *llhttp)
{
	struct http_parser *p = parser_of(llhttp);

	buf_free(&p->target);
	buf_free(&p->body);
	p->line = p->head = p->name_len = p->expect_len = 0;
	p->awaits_continue = p->complete = false;
	return 0;
}

static int on_url(llhttp_t *llhttp, const char *at, size_t len)
{
	struct http_parser *p = parser_of(llhttp);

	if (count(p, len))
		return -1;
	buf_add(&p->target, at, len);
	return 0;
}

static void keep(char *text, size_t *text_len, const char *at, size_t len)
{
	/* Truncated, because no name or value that we look for is longer. */
	for (size_t i = 0; i < len; i++) {
		if (*text_len < HTTP_NAME_MAX - 1)
			text[*text_len] = at[i];
		*text_len += *text_len < HTTP_NAME_MAX;
	}
	if (*text_len < HTTP_NAME_MAX)
		text[*text_len] = '\0';
}

static int on_field(llhttp_t *llhttp, const char *at, size_t len)
{
	struct http_parser *p = parser_of(llhttp);

	keep(p->name, &p->name_len, at, len);
	return count(p, len);
}

static int on_value(llhttp_t *llhttp, const char *at, size_t len)
{
	struct http_parser *p = parser_of(llhttp);

	if (p->name_len == strlen("Expect") && !strcasecmp(p->name, "Expect"))
		keep(p->expect, &p->expect_len, at, len);
	return count(p, len);
}

static int on_line_end(llhttp_t *llhttp)
{
	struct http_parser *p = parser_of(llhttp);

	p->line = p->name_len = 0;
	return 0;
}

static bool choose_method(struct http_parser *p)
{
	switch (llhttp_get_method(&p->llhttp)) {
	case HTTP_GET:
		p->method = HTTP_METHOD_GET;
		return true;
	case HTTP_PUT:
		p->method = HTTP_METHOD_PUT;
		return true;
	case HTTP_PATCH:
		p->method = HTTP_METHOD_PATCH;
		return true;
	case HTTP_DELETE:
		p->method = HTTP_METHOD_DELETE;
		return true;
	default:
		return false;
	}
}

static int too_large(struct http_parser *p, uint64_t size)
{
	if (!p->refusal.len)
		buf_printf(&p->refusal,
			   "Request payload with size %llu is larger than the "
			   "limit of %zu allowed by server.",
			   (unsigned long long)size, p->body_max);
	return -1;
}

static int on_headers(llhttp_t *llhttp)
{
	struct http_parser *p = parser_of(llhttp);

	if (!choose_method(p))
		return refuse(p, "Invalid HTTP method; use GET, PUT, PATCH or "
				 "DELETE.");
	if (llhttp->content_length > p->body_max &&
	    llhttp->flags & F_CONTENT_LENGTH)
		return too_large(p, llhttp->content_length);
	/* Ignore Upgrade headers, as RFC 9110, 7.8 allows. */
	llhttp->upgrade = 0;
	p->awaits_continue = p->expect_len < HTTP_NAME_MAX && p->expect_len &&
			     !strcasecmp(p->expect, "100-continue");
	return 0;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t len)
{
	struct http_parser *p = parser_of(llhttp);

	p->awaits_continue = false;
	if (len > p->body_max - p->body.len)
		return too_large(p, (uint64_t)p->body.len + len);
	buf_add(&p->body, at, len);
	return 0;
}

static int on_complete(llhttp_t *llhttp)
{
	struct http_parser *p = parser_of(llhttp);

	p->complete = true;
	p->awaits_continue = false;
	p->keep_alive = llhttp_should_keep_alive(llhttp);
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_message_begin = on_begin,
	.on_url = on_url,
	.on_url_complete = on_line_end,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_header_value_complete = on_line_end,
	.on_headers_complete = on_headers,
	.on_body = on_body,
	.on_message_complete = on_complete,
};

void http_init(struct http_parser *p, size_t body_max)
{
	*p = (struct http_parser){.body_max = body_max};
	llhttp_init(&p->llhttp, HTTP_REQUEST, &settings);
}

void http_fini(struct http_parser *p)
{
	buf_free(&p->target);
	buf_free(&p->body);
	buf_free(&p->refusal);
}

enum http_result http_feed(struct http_parser *p, const char *data, size_t len,
			   size_t *used)
{
	llhttp_errno_t error = llhttp_execute(&p->llhttp, data, len);

	if (p->target.failed || p->body.failed) {
		refuse(p, "There is no memory for the request.");
		error = HPE_USER;
	}
	if (error == HPE_OK) {
		*used = len;
		return HTTP_FEED_MORE;
	}
	if (p->complete && error == HPE_PAUSED) {
		*used = (size_t)(llhttp_get_error_pos(&p->llhttp) - data);
		llhttp_resume(&p->llhttp);
		return HTTP_FEED_REQUEST;
	}
	*used = len;
	if (!p->refusal.len)
		buf_printf(&p->refusal, "This is not an HTTP request: %s.",
			   llhttp_get_error_reason(&p->llhttp));
	return HTTP_FEED_REFUSED;
}

const char *http_path(const struct http_parser *p)
{
	const char *target = p->target.data ? p->target.data : "";
	const char *host = strstr(target, "://");

	if (*target == '/' || !host)
		return target;
	host = strchr(host + 3, '/');
	return host ? host : "/";
}
