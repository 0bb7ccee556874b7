/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every way of starting a VM in this process shares: the loop, the
 * instance, its console on our standard input and output, and its API.
 */
#pragma once

#include <stdbool.h>

#include "core/io/loop.h"
#include "vmm/api/api.h"
#include "vmm/cli/console.h"
#include "vmm/instance/instance.h"

struct err;

struct launch {
	struct event_loop loop;
	struct console console;
	struct instance instance;
	struct event_source signals;
	int status;
};

/* @escapes: a person at a terminal can end it.  launch_fini() also after a
 * failure. */
int launch_init(struct launch *l, const char *id, bool escapes, struct err *e);
/* If a signal asked for the end, the process dies of it here (signals.h). */
void launch_fini(struct launch *l);

/* How l->instance gets its VM. */
typedef int launch_start(void *context, struct instance *instance,
			 struct err *e);

/* Boot what it is configured to be. */
launch_start launch_boot;

/*
 * Start a VM, unless @start is NULL, and serve it, and an API unless that is
 * NULL, until it ends.  Failures are logged.  Gives the exit status.
 */
int launch_run(struct launch *l, launch_start *start, void *context,
	       struct api_config *api_config);
