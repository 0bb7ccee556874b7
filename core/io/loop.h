/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The main thread's epoll loop.  All of it belongs to one thread, but that any
 * thread may loop_add() a source which it alone uses until then.
 *
 * A source is a descriptor and what to do when it is ready; it is embedded in
 * whatever owns the descriptor.  A source may remove itself, or any other,
 * while it is being called.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct err;

struct event_source {
	int fd; /* -1 while not in a loop */
	void (*ready)(struct event_source *source, uint32_t events);
};

enum { LOOP_BATCH = 16 };

struct event_loop {
	int epoll_fd;
	bool stopped;
	struct epoll_event batch[LOOP_BATCH]; /* being dispatched */
	int batch_count;
};

int loop_init(struct event_loop *loop, struct err *e);
void loop_fini(struct event_loop *loop);

/*
 * Watch @fd for @events (EPOLLIN ...).  The source does not own the fd.
 * A descriptor that epoll cannot watch (a regular file: always ready) gives
 * -EPERM; other failures are other -errno.
 */
int loop_add(struct event_loop *loop, struct event_source *source, int fd,
	     uint32_t events);
int loop_modify(struct event_loop *loop, struct event_source *source,
		uint32_t events);
/* Nothing happens if it is not in the loop. */
void loop_remove(struct event_loop *loop, struct event_source *source);

/* The same, and close the descriptor. */
void loop_close(struct event_loop *loop, struct event_source *source);

/* Dispatch until loop_stop(). */
int loop_run(struct event_loop *loop, struct err *e);
void loop_stop(struct event_loop *loop);
