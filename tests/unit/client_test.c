/* SPDX-License-Identifier: Apache-2.0 */
/* Servers that are not there, or do not behave: vmm/ctl/client.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/util.h"
#include "tests/unit/ctl_server.h"
#include "tests/unit/testing.h"
#include "vmm/cli/cli.h"
#include "vmm/ctl/client.h"

/* ---------------------------------------------------------- nobody is there */

static void who_cannot_be_reached_is_named_with_a_remedy(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char name[200];

	(void)state;
	assert_int_equal(ctl("status", NULL, NULL, NULL), UNREACHABLE);
	assert_contains(complained, path);
	assert_contains(complained, "--api-sock");
	/* A socket that somebody left behind. */
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0)
		fail();
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)),
			 0);
	close(fd);
	assert_int_equal(ctl("status", NULL, NULL, NULL), UNREACHABLE);
	assert_contains(complained, "has ended");
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	{
		char *argv[] = {(char *)"status", (char *)"--socket", name};

		assert_int_equal(cli_ctl(3, argv), UNREACHABLE);
	}
}

static void silence_has_an_end(void **state)
{
	(void)state;
	server.silent = true;
	assert_int_equal(served("status", "--timeout", "1", NULL), UNREACHABLE);
	assert_contains(complained, "no answer within 1000 ms");
	server.answer = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{";
	assert_int_equal(served("status", "--timeout", "1", NULL), UNREACHABLE);
}

static void what_is_no_answer_gives_2(void **state)
{
	static const struct {
		const char *answer, *says;
	} cases[] = {
		{"", "before an answer came"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "middle"},
		{"HTTP/1.1 200 OK\r\nX", "before an answer came"},
		{"SSH-2.0-OpenSSH_9.2\r\n", "not valid HTTP"},
		{"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "HTTP"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
		 "Transfer-Encoding: chunked\r\n\r\n",
		 "HTTP"},
		{"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n"
		 "Connection: upgrade\r\n\r\n",
		 "HTTP"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{,}",
		 "not valid JSON"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(answered(cases[i].answer, "status", NULL),
				 UNREACHABLE);
		assert_contains(complained, cases[i].says);
		assert_string_equal(printed, "");
	}
}

static void answers_without_end_are_cut(void **state)
{
	static const struct {
		const char *answer, *again, *says;
		size_t most; /* that the server could send; sockets have room */
	} cases[] = {
		{"HTTP/1.1 200 OK\r\nX: ", "aaaaaaaaaaaaaaaa", "head", MIB(1)},
		{"HTTP/1.1 200 OK\r\n", "X: aaaaaaaaaaaa\r\n", "head", MIB(1)},
		{"", "HTTP/1.1 100 Continue\r\n\r\n", "head", MIB(1)},
		{STREAM "1;", "aaaaaaaaaaaaaaaaaaaaaaaaa", "head", MIB(1)},
		{STREAM,
		 "40\r\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		 "aaaaaaaaaa\r\n",
		 "longer than", MIB(24)},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		server.again = cases[i].again;
		assert_int_equal(answered(cases[i].answer, "status", NULL),
				 UNREACHABLE);
		assert_contains(complained, cases[i].says);
		assert_in_range(server.sent, 1, cases[i].most);
	}
}

static void an_answer_that_does_not_wait_for_the_body_counts(void **state)
{
	size_t len = 4 << 20;
	AUTO_FREE char *json = malloc(len + 1);
	int fd;
	char file[80];

	(void)state;
	memset(json, ' ', len);
	json[0] = '{';
	json[len - 1] = '}';
	fd = testing_file(json, len);
	snprintf(file, sizeof(file), "@%s", testing_file_path(fd));
	server.deaf = true;
	server.answer = "HTTP/1.1 400 \r\nContent-Length: 32\r\n\r\n"
			"{\"fault_message\":\"is too large\"}";
	assert_int_equal(served("put", "/mmds", file, NULL), EXIT_FAILED);
	assert_contains(complained, "is too large");
	close(fd);
}

/* ------------------------------------------------------------------- events */

static void events_come_line_by_line(void **state)
{
	(void)state;
	server.torn = true;
	assert_int_equal(
		answered(STREAM
			 "56\r\n{\"seq\":1,\"time_us\":1000001,\"event\":"
			 "\"state\",\"state\":\"Running\",\"dropped\":0}\n"
			 "{\"seq\":2,\"ti\r\n"
			 "4f\r\nme_us\":86400000000,\"event\":\"error\","
			 "\"dropped\":3,\"reason\":\"a\\u0007b\xc2\x9b\"}\n"
			 "          \r\n0\r\n\r\n",
			 "events", NULL),
		UNREACHABLE); /* blanks are no event */
	assert_string_equal(printed,
			    "1970-01-01T00:00:01.000001Z  state Running\n"
			    "1970-01-02T00:00:00.000000Z  error  a?b??  "
			    "(3 events before it were lost)\n");
}

static void events_end_with_the_vmm(void **state)
{
	(void)state;
	assert_int_equal(answered(STREAM "5\r\n{ }\n\n\r\n0\r\n\r\n", "events",
				  "--json"),
			 EXIT_OK);
	assert_string_equal(printed, "{}\n");
	assert_int_equal(answered(STREAM "4\r\n{ }\n\r\n", "events", "--json"),
			 UNREACHABLE);
	assert_string_equal(printed, "{}\n");
	assert_contains(complained, "in the middle");
}

static void an_event_without_end_is_cut(void **state)
{
	(void)state;
	server.again = "10\r\naaaaaaaaaaaaaaaa\r\n";
	assert_int_equal(answered(STREAM, "events", NULL), UNREACHABLE);
	assert_contains(complained, "a line is longer");
}

static void events_end_with_their_reader(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	close(fds[0]);
	server.silent = true;
	output = fds[1];
	assert_int_equal(answered(STREAM, "events", NULL), EXIT_OK);
	output = -1;
}

/* Or it would end the request's first line. */
static void a_path_has_neither_blanks_nor_line_ends(void **state)
{
	(void)state;
	assert_true(client_path_is_valid("/drives/a?b=\xc3\xa9"));
	assert_false(client_path_is_valid(""));
	assert_false(client_path_is_valid("version"));
	assert_false(client_path_is_valid("/a b"));
	assert_false(client_path_is_valid("/a\r\nHost: x"));
	assert_false(client_path_is_valid("/a\n"));
	assert_false(client_path_is_valid("/a\x7f"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(
			who_cannot_be_reached_is_named_with_a_remedy,
			server_begin),
		cmocka_unit_test_setup(silence_has_an_end, server_begin),
		cmocka_unit_test_setup(what_is_no_answer_gives_2, server_begin),
		cmocka_unit_test_setup(answers_without_end_are_cut,
				       server_begin),
		cmocka_unit_test_setup(
			an_answer_that_does_not_wait_for_the_body_counts,
			server_begin),
		cmocka_unit_test_setup(events_come_line_by_line, server_begin),
		cmocka_unit_test_setup(events_end_with_the_vmm, server_begin),
		cmocka_unit_test_setup(an_event_without_end_is_cut,
				       server_begin),
		cmocka_unit_test_setup(events_end_with_their_reader,
				       server_begin),
		cmocka_unit_test(a_path_has_neither_blanks_nor_line_ends),
	};

	return cmocka_run_group_tests_name("client", tests, server_make_folder,
					   server_remove_folder);
}
