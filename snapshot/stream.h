/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending a snapshot instead of storing it: to a FIFO, to a listening Unix
 * stream socket, or to an inherited pipe or socket (/dev/fd/N).  Memory is sent
 * as raw RAM from its first byte to its last, zeroes included, and ends at the
 * end of the stream.  Nothing is published: a reader that received only a part
 * has no snapshot.
 *
 * One thread at a time, but not the main thread, because these functions wait
 * for the reader.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct err;
struct go_on;

enum { STREAM_WAIT_MS = 30000 }; /* for a reader to connect */

struct stream {
	int fd; /* owned; -1: none */
	bool is_socket;
	size_t piece;              /* largest write() in bytes */
	unsigned long long sent;   /* bytes */
	const struct go_on *go_on; /* asked at least every 50 ms */
};

/* Is @path a FIFO, pipe or socket?  False if it does not exist. */
bool stream_is(const char *path);

/*
 * Open @path, and wait at most STREAM_WAIT_MS for a reader.  Call
 * stream_close() also after a failure.
 */
int stream_open(struct stream *s, const char *path, const struct go_on *go_on,
		struct err *e);
void stream_close(struct stream *s);

/*
 * Send all of @len bytes.  Error messages, also those of stream_state(), do not
 * name the path.
 */
int stream_write(struct stream *s, const void *data, size_t len, struct err *e);
/* Send a state file with this body. */
int stream_state(struct stream *s, const void *body, size_t len, struct err *e);
