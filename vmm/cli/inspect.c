/* SPDX-License-Identifier: Apache-2.0 */
/* `stasis inspect`: print all of a state file or a working set. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "arch/arch.h"
#include "core/base/err.h"
#include "core/base/options.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "snapshot/schema.h"
#include "snapshot/state_file.h"
#include "vmm/cli/cli.h"

struct inspect {
	bool json, help;
};

static const struct option options[] = {
	{"json", NULL, "print JSON", OPTION_FLAG(struct inspect, json)},
	{"help", NULL, "show this", OPTION_FLAG(struct inspect, help)},
};

/* The state file: @path, or @path/state if @path is a folder. */
static void find_state(const char *path, char *state, size_t size)
{
	struct stat st;
	bool folder = !stat(path, &st) && S_ISDIR(st.st_mode);

	snprintf(state, size, "%s%s", path, folder ? "/state" : "");
}

static int inspect(const struct inspect *i, const char *path, struct err *e)
{
	struct schema_state state = {.arch = &arch_schema};
	AUTO_FREE void *body = NULL;
	uint64_t size;
	AUTO_CLOSE int fd = io_open_file(path, &size, e);

	if (fd < 0)
		return -1;
	if (state_file_load(fd, &body, &state.len, &state.minor, e))
		return err_prefix(e, "%.512s", path);
	state.body = body;
	if (schema_print(stdout, &state, i->json, e))
		return err_prefix(e, "%.512s", path);
	if (fflush(stdout))
		return err_errno(e, "cannot print it");
	return 0;
}

int cli_inspect(int argc, char **argv)
{
	struct inspect i = {0};
	const char *path = NULL;
	char state[PATH_MAX];
	struct option_words words = {.word = &path, .max = 1};
	struct err e;

	argc = options_take_words(options, ARRAY_SIZE(options), argc, argv,
				  &words, &e);
	if (argc < 0 ||
	    options_parse(options, ARRAY_SIZE(options), argc, argv, &i, &e)) {
		log_error("%s", e.text);
		return EXIT_BAD_ARGUMENTS;
	}
	if (i.help) {
		printf("Usage: stasis inspect FILE [--json]\n\n"
		       "Print all of FILE: a snapshot's state, its folder, or "
		       "a working set.  Nothing is\nchanged.\n\n");
		options_print(options, ARRAY_SIZE(options));
		return EXIT_OK;
	}
	if (!path) {
		log_error("FILE is needed; see stasis inspect --help");
		return EXIT_BAD_ARGUMENTS;
	}
	find_state(path, state, sizeof(state));
	if (inspect(&i, state, &e)) {
		log_error("%s", e.text);
		return EXIT_FAILED;
	}
	return EXIT_OK;
}
