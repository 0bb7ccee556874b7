/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/mmds: the answers to a guest's requests, and tokens. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "core/json/json.h"
#include "tests/unit/testing.h"
#include "vmm/config/config.h"
#include "vmm/mmds/mmds_internal.h"

static struct mmds_config config;
static struct mmds m;
static struct err e;
static struct buf reply;
static bool closes;

static int begin(void **state)
{
	(void)state;
	config = (struct mmds_config){.given = true, .v2 = true};
	mmds_init(&m, &config);
	return 0;
}

static int end(void **state)
{
	(void)state;
	mmds_fini(&m);
	buf_free(&reply);
	return 0;
}

static void put_document(void)
{
	static const char document[] =
		"{\"name\":{\"first\":\"John\",\"second\":\"Doe\"},"
		"\"age\":43,\"phones\":[\"+40\",\"+44\"],\"member\":false,"
		"\"a/b~c\":\"~\",\"empty\":{}}";
	struct json_t *json = json_parse(document, strlen(document), &e);

	assert_ok(mmds_put(&m, json, &e), e);
	json_free(json);
}

/* ----------------------------------------------------------------- requests */

static void ask_bytes(const char *request, size_t len)
{
	buf_free(&reply);
	closes = false;
	assert_int_equal(mmds_answer(&m, request, len, false, &reply, &closes),
			 len);
	assert_non_null(reply.data);
}

/* A request with these headers, each with its line's end. */
static void ask(const char *line, const char *headers)
{
	char text[1000];
	int len = snprintf(text, sizeof(text), "%s HTTP/1.1\r\n%s\r\n", line,
			   headers);

	ask_bytes(text, (size_t)len);
}

static const char *body(void)
{
	const char *end = strstr(reply.data, "\r\n\r\n");

	assert_non_null(end);
	return end + 4;
}

static void assert_reply(const char *status, const char *text)
{
	char length[40];

	if (strncmp(reply.data + strlen("HTTP/1.1 "), status, strlen(status)) !=
		    0 ||
	    strcmp(body(), text) != 0)
		fail_msg("instead of %s %s: %s", status, text, reply.data);
	snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n",
		 strlen(text));
	assert_non_null(strstr(reply.data, length));
}

static void version_1_needs_no_token(void **state)
{
	(void)state;
	config.v2 = false;
	ask("GET /", "");
	assert_reply("404", "Resource not found: /.");
	put_document();
	ask("GET /", "");
	assert_reply("200", "a/b~c\nage\nempty/\nmember\nname/\nphones");
	assert_non_null(strstr(reply.data, "\r\nContent-Type: text/plain\r\n"));
	assert_non_null(strstr(reply.data, "\r\nConnection: keep-alive\r\n"));
	assert_false(closes);
	ask("GET /", "X-metadata-token: wrong\r\n");
	assert_reply("200", "a/b~c\nage\nempty/\nmember\nname/\nphones");
	assert_int_equal(m.server.metrics->rx_invalid_token, 1);
	assert_int_equal(m.server.metrics->rx_no_token, 2);
}

static void paths_and_formats(void **state)
{
	static const struct {
		const char *path, *text, *json; /* NULL: 501 */
	} cases[] = {
		{"/name", "first\nsecond",
		 "{\"first\":\"John\",\"second\":\"Doe\"}"},
		{"/name/", "first\nsecond",
		 "{\"first\":\"John\",\"second\":\"Doe\"}"},
		{"//name///first//", "John", "\"John\""},
		{"http://169.254.169.254/name/first", "John", "\"John\""},
		{"/age", NULL, "43"},
		{"/phones", NULL, "[\"+40\",\"+44\"]"},
		{"/phones/1", "+44", "\"+44\""},
		{"/member", NULL, "false"},
		{"/a~1b~0c", "~", "\"~\""},
		{"/empty", "", "{}"},
	};
	static const char unsupported[] = "Cannot retrieve value. The value "
					  "has an unsupported type.";

	(void)state;
	config.v2 = false;
	put_document();
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		const char *text = cases[i / 2].text;
		char line[100];

		config.imds_compat = i % 2;
		snprintf(line, sizeof(line), "GET %s", cases[i / 2].path);
		ask(line, "accept: */*\r\n");
		assert_reply(text ? "200" : "501", text ? text : unsupported);
		ask(line, "Accept: text/plain, application/JSON\r\n");
		if (!config.imds_compat)
			text = cases[i / 2].json;
		assert_reply(text ? "200" : "501", text ? text : unsupported);
		assert_non_null(strstr(reply.data,
				       config.imds_compat
					       ? "Content-Type: text/plain\r\n"
					       : "Content-Type: application/"
						 "json\r\n"));
	}
}

static void what_is_not_there_is_not_found(void **state)
{
	static const char *const paths[] = {"/nam",
					    "/name/first/x",
					    "/phones/2",
					    "/phones/01",
					    "/phones/-",
					    "/phones/+1",
					    "/phones/4294967296",
					    "/a~",
					    "/a~2"};

	(void)state;
	config.v2 = false;
	put_document();
	for (unsigned i = 0; i < ARRAY_SIZE(paths); i++) {
		char line[100], text[100];

		snprintf(line, sizeof(line), "GET %s", paths[i]);
		snprintf(text, sizeof(text), "Resource not found: %s.",
			 paths[i]);
		ask(line, "");
		assert_reply("404", text);
	}
}

/* --------------------------------------------------------------- refusals */

static void other_methods_are_refused(void **state)
{
	static const char *const methods[] = {"HEAD", "POST", "PATCH",
					      "DELETE"};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(methods); i++) {
		char line[40];

		snprintf(line, sizeof(line), "%s /", methods[i]);
		ask(line, "");
		assert_reply("405", "Not allowed HTTP method.");
		assert_non_null(strstr(reply.data, "\r\nAllow: GET, PUT\r\n"));
		assert_true(closes);
	}
}

static void what_is_not_http_is_refused(void **state)
{
	(void)state;
	ask_bytes("garbage\r\n\r\n", 11);
	assert_memory_equal(reply.data, "HTTP/1.1 400", 12);
	assert_true(closes);
	ask("GET http://", "");
	assert_reply("400", "Invalid URI.");
	ask("GET http://169.254.169.254", "");
	assert_reply("400", "Invalid URI.");
}

static void half_a_request_waits_unless_there_is_no_room(void **state)
{
	static const char half[] = "GET / HTTP/1.1\r\nHost: x\r\n";

	(void)state;
	assert_int_equal(
		mmds_answer(&m, half, sizeof(half) - 1, false, &reply, &closes),
		0);
	assert_int_equal(reply.len, 0);
	assert_int_equal(
		mmds_answer(&m, half, sizeof(half) - 1, true, &reply, &closes),
		sizeof(half) - 1);
	assert_reply("400", "The request is too long.");
	assert_true(closes);
}

static void what_follows_a_request_is_left(void **state)
{
	static const char two[] = "PUT /x HTTP/1.1\r\nContent-Length: 3\r\n"
				  "\r\nabcGET / HTTP/1.1\r\n\r\n";

	(void)state;
	assert_int_equal(
		mmds_answer(&m, two, sizeof(two) - 1, false, &reply, &closes),
		sizeof(two) - 1 - 18);
	assert_reply("404", "Resource not found: /x.");
}

static void the_connection_closes_if_the_request_says_so(void **state)
{
	(void)state;
	ask("GET /", "Connection: close\r\n");
	assert_true(closes);
	assert_non_null(strstr(reply.data, "\r\nConnection: close\r\n"));
	ask_bytes("GET / HTTP/1.0\r\n\r\n", 18);
	assert_true(closes);
	assert_memory_equal(reply.data, "HTTP/1.0 401", 12);
}

/* ------------------------------------------------------------------- tokens */

/* A token, of which .data has to be freed. */
static struct buf get_token(const char *headers)
{
	struct buf token = {0};

	ask("PUT /latest/api/token", headers);
	assert_memory_equal(reply.data, "HTTP/1.1 200", 12);
	buf_text(&token, body());
	assert_int_equal(token.len, TOKEN_LEN);
	return token;
}

static void ask_with(const char *header, const char *token)
{
	char line[200];

	snprintf(line, sizeof(line), "%s: %s\r\n", header, token);
	ask("GET /name/first", line);
}

static void version_2_needs_a_token(void **state)
{
	static const char *const header[] = {"X-metadata-token",
					     "x-aws-EC2-metadata-token"};
	uint64_t no_token = m.server.metrics->rx_no_token;
	uint64_t invalid = m.server.metrics->rx_invalid_token;

	(void)state;
	put_document();
	ask("GET /name/first", "");
	assert_reply("401", "No MMDS token provided. Use `X-metadata-token` or "
			    "`X-aws-ec2-metadata-token` header to specify the "
			    "session token.");
	assert_int_equal(m.server.metrics->rx_no_token, no_token + 1);
	for (unsigned i = 0; i < ARRAY_SIZE(header); i++) {
		char line[100];
		struct buf token;

		snprintf(line, sizeof(line), "%s-ttl-seconds: 21600\r\n",
			 header[i]);
		token = get_token(line);
		assert_non_null(strcasestr(reply.data, line));
		for (unsigned k = 0; k < ARRAY_SIZE(header); k++) {
			ask_with(header[k], token.data);
			assert_reply("200", "John");
		}
		buf_free(&token);
	}
	ask_with(header[0], "");
	assert_reply("401", "MMDS token not valid.");
	assert_int_equal(m.server.metrics->rx_invalid_token, invalid + 1);
}

static void each_character_of_a_token_counts(void **state)
{
	struct buf token = get_token("X-metadata-token-ttl-seconds: 60\r\n");

	(void)state;
	assert_true(mmds_token_is_valid(&m, token.data, TOKEN_LEN));
	assert_false(mmds_token_is_valid(&m, token.data, TOKEN_LEN - 1));
	for (unsigned i = 0; i < TOKEN_LEN; i++) {
		char right = token.data[i];

		token.data[i] = right == '0' ? '1' : '0';
		assert_false(mmds_token_is_valid(&m, token.data, TOKEN_LEN));
		token.data[i] = 'F';
		assert_false(mmds_token_is_valid(&m, token.data, TOKEN_LEN));
		token.data[i] = right;
	}
	buf_free(&token);
}

static void tokens_end_when_they_should(void **state)
{
	struct buf one = get_token("X-metadata-token-ttl-seconds: 1\r\n");
	struct buf most = get_token("X-metadata-token-ttl-seconds: 21600\r\n");
	const uint64_t now = clock_now_ns(CLOCK_BOOTTIME);

	(void)state;
	assert_true(mmds_token_was_valid(&m, one.data, TOKEN_LEN,
					 now + NS_PER_S / 4));
	assert_false(
		mmds_token_was_valid(&m, one.data, TOKEN_LEN, now + NS_PER_S));
	assert_true(mmds_token_was_valid(&m, most.data, TOKEN_LEN,
					 now + 21599 * NS_PER_S));
	assert_false(mmds_token_was_valid(&m, most.data, TOKEN_LEN,
					  now + 21600 * NS_PER_S));
	assert_string_not_equal(one.data, most.data);
	buf_free(&one);
	buf_free(&most);
}

static void tokens_of_another_service_are_not_valid(void **state)
{
	struct buf token = get_token("X-metadata-token-ttl-seconds: 60\r\n");
	struct mmds other = m;
	char own[TOKEN_LEN + 1];

	(void)state;
	/* As after a restore: another process. */
	other.has_key = false;
	assert_false(mmds_token_is_valid(&other, token.data, TOKEN_LEN));
	assert_true(mmds_token_make(&other, 60, own));
	assert_true(mmds_token_is_valid(&other, own, TOKEN_LEN));
	assert_false(mmds_token_is_valid(&other, token.data, TOKEN_LEN));
	assert_false(mmds_token_is_valid(&m, own, TOKEN_LEN));
	buf_free(&token);
}

static void bad_requests_for_tokens(void **state)
{
	static const char ttl[] = "X-metadata-token-ttl-seconds";
	static const char *const cases[][3] = {
		{"0", "Invalid time to live value provided for token: 0. "
		      "Please provide a value between 1 and 21600."},
		{"21601", "Invalid time to live value provided for token: "
			  "21601. Please provide a value between 1 and 21600."},
		{"x", "Invalid header. Reason: Invalid value. "
		      "Key:X-metadata-token-ttl-seconds; Value:x"},
		{"-1", "Invalid header. Reason: Invalid value. "
		       "Key:X-metadata-token-ttl-seconds; Value:-1"},
		{"", "Invalid header. Reason: Invalid value. "
		     "Key:X-metadata-token-ttl-seconds; Value:"},
		{"4294967297", "Invalid header. Reason: Invalid value. "
			       "Key:X-metadata-token-ttl-seconds; "
			       "Value:4294967297"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		char line[100];

		snprintf(line, sizeof(line), "%s: %s\r\n", ttl, cases[i][0]);
		ask("PUT /latest/api/token", line);
		assert_reply("400", cases[i][1]);
	}
	ask("PUT /latest/api/token", "");
	assert_reply("400",
		     "Token time to live value not found. Use "
		     "`X-metadata-token-ttl-seconds` or "
		     "`X-aws-ec2-metadata-token-ttl-seconds` header to specify "
		     "the token's lifetime.");
	ask("PUT /latest/api/token",
	    "X-metadata-token-ttl-seconds: 60\r\nx-forwarded-for: 1.2.3.4\r\n");
	assert_reply("400", "Invalid header. Reason: Unsupported header name. "
			    "Key: X-Forwarded-For");
	ask("PUT /latest/api/tokens", "X-metadata-token-ttl-seconds: 60\r\n");
	assert_reply("404", "Resource not found: /latest/api/tokens.");
	assert_false(m.has_key);
	ask("PUT //latest//api/token", "X-metadata-token-ttl-seconds: 60\r\n");
	assert_int_equal(strlen(body()), TOKEN_LEN);
}

/* The authors' test vectors: key and data are 0, 1, 2 ... */
static void siphash_is_that_of_its_authors(void **state)
{
	static const struct {
		size_t len;
		uint8_t tag[16];
	} cases[] = {
		{0,
		 {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6,
		  0x72, 0x14, 0xc7, 0x55, 0x02, 0x93}},
		{1,
		 {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76,
		  0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45}},
		{15,
		 {0x54, 0x93, 0xe9, 0x99, 0x33, 0xb0, 0xa8, 0x11, 0x7e, 0x08,
		  0xec, 0x0f, 0x97, 0xcf, 0xc3, 0xd9}},
		{16,
		 {0x6e, 0xe2, 0xa4, 0xca, 0x67, 0xb0, 0x54, 0xbb, 0xfd, 0x33,
		  0x15, 0xbf, 0x85, 0x23, 0x05, 0x77}},
	};
	uint8_t bytes[16], tag[16];

	(void)state;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		mmds_siphash(bytes, bytes, cases[i].len, tag);
		assert_memory_equal(tag, cases[i].tag, sizeof(tag));
	}
}

#define MMDS_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MMDS_TEST(version_1_needs_no_token),
		MMDS_TEST(paths_and_formats),
		MMDS_TEST(what_is_not_there_is_not_found),
		MMDS_TEST(other_methods_are_refused),
		MMDS_TEST(what_is_not_http_is_refused),
		MMDS_TEST(half_a_request_waits_unless_there_is_no_room),
		MMDS_TEST(what_follows_a_request_is_left),
		MMDS_TEST(the_connection_closes_if_the_request_says_so),
		MMDS_TEST(version_2_needs_a_token),
		MMDS_TEST(each_character_of_a_token_counts),
		MMDS_TEST(tokens_end_when_they_should),
		MMDS_TEST(tokens_of_another_service_are_not_valid),
		MMDS_TEST(bad_requests_for_tokens),
		MMDS_TEST(siphash_is_that_of_its_authors),
	};

	return cmocka_run_group_tests_name("mmds", tests, NULL, NULL);
}
