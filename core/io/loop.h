/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The main thread's epoll loop.  Only that thread calls these functions, with
 * one exception: any thread may loop_add() a source that no other thread uses
 * yet.
 *
 * A source is a descriptor and the function to call when it is ready; it is
 * embedded in the object that owns the descriptor.  A source's function may
 * remove that source, or any other.
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
 * Returns 0 or -errno: -EPERM if epoll cannot watch @fd, such as a regular
 * file, which is always ready.
 */
int loop_add(struct event_loop *loop, struct event_source *source, int fd,
	     uint32_t events);
int loop_modify(struct event_loop *loop, struct event_source *source,
		uint32_t events);
/* Does nothing if the source is not in the loop. */
void loop_remove(struct event_loop *loop, struct event_source *source);

/* The same, and close the descriptor. */
void loop_close(struct event_loop *loop, struct event_source *source);

/* Wait for events and dispatch them until loop_stop(). */
int loop_run(struct event_loop *loop, struct err *e);
void loop_stop(struct event_loop *loop);
