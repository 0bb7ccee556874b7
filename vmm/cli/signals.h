/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Termination signals: SIGTERM, SIGINT, SIGHUP and SIGQUIT, except those that
 * were ignored when the process started (shells ignore SIGINT for background
 * jobs).
 *
 * The process removes its sockets, cancels a snapshot, restores the terminal,
 * and then dies of the same signal, as its parent expects.  Signals cannot kill
 * process 1 of a PID namespace; it exits with 128 plus the signal's number.
 * If ending takes longer than SIGNALS_PATIENCE_S, for example because a disk
 * does not answer, SIGALRM ends the process.
 */
#pragma once

#include "core/io/loop.h"

struct err;

enum { SIGNALS_PATIENCE_S = 5 };

/*
 * Install the handlers, and call @source->ready() after each such signal.  Main
 * thread, once per process.
 */
int signals_watch(struct event_loop *loop, struct event_source *source,
		  struct err *e);
void signals_unwatch(struct event_loop *loop, struct event_source *source);

/* The number of the first such signal that arrived, or 0. */
int signals_first(void);

/* "SIGTERM" and the like; @number is from signals_first(). */
const char *signals_name(int number);

/* End the process by the first such signal.  Returns only in process 1. */
void signals_die(void);
