/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `stasis run` and `stasis restore` share: common options, logging, and
 * running a VM with its console on standard input and output.
 */
#pragma once

#include <stdbool.h>

#include "core/base/options.h"
#include "core/io/log.h"
#include "vmm/cli/launch.h"

/* Must be the first member of the context given to options_parse(), because
 * the setters of FOREGROUND_OPTIONS cast the context to it. */
struct foreground {
	struct sandbox sandbox; /* must be first, for LAUNCH_OPTIONS */
	const char *api_sock;   /* NULL: no API */
	enum log_level level;
	bool level_given, help;
	bool serial_waits; /* --console-full wait */
	bool no_seccomp;
	bool no_snapshots;          /* of run's own options */
	const char *seccomp_filter; /* NULL: the built-in ones */
};

/* The last rows of the command's table of options. */
#define FOREGROUND_OPTIONS                                        \
	{"api-sock", "PATH",                                      \
	 "serve the control API on this Unix socket; then\n"      \
	 "stasis ctl --socket PATH can pause, resume, stop it",   \
	 .set = foreground_set_api_sock},                         \
		{"console-full", "WORD",                          \
		 "if standard output was not read for two\n"      \
		 "seconds: drop the guest's output, or make\n"    \
		 "the guest wait (drop or wait; default: drop)",  \
		 .set = foreground_set_console_full},             \
		{"log-level", "LEVEL",                            \
		 "error, warning, info, debug or off; the log\n"  \
		 "goes to standard error (default: info at a\n"   \
		 "terminal, else warning)",                       \
		 .set = foreground_set_log_level},                \
		{"no-seccomp", NULL,                              \
		 "install no seccomp filters; not for guests\n"   \
		 "that you do not trust",                         \
		 OPTION_FLAG(struct foreground, no_seccomp)},     \
		{"seccomp-filter", "FILE",                        \
		 "install these seccomp filters instead of the\n" \
		 "built-in ones (stasis seccomp compile)",        \
		 OPTION_TEXT(struct foreground, seccomp_filter)}, \
		LAUNCH_OPTIONS,                                   \
	{                                                         \
		"help", NULL, "show this",                        \
			OPTION_FLAG(struct foreground, help)      \
	}

int foreground_set_api_sock(void *context, const char *value, struct err *e);
int foreground_set_console_full(void *context, const char *value,
				struct err *e);
int foreground_set_log_level(void *context, const char *value, struct err *e);

void foreground_init(struct foreground *f);
/* Configure the log: standard error, at the level that was chosen. */
void foreground_log(const struct foreground *f);
/* The last lines of a help text: keys and exit status. */
void foreground_print_help(void);

/* Start a VM with @start and run the event loop until the VM ends.  Logs
 * failures; returns the exit status. */
int foreground_run(const struct foreground *f, launch_start *start,
		   void *context);
