/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes metrics to a file or FIFO: a line of JSON at the start, every 60 s, on
 * request and at the end.  Never blocks on a slow reader: a line for which
 * there is no room is counted as missed, and its numbers are part of the next
 * line.  Main thread.
 */
#pragma once

#include <stdbool.h>

struct err;
struct event_loop;
struct metrics_sink;

struct metrics_sink_config {
	struct event_loop *loop;
	/* Strings must stay valid until metrics_sink_close(). */
	const char *path;
	const char *id;         /* NULL: left out of the lines */
	const char *properties; /* a JSON object; NULL: left out */
	bool firecracker_only;  /* no metrics that Firecracker has not */
};

/* Open the file, write the first line and start the timer.  NULL on failure; a
 * first line without room is only logged. */
struct metrics_sink *metrics_sink_open(const struct metrics_sink_config *config,
				       struct err *e);
/* Write a line.  Fails if there was no room for it. */
int metrics_sink_flush(struct metrics_sink *sink, struct err *e);
/* Write a last line and close the file; NULL is fine. */
void metrics_sink_close(struct metrics_sink *sink);
