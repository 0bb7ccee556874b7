/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command-line options as a table: the same rows parse and teach.
 *
 * Accepted are `--name value` (Firecracker's only form) and `--name=value`;
 * never an abbreviation, and no option twice.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct err;

struct option {
	const char *name;     /* without the dashes */
	const char *argument; /* what the help calls its value; NULL: a flag;
			       * "...": it may be given several times */
	const char *help;     /* NULL: not shown */
	/* @value is NULL for a flag. */
	int (*set)(void *context, const char *value, struct err *e);
};

enum { OPTIONS_MAX = 32 };

/* @argv without the program's name.  Anything that is no option is refused. */
int options_parse(const struct option *options, unsigned count, int argc,
		  char **argv, void *context, struct err *e);

/* Arguments that are no options. */
struct option_words {
	const char **word; /* room for .max of them */
	unsigned max, count;
};

/*
 * Options may stand anywhere among words: take the words out of @argv, and give
 * how many arguments remain for options_parse(), or -1.
 */
int options_take_words(const struct option *options, unsigned count, int argc,
		       char **argv, struct option_words *words, struct err *e);

/* The table as the body of a help text, on standard output. */
void options_print(const struct option *options, unsigned count);

/* A whole number up to @max, and nothing behind it; false if it is not. */
bool options_parse_number(const char *text, uint64_t max, uint64_t *out);

/* The value of --max-jump-ms, which several commands have. */
int options_parse_max_jump(const char *text, uint64_t *ms, struct err *e);

/* "512", "512M", "512MiB", "2G" ...: MiB. */
int options_parse_mib(const char *text, unsigned long long *mib, struct err *e);
