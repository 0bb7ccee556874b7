/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/err.h"
#include "core/base/util.h"

/* ------------------------------------------------------------ did you mean */

enum { NAME_MAX_LEN = 32, DISTANCE_MAX = 3 };

/* The Levenshtein distance of two short names. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[NAME_MAX_LEN + 1];
	size_t len = strlen(b);

	if (len > NAME_MAX_LEN)
		return UINT32_MAX;
	for (unsigned j = 0; j <= len; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= len; j++) {
			unsigned change = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			row[j] = (unsigned)min_u64(
				change, min_u64(row[j], row[j - 1]) + 1);
		}
	}
	return row[len];
}

static const char *nearest(const struct option *options, unsigned count,
			   const char *name)
{
	unsigned best = DISTANCE_MAX + 1;
	const char *found = NULL;

	for (unsigned i = 0; i < count; i++) {
		unsigned d = distance(name, options[i].name);

		/* A prefix is the best match: "mem" for "memory". */
		if (*name && !strncmp(options[i].name, name, strlen(name)))
			d = 0;
		if (options[i].help && d < best) {
			best = d;
			found = options[i].name;
		}
	}
	return found;
}

static bool may_repeat(const struct option *o)
{
	size_t len = o->argument ? strlen(o->argument) : 0;

	return len > 3 && !strcmp(o->argument + len - 3, "...");
}

static int unknown(const struct option *options, unsigned count,
		   const char *word, size_t len, struct err *e)
{
	char name[NAME_MAX_LEN + 1];
	const char *near;

	snprintf(name, sizeof(name), "%.*s", (int)len, word);
	near = nearest(options, count, name);

	if (near)
		return err_set(e, "unknown option --%.40s; did you mean --%s?",
			       name, near);
	return err_set(e, "unknown option --%.40s; --help lists them", name);
}

/* ----------------------------------------------------------------- parsing */

static const struct option *find(const struct option *options, unsigned count,
				 const char *name, size_t len)
{
	for (unsigned i = 0; i < count; i++) {
		if (strlen(options[i].name) == len &&
		    !memcmp(options[i].name, name, len))
			return &options[i];
	}
	return NULL;
}

/* Replace the text at @member. */
static int copy(const struct option *o, char **member, const char *value,
		struct err *e)
{
	char *text = strdup(value);

	if (!text)
		return err_errno(e, "cannot keep --%s", o->name);
	free(*member);
	*member = text;
	return 0;
}

static int set(const struct option *o, void *context, const char *value,
	       struct err *e)
{
	void *member = (char *)context + o->member;

	if (o->set)
		return o->set(context, value, e);
	if (!value) {
		memcpy(member, &(bool){true}, sizeof(bool));
		return 0;
	}
	if (o->kind == OPTION_COPIED)
		return copy(o, member, value, e);
	if (o->kind == OPTION_STORED) {
		memcpy(member, &value, sizeof(value));
		return 0;
	}
	if (options_parse_number(value, UINT64_MAX, member))
		return 0;
	return err_set(e, "--%s: \"%.40s\" is not a number", o->name, value);
}

/* Parse one option; returns how many arguments it used, or -1. */
static int parse_one(const struct option *options, unsigned count, int argc,
		     char **argv, uint64_t *seen, void *context, struct err *e)
{
	const char *name = argv[0] + 2, *value = strchr(name, '=');
	size_t len = value ? (size_t)(value - name) : strlen(name);
	const struct option *o = find(options, count, name, len);
	int words = 1;

	if (!o)
		return unknown(options, count, name, len, e);
	if (*seen & BIT(o - options) && !may_repeat(o))
		return err_set(e, "--%s is given twice; give it once", o->name);
	*seen |= BIT(o - options);
	if (value && !o->argument)
		return err_set(e, "--%s takes no value", o->name);
	if (value) {
		value++;
	} else if (o->argument) {
		if (argc < 2)
			return err_set(e, "--%s needs a value: --%s %s",
				       o->name, o->name, o->argument);
		value = argv[1];
		words = 2;
	}
	return set(o, context, value, e) ? -1 : words;
}

/* The names that users try first. */
static char *long_name(char *word)
{
	static char help[] = "--help", version[] = "--version";

	if (!strcmp(word, "-h"))
		return help;
	return strcmp(word, "-V") != 0 ? word : version;
}

int options_parse(const struct option *options, unsigned count, int argc,
		  char **argv, void *context, struct err *e)
{
	uint64_t seen = 0;

	_Static_assert(OPTIONS_MAX <= 64, "one bit each in `seen`");
	while (argc > 0) {
		int words;

		argv[0] = long_name(argv[0]);
		if (strncmp(argv[0], "--", 2) != 0)
			return err_set(e,
				       "\"%.40s\" is not a valid option; "
				       "options start with --, and --help "
				       "lists them",
				       argv[0]);
		words = parse_one(options, count, argc, argv, &seen, context,
				  e);
		if (words < 0)
			return -1;
		argc -= words;
		argv += words;
	}
	return 0;
}

/* True if the argument after @word is the value of option @word. */
static bool takes_value(const struct option *options, unsigned count,
			const char *word)
{
	for (unsigned i = 0; i < count; i++) {
		if (options[i].argument && !strncmp(word, "--", 2) &&
		    !strcmp(word + 2, options[i].name))
			return true;
	}
	return false;
}

int options_take_words(const struct option *options, unsigned count, int argc,
		       char **argv, struct option_words *words, struct err *e)
{
	int kept = 0;

	for (int i = 0; i < argc; i++) {
		/* "-" alone is standard input. */
		if (argv[i][0] != '-' || !argv[i][1]) {
			if (words->count == words->max)
				return err_set(
					e, "\"%.40s\" is one argument too many",
					argv[i]);
			words->word[words->count++] = argv[i];
			continue;
		}
		argv[kept++] = argv[i];
		if (takes_value(options, count, argv[i]) && i + 1 < argc)
			argv[kept++] = argv[++i];
	}
	return kept;
}

int options_parse_choice(const char *option, const char *value,
			 const char *const words[2], struct err *e)
{
	if (!strcmp(value, words[0]))
		return 0;
	if (!strcmp(value, words[1]))
		return 1;
	return err_set(e, "--%s %.40s is not valid; choose %s or %s", option,
		       value, words[0], words[1]);
}

bool options_parse_number(const char *text, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		uint64_t digit = (uint64_t)(*text - '0');

		if (*text < '0' || *text > '9' || n > max / 10 ||
		    digit > max - n * 10)
			return false;
		n = n * 10 + digit;
	}
	*out = n;
	return true;
}

int options_parse_max_jump(const char *text, uint64_t *ms, struct err *e)
{
	const int most = INT32_MAX; /* as in the API: 24 days */

	if (options_parse_number(text, (uint64_t)most, ms))
		return 0;
	return err_set(e,
		       "--max-jump-ms %.40s is not valid; give a number of "
		       "milliseconds, at most %d",
		       text, most);
}

int options_parse_mib(const char *text, unsigned long long *mib, struct err *e)
{
	static const struct {
		const char *suffix;
		unsigned shift;
	} units[] = {
		{"", 0},    {"M", 0},    {"MB", 0}, {"MiB", 0}, {"G", 10},
		{"GB", 10}, {"GiB", 10}, {"T", 20}, {"TB", 20}, {"TiB", 20},
	};
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 10);
	for (unsigned i = 0;
	     isdigit((unsigned char)text[0]) && !errno && i < ARRAY_SIZE(units);
	     i++) {
		if (!strcasecmp(end, units[i].suffix) &&
		    n <= UINT64_MAX >> 24 >> units[i].shift) {
			*mib = n << units[i].shift;
			return 0;
		}
	}
	return err_set(e, "\"%.40s\" is not a valid size; write 256M or 2G",
		       text);
}

/* -------------------------------------------------------------------- help */

void options_print(const struct option *options, unsigned count)
{
	enum { COLUMN = 26 };

	for (unsigned i = 0; i < count; i++) {
		const struct option *o = &options[i];
		const char *line = o->help;
		int n;

		if (!o->help)
			continue;
		n = printf("  --%s%s%s", o->name, o->argument ? " " : "",
			   o->argument ? o->argument : "");
		if (n >= COLUMN) {
			putchar('\n');
			n = 0;
		}
		for (;;) {
			size_t len = strcspn(line, "\n");

			printf("%*s%.*s\n", COLUMN - n, "", (int)len, line);
			if (!line[len])
				break;
			line += len + 1;
			n = 0;
		}
	}
}
