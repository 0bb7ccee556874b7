/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all commands that run a VM in this process share: the event loop, the
 * instance, its console on standard input and output, and its API.  Main
 * thread.
 */
#pragma once

#include <stdbool.h>

#include "core/io/loop.h"
#include "vmm/api/api.h"
#include "vmm/cli/console.h"
#include "vmm/instance/instance.h"
#include "vmm/sandbox/sandbox.h"

struct err;

struct launch {
	struct sandbox sandbox;
	struct event_loop loop;
	struct console console;
	struct instance instance;
	struct event_source signals;
	/* The caller's choice, after launch_init(). */
	bool no_seccomp, no_snapshots;
	int status;
};

/*
 * Rows of a command's table of options, whose context begins with a struct
 * sandbox.
 */
#define LAUNCH_OPTIONS                                                        \
	{"allow-path", "PATH[:ro]...",                                        \
	 "a file or folder that API requests will name later:\n"              \
	 "all others are closed to the process once the guest\n"              \
	 "runs (Landlock); without an API that is the default",               \
	 .set = launch_allow_path},                                           \
		{"sandbox", NULL,                                             \
		 "also enter user and network namespaces of its own",         \
		 OPTION_FLAG(struct sandbox, namespaces)},                    \
	{                                                                     \
		"no-sandbox", NULL, "restrict nothing, and allow core dumps", \
			OPTION_FLAG(struct sandbox, off)                      \
	}
int launch_allow_path(void *context, const char *value, struct err *e);

/*
 * --seccomp-filter @path (NULL: not given) and --no-seccomp.  Before
 * launch_init(): a file that cannot be used is refused before anything is
 * there.  Returns the exit status: if it is not EXIT_OK, @e says why.
 */
int launch_use_filters(const char *path, bool no_seccomp, struct err *e);

/*
 * Takes the first step of @sandbox, too.  @escapes: see console_open().  Call
 * launch_fini() also after a failure.
 */
int launch_init(struct launch *l, const struct sandbox *sandbox, const char *id,
		bool escapes, struct err *e);
/* After a termination signal this ends the process by that signal
 * (signals.h). */
void launch_fini(struct launch *l);

/* Gives @instance its VM: boots or restores it. */
typedef int launch_start(void *context, struct instance *instance,
			 struct err *e);

/* Boot the VM that the instance's configuration describes. */
launch_start launch_boot;

/*
 * Serve the API (unless @api_config is NULL), start a VM (unless @start is
 * NULL), and run the event loop until the VM ends.  Logs failures; returns the
 * exit status.
 */
int launch_run(struct launch *l, launch_start *start, void *context,
	       struct api_config *api_config);
