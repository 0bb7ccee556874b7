/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/util.h"
#include "tests/unit/testing.h"
#include "vmm/api/http.h"

static struct http_parser http;

static int begin(void **state)
{
	(void)state;
	http_init(&http, 100);
	return 0;
}

static int end(void **state)
{
	(void)state;
	http_fini(&http);
	return 0;
}

#define HTTP_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

/* All of @text at once; what was not used goes to *rest. */
static enum http_result feed(const char *text, const char **rest)
{
	size_t used = 0;
	enum http_result r = http_feed(&http, text, strlen(text), &used);

	assert_in_range(used, 0, strlen(text));
	if (rest)
		*rest = text + used;
	return r;
}

static const char put[] = "PUT /machine-config HTTP/1.1\r\n"
			  "Host: localhost\r\n"
			  "content-length: 8\r\n"
			  "\r\n"
			  "{\"a\": 1}";

static void assert_put(void)
{
	assert_int_equal(http.method, HTTP_METHOD_PUT);
	assert_string_equal(http_path(&http), "/machine-config");
	assert_int_equal(http.body.len, 8);
	assert_string_equal(http.body.data, "{\"a\": 1}");
	assert_true(http.keep_alive);
}

static void a_request_in_one_piece(void **state)
{
	const char *rest;

	(void)state;
	assert_int_equal(feed(put, &rest), HTTP_FEED_REQUEST);
	assert_string_equal(rest, "");
	assert_put();
}

static void a_request_byte_by_byte(void **state)
{
	enum http_result r = HTTP_FEED_MORE;
	size_t used;

	(void)state;
	for (size_t i = 0; i < sizeof(put) - 1; i++) {
		assert_int_equal(r, HTTP_FEED_MORE);
		r = http_feed(&http, put + i, 1, &used);
	}
	assert_int_equal(r, HTTP_FEED_REQUEST);
	assert_put();
}

static void pipelined_requests_come_one_by_one(void **state)
{
	char text[3 * sizeof(put)];
	const char *rest = text;

	(void)state;
	snprintf(text, sizeof(text), "%sGET / HTTP/1.1\r\n\r\n%s", put, put);
	assert_int_equal(feed(rest, &rest), HTTP_FEED_REQUEST);
	assert_put();
	assert_int_equal(feed(rest, &rest), HTTP_FEED_REQUEST);
	assert_int_equal(http.method, HTTP_METHOD_GET);
	assert_string_equal(http_path(&http), "/");
	assert_int_equal(http.body.len, 0);
	assert_int_equal(feed(rest, &rest), HTTP_FEED_REQUEST);
	assert_put();
	assert_string_equal(rest, "");
}

static void each_method_is_known_by_its_name(void **state)
{
	static const struct {
		const char *text;
		enum http_method method;
	} cases[] = {
		{"GET / HTTP/1.1\r\n\r\n", HTTP_METHOD_GET},
		{"PUT / HTTP/1.1\r\n\r\n", HTTP_METHOD_PUT},
		{"PATCH / HTTP/1.1\r\n\r\n", HTTP_METHOD_PATCH},
		{"DELETE / HTTP/1.1\r\n\r\n", HTTP_METHOD_DELETE},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(feed(cases[i].text, NULL), HTTP_FEED_REQUEST);
		assert_int_equal(http.method, cases[i].method);
		assert_int_equal(strncmp(cases[i].text,
					 http_method_name[http.method], 3),
				 0);
	}
}

static void connections_are_kept_as_the_client_wants(void **state)
{
	(void)state;
	assert_int_equal(feed("GET / HTTP/1.0\r\n\r\n", NULL),
			 HTTP_FEED_REQUEST);
	assert_false(http.keep_alive);
	end(NULL);
	begin(NULL);
	assert_int_equal(
		feed("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", NULL),
		HTTP_FEED_REQUEST);
	assert_false(http.keep_alive);
}

static void an_absolute_target_is_its_path(void **state)
{
	(void)state;
	assert_int_equal(
		feed("GET http://localhost/version HTTP/1.1\r\n\r\n", NULL),
		HTTP_FEED_REQUEST);
	assert_string_equal(http_path(&http), "/version");
	assert_int_equal(feed("GET http://localhost HTTP/1.1\r\n\r\n", NULL),
			 HTTP_FEED_REQUEST);
	assert_string_equal(http_path(&http), "/");
}

static void a_chunked_body_is_put_together(void **state)
{
	(void)state;
	assert_int_equal(feed("PUT /x HTTP/1.1\r\n"
			      "Transfer-Encoding: chunked\r\n\r\n"
			      "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
			      NULL),
			 HTTP_FEED_REQUEST);
	assert_string_equal(http.body.data, "abcde");
}

static void a_client_can_ask_whether_to_go_on(void **state)
{
	(void)state;
	assert_int_equal(feed("PUT /x HTTP/1.1\r\n"
			      "Expect: 100-Continue\r\n"
			      "Content-Length: 3\r\n\r\n",
			      NULL),
			 HTTP_FEED_MORE);
	assert_true(http.awaits_continue);
	assert_int_equal(feed("abc", NULL), HTTP_FEED_REQUEST);
	assert_false(http.awaits_continue);
	assert_int_equal(feed("PUT /x HTTP/1.1\r\n"
			      "Expectation: 100-continue\r\n"
			      "Content-Length: 3\r\n\r\n",
			      NULL),
			 HTTP_FEED_MORE);
	assert_false(http.awaits_continue);
}

/* ---------------------------------------------------------------- refusals */

static void refused(const char *text, const char *why)
{
	assert_int_equal(feed(text, NULL), HTTP_FEED_REFUSED);
	assert_contains(http.refusal.data, why);
	end(NULL);
	begin(NULL);
}

static void what_is_no_request_is_refused(void **state)
{
	(void)state;
	refused("\x16\x03\x01\x02 TLS hello", "not an HTTP request");
	refused("BREW /pot HTTP/1.1\r\n\r\n", "not an HTTP request");
	refused("POST /x HTTP/1.1\r\n\r\n", "Invalid HTTP method");
	refused("GET / HTTP/9.9\r\n\r\n", "not an HTTP request");
	refused("GET / HTTP/1.1\r\nno colon\r\n\r\n", "not an HTTP request");
	refused("PUT / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
		"not an HTTP request");
	/* Two lengths are how requests are smuggled. */
	refused("PUT / HTTP/1.1\r\nContent-Length: 3\r\n"
		"Transfer-Encoding: chunked\r\n\r\n",
		"not an HTTP request");
	refused("PUT / HTTP/1.1\r\nContent-Length: 1\r\n"
		"Content-Length: 2\r\n\r\n",
		"not an HTTP request");
}

static void a_body_above_the_limit_is_refused_before_it_comes(void **state)
{
	(void)state;
	refused("PUT /x HTTP/1.1\r\nContent-Length: 101\r\n\r\n",
		"Request payload with size 101 is larger than the limit of "
		"100 allowed by server.");
	refused("PUT /x HTTP/1.1\r\nContent-Length: "
		"99999999999999999999999\r\n\r\n",
		"not an HTTP request");
}

static void a_chunked_body_above_the_limit_is_refused(void **state)
{
	char text[300] = "PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
			 "33\r\n";

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		memset(text + strlen(text), 'x', 0x33);
		strncat(text, "\r\n33\r\n", sizeof(text) - strlen(text) - 1);
	}
	refused(text, "Request payload with size 102 is larger");
}

/* Feed @count copies of @piece after @head, a few bytes at a time. */
static enum http_result flood(const char *head, const char *piece,
			      unsigned count)
{
	enum http_result r = feed(head, NULL);

	for (unsigned i = 0; i < count && r == HTTP_FEED_MORE; i++)
		r = feed(piece, NULL);
	return r;
}

static void long_lines_are_refused(void **state)
{
	(void)state;
	assert_int_equal(flood("GET /", "aaaaaaaa", 200), HTTP_FEED_REFUSED);
	assert_contains(http.refusal.data, "longer than 1024 bytes");
	end(NULL);
	begin(NULL);
	assert_int_equal(flood("GET / HTTP/1.1\r\nA: ", "aaaaaaaa", 200),
			 HTTP_FEED_REFUSED);
	assert_contains(http.refusal.data, "longer than 1024 bytes");
	end(NULL);
	begin(NULL);
	assert_int_equal(flood("GET / HTTP/1.1\r\n", "aaaaaaaa", 200),
			 HTTP_FEED_REFUSED);
}

static void a_line_of_the_longest_length_is_fine(void **state)
{
	char text[1200] = "GET /";

	(void)state;
	memset(text + strlen(text), 'a', 1000);
	strncat(text, " HTTP/1.1\r\n\r\n", sizeof(text) - strlen(text) - 1);
	assert_int_equal(feed(text, NULL), HTTP_FEED_REQUEST);
}

static void endless_headers_are_refused(void **state)
{
	(void)state;
	assert_int_equal(
		flood("GET / HTTP/1.1\r\n", "Name: some value\r\n", 2000),
		HTTP_FEED_REFUSED);
	assert_contains(http.refusal.data, "longer than 16384 bytes");
}

static void an_upgrade_is_not_made(void **state)
{
	const char *rest;

	(void)state;
	assert_int_equal(feed("GET / HTTP/1.1\r\nConnection: Upgrade\r\n"
			      "Upgrade: websocket\r\n\r\n"
			      "GET /version HTTP/1.1\r\n\r\n",
			      &rest),
			 HTTP_FEED_REQUEST);
	assert_int_equal(feed(rest, &rest), HTTP_FEED_REQUEST);
	assert_string_equal(http_path(&http), "/version");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HTTP_TEST(a_request_in_one_piece),
		HTTP_TEST(a_request_byte_by_byte),
		HTTP_TEST(pipelined_requests_come_one_by_one),
		HTTP_TEST(each_method_is_known_by_its_name),
		HTTP_TEST(connections_are_kept_as_the_client_wants),
		HTTP_TEST(an_absolute_target_is_its_path),
		HTTP_TEST(a_chunked_body_is_put_together),
		HTTP_TEST(a_client_can_ask_whether_to_go_on),
		HTTP_TEST(what_is_no_request_is_refused),
		HTTP_TEST(a_body_above_the_limit_is_refused_before_it_comes),
		HTTP_TEST(a_chunked_body_above_the_limit_is_refused),
		HTTP_TEST(long_lines_are_refused),
		HTTP_TEST(a_line_of_the_longest_length_is_fine),
		HTTP_TEST(endless_headers_are_refused),
		HTTP_TEST(an_upgrade_is_not_made),
	};

	return RUN_TESTS("http", tests);
}
