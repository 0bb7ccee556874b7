/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command-line options as a table, which drives parsing, --help and suggestions
 * for misspelt names.
 *
 * `--name value` (Firecracker's only form) and `--name=value` are accepted;
 * -h is --help, and -V is --version.
 * Abbreviations are rejected, and so is giving an option twice, unless its row
 * allows it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct option {
	const char *name;     /* without the dashes */
	const char *argument; /* the value's name in the help; NULL: a flag;
			       * ends in "...": the option may be repeated */
	const char *help;     /* NULL: not listed by --help */
	/* Either this, if the value has to be checked (NULL for a flag) ... */
	int (*set)(void *context, const char *value, struct err *e);
	/* ... or a member of the context, by its offset: see below. */
	size_t member;
	enum option_kind {
		OPTION_STORED, /* a bool, or a const char * */
		OPTION_COPIED, /* a char * */
		OPTION_PARSED, /* a uint64_t */
	} kind;
};

/*
 * Ends the row of a flag that sets one bool; of an option whose value is stored
 * as it is, in one const char *; or replaces one char *, which the context
 * owns; or is a number of 64 bits.
 */
#define OPTION_FLAG(type, name)   OPTION_MEMBER(STORED, bool, type, name)
#define OPTION_TEXT(type, name)   OPTION_MEMBER(STORED, const char *, type, name)
#define OPTION_COPY(type, name)   OPTION_MEMBER(COPIED, char *, type, name)
#define OPTION_NUMBER(type, name) OPTION_MEMBER(PARSED, uint64_t, type, name)
/* The factor adds nothing but a warning if the member is of another type. */
#define OPTION_MEMBER(how, of, type, name) \
	.kind = OPTION_##how,              \
	.member = (offsetof(type, name) +  \
		   0 * sizeof((of *)0 == &((type *)0)->name))

enum { OPTIONS_MAX = 64 };

/*
 * Call .set() for each option in @argv, which lacks the program's name.  -1 and
 * @e at the first argument that is not a valid option.
 */
int options_parse(const struct option *options, unsigned count, int argc,
		  char **argv, void *context, struct err *e);

/* Positional arguments. */
struct option_words {
	const char **word; /* the caller's array of .max elements */
	unsigned max, count;
};

/*
 * Move the positional arguments, which may stand anywhere among the options and
 * do not begin with "-" unless that is all, from @argv to @words.  Returns how
 * many arguments remain in @argv for options_parse(), or -1.
 */
int options_take_words(const struct option *options, unsigned count, int argc,
		       char **argv, struct option_words *words, struct err *e);

/* Print the table as the body of a help text, on standard output. */
void options_print(const struct option *options, unsigned count);

/* True if all of @text is a decimal number of at most @max. */
bool options_parse_number(const char *text, uint64_t max, uint64_t *out);

/* Which of the two @words --@option was given: 0 or 1, or -1. */
int options_parse_choice(const char *option, const char *value,
			 const char *const words[2], struct err *e);

/* Parse the value of --max-jump-ms, in milliseconds. */
int options_parse_max_jump(const char *text, uint64_t *ms, struct err *e);

/* Parse a size such as "512", "512M", "512MiB" or "2G" into MiB. */
int options_parse_mib(const char *text, unsigned long long *mib, struct err *e);
