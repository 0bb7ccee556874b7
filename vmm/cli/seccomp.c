/* SPDX-License-Identifier: Apache-2.0 */
/* stasis seccomp: shows the built-in filters. */
#include "core/seccomp/seccomp.h"

#include <stdio.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/options.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/json/json.h"
#include "vmm/cli/cli.h"

struct arguments {
	bool json, help;
};

static const struct option options[] = {
	{"json", NULL, "print an array of objects",
	 OPTION_FLAG(struct arguments, json)},
	{"help", NULL, "show this", OPTION_FLAG(struct arguments, help)},
};

static void print_help(void)
{
	printf("Usage: stasis seccomp show [--json]\n"
	       "\n"
	       "Print what each thread of a microVM may ask of the kernel, and "
	       "why.  A thread that\nmakes another system call ends its "
	       "process with status 148 and a line in the log.\n\"setup\" is "
	       "the main thread while the API waits for a microVM to start: it "
	       "may make\nthe calls of all others, too.\n"
	       "\n");
	options_print(options, ARRAY_SIZE(options));
}

/* The four fields of a line of seccomp_text(). */
enum { THREAD, CALL, CONDITION, REASON, FIELDS };

struct entry {
	char field[FIELDS][160];
};

/* Read the line at @text; where the next begins. */
static const char *read_entry(const char *text, struct entry *entry)
{
	for (unsigned i = 0; i < FIELDS; i++) {
		size_t len = strcspn(text, "\t\n");

		snprintf(entry->field[i], sizeof(entry->field[i]), "%.*s",
			 (int)len, text);
		text += len + (text[len] != '\0');
	}
	return text;
}

static void print_object(const struct entry *entry, bool first)
{
	static const char *const names[] = {"thread", "call", "condition",
					    "reason"};

	printf("%s\n  {", first ? "[" : ",");
	for (unsigned i = 0; i < FIELDS; i++) {
		printf("%s\"%s\": ", i ? ", " : "", names[i]);
		json_print_string(stdout, entry->field[i]);
	}
	printf("}");
}

static int show(bool json)
{
	const char *text = strstr(seccomp_text(), "\n\n") + 2;
	struct entry entry;

	for (bool first = true; *text; first = false) {
		text = read_entry(text, &entry);
		if (json)
			print_object(&entry, first);
		else
			printf("%-11s %-17s %s%s%s\n", entry.field[THREAD],
			       entry.field[CALL], entry.field[CONDITION],
			       entry.field[CONDITION][0] ? ": " : "",
			       entry.field[REASON]);
	}
	if (json)
		printf("\n]\n");
	return EXIT_OK;
}

int cli_seccomp(int argc, char **argv)
{
	struct arguments args = {0};
	const char *what = NULL;
	struct option_words words = {.word = &what, .max = 1};
	struct err e;

	argc = options_take_words(options, ARRAY_SIZE(options), argc, argv,
				  &words, &e);
	if (argc < 0 || options_parse(options, ARRAY_SIZE(options), argc, argv,
				      &args, &e)) {
		log_error("%s", e.text);
		return EXIT_BAD_ARGUMENTS;
	}
	if (args.help) {
		print_help();
		return EXIT_OK;
	}
	if (!what || strcmp(what, "show") != 0) {
		log_error("what to do is missing: stasis seccomp show; see "
			  "stasis seccomp --help");
		return EXIT_BAD_ARGUMENTS;
	}
	return show(args.json);
}
