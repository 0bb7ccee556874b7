/* SPDX-License-Identifier: Apache-2.0 */
/* `stasis ctl`: API requests from the command line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/options.h"
#include "core/base/text.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "core/json/json.h"
#include "vmm/cli/cli.h"
#include "vmm/ctl/client.h"
#include "vmm/ctl/ctl_clock.h"

enum {
	EXIT_UNREACHABLE = 2,
	TIMEOUT_DEFAULT_S = 30,
	TIMEOUT_MAX_S = 86400,
	PAUSE_ANSWER_MS = 2000,
	WORDS_MAX = 3,
};

struct ctl {
	const char *socket, *clock; /* for resume */
	bool has_max_jump, unsynchronized;
	uint64_t max_jump_ms;
	unsigned timeout_s;
	bool has_timeout, json, help;
	const char *words[WORDS_MAX]; /* the command, a path, JSON */
	unsigned word_count;
	unsigned long long lost; /* events, as reported so far */
};

struct command {
	const char *name, *arguments, *help;
	const char *method, *path; /* path NULL: the user gives it */
	const char *body;
	const char *done; /* printed if the answer has no body */
	void (*show)(struct ctl *ctl, const struct json_t *answer);
	unsigned words_max; /* including the command's name */
};

/* ------------------------------------------------------------------- output */

struct text {
	char chars[1024];
};

/* A string member, truncated to 1023 bytes; @otherwise if there is none. */
static struct text text_of(const struct json_t *object, const char *name,
			   const char *otherwise)
{
	const char *found = json_text(json_member(object, name));
	struct text text;

	snprintf(text.chars, sizeof(text.chars), "%s",
		 found ? found : otherwise);
	/* The server's text must not send control codes to the terminal. */
	text_make_printable(text.chars, strlen(text.chars));
	return text;
}

static void show_json(struct ctl *ctl, const struct json_t *answer)
{
	json_print(stdout, answer, !ctl->json);
	putchar('\n');
}

static void show_metrics(struct ctl *ctl, const struct json_t *answer)
{
	(void)ctl;
	json_print_flat(stdout, answer);
}

static void show_clock(struct ctl *ctl, const struct json_t *answer)
{
	(void)ctl;
	ctl_show_clock(answer);
}

static void show_status(struct ctl *ctl, const struct json_t *answer)
{
	(void)ctl;
	printf("state    %s\n", text_of(answer, "state", "?").chars);
	printf("id       %s\n", text_of(answer, "id", "?").chars);
	printf("version  %s, with the API of Firecracker %s\n",
	       text_of(answer, "stasis_version", "?").chars,
	       text_of(answer, "vmm_version", "?").chars);
}

/* "2026-11-22T23:06:29.123456Z  paused  (reason)" */
static int show_event(void *context, const char *line, size_t len,
		      struct err *e)
{
	struct ctl *ctl = context;
	struct json_t *event = json_parse(line, len, e);
	uint64_t us = 0, dropped = 0;
	char date[LOG_UTC_MAX];

	if (!event)
		return err_prefix(e, "an event that is not valid JSON");
	json_u64(json_member(event, "time_us"), &us);
	json_u64(json_member(event, "dropped"), &dropped);
	if (ctl->json) {
		json_print(stdout, event, false);
	} else {
		log_print_utc(date, sizeof(date), us / 1000000);
		printf("%s.%06uZ  %s", date, (unsigned)(us % 1000000),
		       text_of(event, "event", "?").chars);
		if (json_member(event, "state"))
			printf(" %s", text_of(event, "state", "?").chars);
		if (json_member(event, "reason"))
			printf("  %s", text_of(event, "reason", "?").chars);
		if (dropped > ctl->lost)
			printf("  (%llu events before it were lost)",
			       (unsigned long long)dropped - ctl->lost);
	}
	ctl->lost = dropped;
	putchar('\n');
	json_free(event);
	if (fflush(stdout))
		return err_errno(e, "cannot write to standard output");
	return 0;
}

/* ----------------------------------------------------------------- commands */

static const struct command commands[] = {
	{"status", "", "the microVM's state, id and version", "GET", "/",
	 .show = show_status, .words_max = 1},
	{"pause", "", "stop the guest's CPUs", "PATCH", "/vm",
	 "{\"state\":\"Paused\"}", "paused", .words_max = 1},
	{"resume", "", "let them run; --clock chooses the guest's time",
	 "PATCH", "/vm", "{\"state\":\"Resumed\"}", "resumed", .words_max = 1},
	{"stop", "", "end the VMM, at once", "PUT", "/actions",
	 "{\"action_type\":\"Stop\"}", "stopped", .words_max = 1},
	{"power-button", "", "press it, so that the guest shuts down", "PUT",
	 "/actions", "{\"action_type\":\"SendCtrlAltDel\"}", "pressed",
	 .words_max = 1},
	{"clock", "", "the guest's time, and operations on it", "GET", "/clock",
	 .show = show_clock, .words_max = 1},
	{"metrics", "", "counters since the start that are not 0", "GET",
	 "/metrics", .show = show_metrics, .words_max = 1},
	{"events", "", "print events as they happen", "GET", "/events",
	 .words_max = 1},
	{"get", "PATH", "any request, for example: get /machine-config", "GET",
	 .show = show_json, .words_max = 2},
	{"put", "PATH JSON", "@FILE is JSON from a file, - from standard input",
	 "PUT", .done = "done", .words_max = 3},
	{"patch", "PATH JSON", "as put", "PATCH", .done = "done",
	 .words_max = 3},
	{"delete", "PATH", "as get", "DELETE", .done = "done", .words_max = 2},
};

static const struct command *find_command(const struct ctl *ctl, struct err *e)
{
	if (ctl->word_count == 0) {
		err_set(e, "a command is needed; see stasis ctl --help");
		return NULL;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(commands[i].name, ctl->words[0]))
			return &commands[i];
	}
	err_set(e, "unknown command \"%.40s\"; stasis ctl --help lists them",
		ctl->words[0]);
	return NULL;
}

static int check_words(const struct ctl *ctl, const struct command *c,
		       struct err *e)
{
	if (ctl->word_count > c->words_max)
		return err_set(e, "%s: \"%.40s\" is one argument too many",
			       c->name, ctl->words[c->words_max]);
	if (!c->path && ctl->word_count < 2)
		return err_set(e, "%s needs a path: %s %s", c->name, c->name,
			       c->arguments);
	if (!c->path && !client_path_is_valid(ctl->words[1]))
		return err_set(e,
			       "\"%.40s\" is not a valid API path; it starts "
			       "with / and has no blanks",
			       ctl->words[1]);
	if (ctl->clock && strcmp(c->name, "resume") != 0)
		return err_set(e, "--clock is for resume");
	if (!ctl->clock && (ctl->has_max_jump || ctl->unsynchronized))
		return err_set(e,
			       "--%s goes with resume --clock continuous; "
			       "give both",
			       ctl->has_max_jump ? "max-jump-ms"
						 : "unsynchronized");
	return 0;
}

/* ----------------------------------------------------------------- the body */

static void add_resume(const struct ctl *ctl, struct buf *body)
{
	buf_text(body, "{\"state\":\"Resumed\",\"clock\":");
	if (!ctl->has_max_jump && !ctl->unsynchronized) {
		buf_printf(body, "\"%s\"}", ctl->clock);
		return;
	}
	buf_printf(body, "{\"policy\":\"%s\"", ctl->clock);
	if (ctl->has_max_jump)
		buf_printf(body, ",\"max_jump_ms\":%llu",
			   (unsigned long long)ctl->max_jump_ms);
	if (ctl->unsynchronized)
		buf_text(body, ",\"unsynchronized\":true");
	buf_text(body, "}}");
}

static bool is_pause(const struct command *c)
{
	return !strcmp(c->name, "pause");
}

/* In ms; the API accepts at most one hour. */
static unsigned pause_timeout_ms(const struct ctl *ctl)
{
	return (ctl->timeout_s < 3600 ? ctl->timeout_s : 3600) * 1000;
}

static int read_body(const struct ctl *ctl, const struct command *c,
		     struct buf *body, struct err *e)
{
	const char *json = ctl->word_count > 2 ? ctl->words[2] : c->body;
	struct json_t *document;

	if (ctl->clock) {
		add_resume(ctl, body);
	} else if (ctl->has_timeout && is_pause(c)) {
		buf_printf(body, "{\"state\":\"Paused\",\"timeout_ms\":%u}",
			   pause_timeout_ms(ctl));
	} else if (json && (!strcmp(json, "-") || json[0] == '@')) {
		AUTO_FREE char *text = NULL;
		size_t len;

		text = io_read_input(json[0] == '@' ? json + 1 : json,
				     CLIENT_BODY_MAX, &len, e);
		if (!text)
			return -1;
		buf_add(body, text, len);
	} else if (json) {
		buf_text(body, json);
	}
	if (body->failed)
		return err_set(e, "no memory for the request");
	if (!json)
		return 0;
	document = json_parse(body->data ? body->data : "", body->len, e);
	if (!document)
		return err_prefix(e, "this is not valid JSON");
	json_free(document);
	return 0;
}

/* --------------------------------------------------------------- the answer */

static int refused(struct ctl *ctl, const struct client_request *request,
		   unsigned status, struct json_t *answer)
{
	/* "error": the server could not parse the request as HTTP. */
	const char *name = json_member(answer, "fault_message")
				   ? "fault_message"
				   : "error";

	if (ctl->json && answer)
		show_json(ctl, answer);
	log_error("%s %s was rejected (%u): %s", request->method, request->path,
		  status, text_of(answer, name, "no reason given").chars);
	return EXIT_FAILED;
}

static int show_answer(struct ctl *ctl, const struct command *c,
		       const struct client_request *request,
		       const struct client_answer *answer)
{
	struct err e;
	struct json_t *document = NULL;
	int status = EXIT_OK;

	if (answer->body.len > 0)
		document = json_parse(answer->body.data, answer->body.len, &e);
	if (answer->status < 200 || answer->status > 299) {
		status = refused(ctl, request, answer->status, document);
	} else if (answer->body.len > 0 && !document) {
		log_error("the answer to %s %s is not valid JSON: %s",
			  request->method, request->path, e.text);
		status = EXIT_UNREACHABLE;
	} else if (document && (ctl->json || !c->show)) {
		show_json(ctl, document);
	} else if (document) {
		c->show(ctl, document);
	} else if (c->done && !ctl->json) {
		puts(c->done);
	}
	json_free(document);
	if (fflush(stdout)) {
		log_error("cannot write to standard output: %s",
			  strerrordesc_np(errno));
		status = EXIT_FAILED;
	}
	return status;
}

static int run(struct ctl *ctl)
{
	struct client_request request = {
		.socket = ctl->socket,
		.timeout_ms = ctl->timeout_s * 1000,
		.remedy = ", and --timeout waits longer",
		.context = ctl,
	};
	struct client_answer answer;
	struct buf body = {0};
	struct err e;
	const struct command *c = find_command(ctl, &e);
	int status;

	if (!c || check_words(ctl, c, &e) || read_body(ctl, c, &body, &e)) {
		log_error("%s", e.text);
		buf_free(&body);
		return EXIT_BAD_ARGUMENTS;
	}
	/* Leave the VMM time to report why the pause failed. */
	if (is_pause(c))
		request.timeout_ms += PAUSE_ANSWER_MS;
	request.method = c->method;
	request.path = c->path ? c->path : ctl->words[1];
	request.body = body.len ? body.data : NULL;
	request.body_len = body.len;
	if (!strcmp(request.path, "/events") && !strcmp(c->method, "GET"))
		request.line = show_event;
	if (client_call(&request, &answer, &e)) {
		log_error("cannot reach a VMM at %s: %s", ctl->socket, e.text);
		status = EXIT_UNREACHABLE;
	} else {
		status = show_answer(ctl, c, &request, &answer);
	}
	buf_free(&answer.body);
	buf_free(&body);
	return status;
}

/* ------------------------------------------------------------------ options */

static int set_clock(void *context, const char *value, struct err *e)
{
	static const char *const words[2] = {"frozen", "continuous"};

	if (options_parse_choice("clock", value, words, e) < 0)
		return -1;
	((struct ctl *)context)->clock = value;
	return 0;
}

static int set_max_jump(void *context, const char *value, struct err *e)
{
	struct ctl *ctl = context;

	ctl->has_max_jump = true;
	return options_parse_max_jump(value, &ctl->max_jump_ms, e);
}

static int set_timeout(void *context, const char *value, struct err *e)
{
	uint64_t n;

	if (!options_parse_number(value, TIMEOUT_MAX_S, &n) || !n)
		return err_set(e,
			       "--timeout %.40s is not valid; choose 1 to "
			       "%d seconds",
			       value, TIMEOUT_MAX_S);
	((struct ctl *)context)->timeout_s = (unsigned)n;
	((struct ctl *)context)->has_timeout = true;
	return 0;
}

static const struct option options[] = {
	{"socket", "PATH", "the VMM's API socket\n(default " DEFAULT_SOCKET ")",
	 OPTION_TEXT(struct ctl, socket)},
	{"clock", "POLICY",
	 "resume: frozen (the guest's time stopped) or\n"
	 "continuous (it kept counting)",
	 .set = set_clock},
	{"max-jump-ms", "MS",
	 "how far continuous time may jump, for this resume\n"
	 "(default: as configured, 600000)",
	 .set = set_max_jump},
	{"unsynchronized", NULL,
	 "accept continuous after a restore although a wall\n"
	 "clock is not synchronised (NTP)",
	 OPTION_FLAG(struct ctl, unsynchronized)},
	{"json", NULL, "print each answer of the VMM as a line of JSON",
	 OPTION_FLAG(struct ctl, json)},
	{"timeout", "SECONDS",
	 "maximum time to wait for an answer (default 30);\n"
	 "a pause that takes longer is cancelled",
	 .set = set_timeout},
	{"help", NULL, "show this", OPTION_FLAG(struct ctl, help)},
};

static void print_help(void)
{
	printf("Usage: stasis ctl [options] COMMAND\n\n"
	       "Query or control a running VMM.\n\n");
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *c = &commands[i];
		int n = printf("  %s %s", c->name, c->arguments);

		printf("%*s%s\n", 26 - n, "", c->help);
	}
	putchar('\n');
	options_print(options, ARRAY_SIZE(options));
	printf("\n"
	       "Exit status: 0 on success; 1 if the VMM rejected the "
	       "request; 2 if no VMM\nanswers; 153 for arguments that are not "
	       "valid.\n"
	       "\n"
	       "Examples:\n"
	       "  stasis ctl --socket vm.sock status\n"
	       "  stasis ctl --socket vm.sock resume --clock continuous\n"
	       "  stasis ctl --socket vm.sock put /boot-source @boot.json\n");
}

int cli_ctl(int argc, char **argv)
{
	struct ctl ctl = {
		.socket = DEFAULT_SOCKET,
		.timeout_s = TIMEOUT_DEFAULT_S,
	};
	struct option_words words = {.word = ctl.words, .max = WORDS_MAX};
	struct err e;

	argc = options_take_words(options, ARRAY_SIZE(options), argc, argv,
				  &words, &e);
	ctl.word_count = words.count;
	if (argc < 0 ||
	    options_parse(options, ARRAY_SIZE(options), argc, argv, &ctl, &e)) {
		log_error("%s", e.text);
		return EXIT_BAD_ARGUMENTS;
	}
	if (ctl.help) {
		print_help();
		return EXIT_OK;
	}
	return run(&ctl);
}
