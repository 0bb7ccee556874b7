/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals that end the process, except those that were ignored when it started
 * (shells ignore SIGINT for background jobs).
 *
 * The process removes its sockets, cancels a snapshot, restores the terminal,
 * and writes its last metrics.  Of SIGTERM, SIGINT and SIGQUIT it then dies, as
 * its parent expects; signals cannot kill process 1 of a PID namespace, which
 * exits with 128 plus the signal's number.  After the others (SIGHUP, SIGXCPU,
 * SIGILL, SIGBUS, SIGSEGV, SIGSYS) it exits with Firecracker's status.  If
 * ending takes longer than SIGNALS_PATIENCE_S, for example because a disk does
 * not answer, SIGALRM ends the process.
 *
 * A fault of ours (SIGILL, SIGBUS or SIGSEGV that the kernel sends) ends it at
 * once, with the same status and a line that says where.
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
/* Report the metrics "signals" and "seccomp" from now on, or no more. */
void signals_metrics_add(void);
void signals_metrics_remove(void);

void signals_unwatch(struct event_loop *loop, struct event_source *source);

/* The number of the first such signal that arrived, or 0. */
int signals_first(void);

/* Log that it ends the process; returns the exit status. */
int signals_log(void);

/* "SIGTERM" and the like; @number is from signals_first(). */
const char *signals_name(int number);

/* End the process by the first such signal, if it is one to die of.  Returns
 * otherwise, and in process 1. */
void signals_die(void);
