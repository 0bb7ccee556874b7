/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot that is sent instead of stored: to a FIFO, to a Unix stream socket
 * that somebody listens on, or to a pipe or socket that the VMM was started
 * with (/dev/fd/N).  Memory goes as raw RAM, from its first byte to its last,
 * zeroes included; the end of the stream is its end.  There is nothing to
 * publish: a reader that got less than all of it has no snapshot.
 *
 * One thread at a time, not the main thread: it waits for the reader.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct err;
struct go_on;

enum { STREAM_WAIT_MS = 30000 }; /* for a reader to come */

struct stream {
	int fd; /* owned; -1: none */
	bool is_socket;
	size_t piece;              /* bytes that a write may have */
	unsigned long long sent;   /* bytes */
	const struct go_on *go_on; /* asked every 50 ms, also while it waits */
};

/* Is it something to send to?  A path that does not exist is not. */
bool stream_is(const char *path);

/*
 * Open @path, and wait until somebody reads there, at most STREAM_WAIT_MS.
 * stream_close() in any case.
 */
int stream_open(struct stream *s, const char *path, const struct go_on *go_on,
		struct err *e);
void stream_close(struct stream *s);

/* Send all of it.  Errors, also those of stream_state(), do not name the path.
 */
int stream_write(struct stream *s, const void *data, size_t len, struct err *e);
/* A state file with this body. */
int stream_state(struct stream *s, const void *body, size_t len, struct err *e);
