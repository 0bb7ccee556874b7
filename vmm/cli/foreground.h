/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM that a person starts, with its console at the terminal: what
 * `stasis run` and `stasis restore` share.
 */
#pragma once

#include <stdbool.h>

#include "core/io/log.h"
#include "vmm/cli/launch.h"
#include "vmm/cli/options.h"

/* The first member of what options_parse() gets as its context, for the sake
 * of FOREGROUND_OPTIONS. */
struct foreground {
	const char *api_sock; /* NULL: no API */
	enum log_level level;
	bool level_given, help;
	bool serial_waits; /* for a reader who is late */
};

/* The last rows of a table of options. */
#define FOREGROUND_OPTIONS                                      \
	{"api-sock", "PATH",                                    \
	 "serve the control API on this Unix socket; then\n"    \
	 "stasis ctl --socket PATH can pause, resume, stop it", \
	 foreground_set_api_sock},                              \
		{"console-full", "WORD",                        \
		 "drop or wait: what happens to the guest's\n"  \
		 "output when nobody has read any for two\n"    \
		 "seconds (default: drop; to wait loses\n"      \
		 "nothing, but the guest waits, too)",          \
		 foreground_set_console_full},                  \
		{"log-level", "LEVEL",                          \
		 "error, warning, info, debug or off; goes to " \
		 "standard\n"                                   \
		 "error (default: info at a terminal, else "    \
		 "warning)",                                    \
		 foreground_set_log_level},                     \
	{                                                       \
		"help", NULL, "show this", foreground_set_help  \
	}

int foreground_set_api_sock(void *context, const char *value, struct err *e);
int foreground_set_console_full(void *context, const char *value,
				struct err *e);
int foreground_set_log_level(void *context, const char *value, struct err *e);
int foreground_set_help(void *context, const char *value, struct err *e);

void foreground_init(struct foreground *f);
/* Log as was asked for, to standard error. */
void foreground_log(const struct foreground *f);
/* The last lines of a help text: keys and exit status. */
void foreground_print_help(void);

/* Start a VM and serve it until it ends.  Failures are logged.  Gives the exit
 * status. */
int foreground_run(const struct foreground *f, launch_start *start,
		   void *context);
