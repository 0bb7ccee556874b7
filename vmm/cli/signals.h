/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals that ask a VMM to end: SIGTERM, SIGINT, SIGHUP and SIGQUIT, unless it
 * was started with them ignored, as a shell's background jobs are with SIGINT.
 *
 * The process removes its sockets, cancels a snapshot, restores the terminal,
 * and then dies of the same signal, as its parent expects.  As process 1 of a
 * PID namespace no signal can kill it, and its exit status is 128 plus the
 * signal's number.  What takes longer than SIGNALS_PATIENCE_S (a disk that does
 * not answer) is not waited for: SIGALRM ends the process then.
 */
#pragma once

#include "core/io/loop.h"

struct err;

enum { SIGNALS_PATIENCE_S = 5 };

/* Main thread, once a process: from now on @source, whose ready() is set,
 * is ready after such a signal. */
int signals_watch(struct event_loop *loop, struct event_source *source,
		  struct err *e);
void signals_unwatch(struct event_loop *loop, struct event_source *source);

/* The first that came, or 0. */
int signals_first(void);

/* "SIGTERM"; for numbers that signals_first() returns. */
const char *signals_name(int number);

/* Die of @number.  Returns only where that cannot be (process 1). */
void signals_die(int number);
