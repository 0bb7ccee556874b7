/* SPDX-License-Identifier: Apache-2.0 */
/* stasis seccomp: shows the built-in filters, and compiles others. */
#include "vmm/cli/seccomp.h"

#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/options.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/json/json.h"
#include "core/seccomp/entry.h"
#include "core/seccomp/filter_file.h"
#include "core/seccomp/placeholder.h"
#include "vmm/cli/cli.h"

struct arguments {
	bool json, filter, no_snapshots, help;
};

static const struct option options[] = {
	{"json", NULL, "print an array of objects",
	 OPTION_FLAG(struct arguments, json)},
	{"filter", NULL, "print what stasis seccomp compile takes",
	 OPTION_FLAG(struct arguments, filter)},
	{"no-snapshots", NULL, "what is left with stasis run --no-snapshots",
	 OPTION_FLAG(struct arguments, no_snapshots)},
	{"help", NULL, "show this", OPTION_FLAG(struct arguments, help)},
};

static void print_help(void)
{
	printf("Usage: stasis seccomp show [--json | --filter] "
	       "[--no-snapshots]\n"
	       "       stasis seccomp compile --help\n"
	       "\n"
	       "Print what each thread of a microVM may ask of the kernel, and "
	       "why.  A thread that\nmakes another system call ends its "
	       "process with status 148 and a line in the log.\n\"setup\" is "
	       "the main thread while the API waits for a microVM to start: it "
	       "may make\nthe calls of all others, too.\n"
	       "\n");
	options_print(options, ARRAY_SIZE(options));
}

static void print_line(const struct seccomp_entry *entry)
{
	const char *condition = entry->field[ENTRY_CONDITION];

	printf("%-11s %-17s %s%s%s\n", entry->field[ENTRY_THREAD],
	       entry->field[ENTRY_CALL], condition, *condition ? ": " : "",
	       entry->field[ENTRY_REASON]);
}

static void print_object(const struct seccomp_entry *entry, bool first)
{
	static const char *const names[ENTRY_FIELDS] = {
		[ENTRY_THREAD] = "thread",
		[ENTRY_CALL] = "call",
		[ENTRY_CONDITION] = "condition",
		[ENTRY_REASON] = "reason",
	};
	const char *between = "";

	printf("%s\n  {", first ? "[" : ",");
	for (unsigned i = 0; i < ENTRY_FIELDS; i++) {
		if (!names[i])
			continue;
		printf("%s\"%s\": ", between, names[i]);
		json_print_string(stdout, entry->field[i]);
		between = ", ";
	}
	printf("}");
}

/* The next entry that is to be shown, as entry_read(). */
static const char *next(const struct arguments *args, const char *text,
			struct seccomp_entry *entry)
{
	do
		text = entry_read(text, entry);
	while (text && args->no_snapshots && entry_is_for_snapshots(entry));
	return text;
}

static void show(const struct arguments *args)
{
	struct seccomp_entry entry;
	const char *text = NULL;
	bool first = true;

	while ((text = next(args, text, &entry))) {
		if (args->json)
			print_object(&entry, first);
		else
			print_line(&entry);
		first = false;
	}
	if (args->json)
		printf("\n]\n");
}

/* ------------------------------------------------------------ for compile */

static void print_condition(const struct filter_condition *c, bool first)
{
	printf("%s{\"index\": %u, \"type\": \"%cword\", \"op\": ",
	       first ? "" : ", ", c->argument, c->wide ? 'q' : 'd');
	if (c->op == FILTER_EQ)
		printf("\"eq\"");
	else
		printf("{\"masked_eq\": %llu}", (unsigned long long)c->mask);
	if (c->value == SECCOMP_OWN_PID)
		printf(", \"val\": \"own_pid\"}");
	else
		printf(", \"val\": %llu}", (unsigned long long)c->value);
}

static void print_rule(const struct seccomp_entry *entry, bool first)
{
	struct filter_rule rule;
	bool needed;

	entry_decode(entry, &rule, &needed);
	printf("%s\n   {\"syscall\": \"%s\"", first ? "" : ",",
	       entry->field[ENTRY_CALL]);
	if (rule.action != SECCOMP_RET_ALLOW)
		printf(", \"action\": {\"errno\": %u}",
		       rule.action & SECCOMP_RET_DATA);
	if (rule.count)
		printf(", \"args\": [");
	for (unsigned i = 0; i < rule.count; i++)
		print_condition(&rule.condition[i], !i);
	printf("%s, \"comment\": ", rule.count ? "]" : "");
	json_print_string(stdout, entry->field[ENTRY_REASON]);
	printf("}");
}

/* Is @entry one of thread @t?  The text has no more of `setup` than what it
 * has beyond these three. */
static bool is_of(const struct seccomp_entry *entry, unsigned t)
{
	const char *key = entry->field[ENTRY_THREAD];

	if (!strcmp(key, seccomp_thread_keys[t]))
		return true;
	return t == SECCOMP_SETUP &&
	       (!strcmp(key, "main") || !strcmp(key, "vcpu") ||
		!strcmp(key, "starter"));
}

static void print_filter(const struct arguments *args, unsigned t)
{
	struct seccomp_entry entry;
	const char *text = NULL;
	bool first = true;

	while ((text = next(args, text, &entry))) {
		if (!is_of(&entry, t))
			continue;
		if (first)
			printf("%s\n \"%s\": {\"default_action\": \"trap\", "
			       "\"filter_action\": \"allow\", \"filter\": [",
			       t ? "," : "", seccomp_thread_keys[t]);
		print_rule(&entry, first);
		first = false;
	}
	printf("%s", first ? "" : "]}");
}

static void show_filters(const struct arguments *args)
{
	printf("{");
	for (unsigned t = 0; t < SECCOMP_THREADS; t++)
		print_filter(args, t);
	printf("\n}\n");
}

int cli_seccomp(int argc, char **argv)
{
	struct arguments args = {0};
	const char *what = NULL;
	struct option_words words = {.word = &what, .max = 1};
	struct err e;

	if (argc && !strcmp(argv[0], "compile"))
		return seccomp_compile(argc - 1, argv + 1);
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
		log_error("what to do is missing: stasis seccomp show or "
			  "compile; see stasis seccomp --help");
		return EXIT_BAD_ARGUMENTS;
	}
	if (args.filter)
		show_filters(&args);
	else
		show(&args);
	return EXIT_OK;
}
