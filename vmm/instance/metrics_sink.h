/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the metrics go: a file or FIFO that gets a line of JSON at the start,
 * every minute, on request and at the end.  Nobody is waited for: a line for
 * which there is no room is counted, and what it would have said is part of
 * the next one.
 */
#pragma once

struct err;
struct event_loop;
struct metrics_sink;

struct metrics_sink_config {
	struct event_loop *loop;
	const char *path;
	const char *id;         /* NULL: not told */
	const char *properties; /* JSON, or NULL; stays valid */
};

struct metrics_sink *metrics_sink_open(const struct metrics_sink_config *config,
				       struct err *e);
/* Fails if there was no room for the line. */
int metrics_sink_flush(struct metrics_sink *sink, struct err *e);
/* Flushes; NULL is fine. */
void metrics_sink_close(struct metrics_sink *sink);
