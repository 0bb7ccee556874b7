/* SPDX-License-Identifier: Apache-2.0 */
/* `stasis ctl`: what it sends and what it shows: vmm/ctl/ctl.c. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/util.h"
#include "tests/unit/ctl_server.h"
#include "tests/unit/testing.h"
#include "vmm/cli/cli.h"

/* ------------------------------------------------------------- what is sent */

static void commands_send_their_requests(void **state)
{
	(void)state;
	assert_int_equal(answered(NO_CONTENT, "pause", NULL), EXIT_OK);
	assert_contains(server.request, "PATCH /vm HTTP/1.1\r\n");
	assert_contains(server.request, "\r\nContent-Length: 18\r\n");
	assert_contains(server.request, "\r\n\r\n{\"state\":\"Paused\"}");
	assert_string_equal(printed, "paused\n");
	assert_int_equal(answered(NO_CONTENT, "resume", NULL), EXIT_OK);
	assert_contains(server.request, "\r\n\r\n{\"state\":\"Resumed\"}");
	assert_int_equal(answered(NO_CONTENT, "stop", NULL), EXIT_OK);
	assert_contains(server.request, "PUT /actions HTTP/1.1\r\n");
	assert_contains(server.request, "{\"action_type\":\"Stop\"}");
	assert_int_equal(answered(NO_CONTENT, "power-button", NULL), EXIT_OK);
	assert_contains(server.request, "{\"action_type\":\"SendCtrlAltDel\"}");
	assert_int_equal(answered(NO_CONTENT, "delete", "/drives/a"), EXIT_OK);
	assert_contains(server.request, "DELETE /drives/a HTTP/1.1\r\n");
	assert_lacks(server.request, "Content-Length");
}

static void resume_takes_a_clock(void **state)
{
	(void)state;
	server.answer = NO_CONTENT;
	assert_int_equal(served("resume", "--clock", "continuous", NULL),
			 EXIT_OK);
	assert_contains(server.request, "\r\n\r\n{\"state\":\"Resumed\","
					"\"clock\":\"continuous\"}");
	assert_int_equal(served("resume", "--clock=continuous", "--max-jump-ms",
				"7200000"),
			 EXIT_OK);
	assert_contains(server.request, "\"clock\":{\"policy\":\"continuous\","
					"\"max_jump_ms\":7200000}}");
	assert_int_equal(served("resume", "--clock=continuous",
				"--max-jump-ms=0", "--unsynchronized"),
			 EXIT_OK);
	assert_contains(server.request,
			"{\"state\":\"Resumed\",\"clock\":{\"policy\":"
			"\"continuous\",\"max_jump_ms\":0,"
			"\"unsynchronized\":true}}");
	assert_int_equal(ctl("resume", "--max-jump-ms=1", NULL, NULL),
			 EXIT_BAD_ARGUMENTS);
	assert_contains(complained, "--max-jump-ms goes with resume --clock");
	assert_int_equal(ctl("resume", "--clock=frozen", "--max-jump-ms", "9x"),
			 EXIT_BAD_ARGUMENTS);
	assert_contains(complained, "--max-jump-ms 9x is not valid");
	assert_int_equal(ctl("resume", "--clock=frozen",
			     "--max-jump-ms=2147483648", NULL),
			 EXIT_BAD_ARGUMENTS);
	assert_int_equal(ctl("pause", "--clock", "frozen", NULL),
			 EXIT_BAD_ARGUMENTS);
	assert_int_equal(ctl("resume", "--clock", "quartz", NULL),
			 EXIT_BAD_ARGUMENTS);
	assert_contains(complained, "frozen or continuous");
}

static void pause_takes_a_timeout(void **state)
{
	(void)state;
	server.answer = NO_CONTENT;
	assert_int_equal(served("pause", "--timeout", "7", NULL), EXIT_OK);
	assert_contains(server.request, "\r\n\r\n{\"state\":\"Paused\","
					"\"timeout_ms\":7000}");
	/* What the API takes at most. */
	assert_int_equal(served("pause", "--timeout", "86400", NULL), EXIT_OK);
	assert_contains(server.request, "\"timeout_ms\":3600000}");
	assert_int_equal(served("pause", NULL, NULL, NULL), EXIT_OK);
	assert_contains(server.request, "\r\n\r\n{\"state\":\"Paused\"}");
}

static void json_comes_from_the_command_line_a_file_or_stdin(void **state)
{
	int saved = dup(0), fd = testing_file("{\"a\": 2}", 8);
	char file[80];

	(void)state;
	if (saved < 0 || fd < 0)
		fail();
	server.answer = NO_CONTENT;
	assert_int_equal(served("put", "/drives/a", "{\"a\": 1}", NULL),
			 EXIT_OK);
	assert_contains(server.request, "PUT /drives/a HTTP/1.1\r\n");
	assert_contains(server.request, "\r\n\r\n{\"a\": 1}");
	snprintf(file, sizeof(file), "@%s", testing_file_path(fd));
	assert_int_equal(served("patch", "/mmds", file, NULL), EXIT_OK);
	assert_contains(server.request, "\r\n\r\n{\"a\": 2}");
	lseek(fd, 0, SEEK_SET);
	dup2(fd, 0);
	assert_int_equal(served("put", "/mmds", "-", NULL), EXIT_OK);
	assert_contains(server.request, "\r\n\r\n{\"a\": 2}");
	dup2(saved, 0);
	close(saved);
	close(fd);
}

static void wrong_words_are_refused_before_anything_is_sent(void **state)
{
	static const struct {
		const char *words[4], *says;
	} cases[] = {
		{{NULL}, "a command is needed"},
		{{"pauze"}, "unknown command \"pauze\""},
		{{"pause", "now"}, "\"now\" is one argument too many"},
		{{"get"}, "needs a path"},
		{{"get", "vm"}, "starts with /"},
		{{"get", "/a b"}, "no blanks"},
		{{"get", "/a\r\nX: y"}, "no blanks"},
		{{"put", "/vm", "{\"a\":}"}, "this is not valid JSON"},
		{{"put", "/vm", "@/nowhere"}, "/nowhere"},
		{{"put", "/vm", "{}", "{}"}, "one argument too many"},
		{{"get", "/", "--timeout", "0"}, "--timeout 0"},
		{{"get", "/", "--sokket"}, "did you mean --socket"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *const *w = cases[i].words;

		assert_int_equal(ctl(w[0], w[1], w[2], w[3]),
				 EXIT_BAD_ARGUMENTS);
		assert_contains(complained, cases[i].says);
	}
}

/* ------------------------------------------------------------ what is shown */

static const char instance[] =
	"{\"id\":\"a\",\"state\":\"Not started\",\"vmm_version\":\"1.17.0\","
	"\"app_name\":\"stasis\",\"stasis_version\":\"0.1.0\"}";

static void status_is_readable(void **state)
{
	(void)state;
	assert_int_equal(answered_json("200 OK", instance, "status", NULL),
			 EXIT_OK);
	assert_contains(server.request, "GET / HTTP/1.1\r\n");
	assert_string_equal(printed, "state    Not started\nid       a\n"
				     "version  0.1.0, with the API of "
				     "Firecracker 1.17.0\n");
	assert_int_equal(answered_json("200 OK", instance, "status", "--json"),
			 EXIT_OK);
	assert_contains(printed, instance);
}

static void an_answer_may_come_in_bytes_and_after_others(void **state)
{
	(void)state;
	server.torn = true;
	assert_int_equal(answered_json("200 OK", instance, "status", NULL),
			 EXIT_OK);
	assert_contains(printed, "Not started");
	assert_int_equal(answered("HTTP/1.1 100 Continue\r\n\r\n" NO_CONTENT,
				  "pause", NULL),
			 EXIT_OK);
	/* Its end is the connection's. */
	assert_int_equal(
		answered("HTTP/1.1 200 OK\r\n\r\n{\"a\":1}", "get", "/vm"),
		EXIT_OK);
	assert_string_equal(printed, "{\n  \"a\": 1\n}\n");
	/* Nobody asked for more. */
	assert_int_equal(answered(NO_CONTENT "garbage", "pause", NULL),
			 EXIT_OK);
}

static void metrics_that_count_are_shown(void **state)
{
	(void)state;
	assert_int_equal(
		answered_json("200 OK",
			      "{\"a\":{\"b\":0,\"c\":7},\"d\":[0,{\"e\":"
			      "\"x\\u0007\"}]}",
			      "metrics", NULL),
		EXIT_OK);
	assert_contains(printed, "a.c ");
	assert_contains(printed, " 7\n");
	assert_contains(printed, "[0,{\"e\":\"x\\u0007\"}]\n");
	assert_lacks(printed, "a.b");
}

static void a_refusal_is_told_and_gives_1(void **state)
{
	static const char no[] = "{\"fault_message\":\"not\\u001b[2J now\"}";

	(void)state;
	assert_int_equal(answered_json("400 ", no, "pause", NULL), EXIT_FAILED);
	assert_string_equal(printed, "");
	assert_string_equal(complained,
			    "stasis: error: PATCH /vm was rejected (400): "
			    "not?[2J now\n");
	assert_int_equal(answered_json("400 ", no, "pause", "--json"),
			 EXIT_FAILED);
	assert_contains(printed, "{\"fault_message\":\"not\\u001B[2J now\"}\n");
	assert_int_equal(answered_json("503 ", "{\"error\":\"too many\"}",
				       "pause", NULL),
			 EXIT_FAILED);
	assert_contains(complained, "(503): too many");
	assert_int_equal(answered_json("500 ", "x", "pause", NULL),
			 EXIT_FAILED);
	assert_contains(complained, "(500): no reason given");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(commands_send_their_requests,
				       server_begin),
		cmocka_unit_test_setup(resume_takes_a_clock, server_begin),
		cmocka_unit_test_setup(pause_takes_a_timeout, server_begin),
		cmocka_unit_test_setup(
			json_comes_from_the_command_line_a_file_or_stdin,
			server_begin),
		cmocka_unit_test_setup(
			wrong_words_are_refused_before_anything_is_sent,
			server_begin),
		cmocka_unit_test_setup(status_is_readable, server_begin),
		cmocka_unit_test_setup(
			an_answer_may_come_in_bytes_and_after_others,
			server_begin),
		cmocka_unit_test_setup(metrics_that_count_are_shown,
				       server_begin),
		cmocka_unit_test_setup(a_refusal_is_told_and_gives_1,
				       server_begin),
	};

	return cmocka_run_group_tests_name("ctl", tests, server_make_folder,
					   server_remove_folder);
}
