/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Touches pages of guest RAM that a page server fills (userfaultfd) on a thread
 * of its own, so that the main thread does not block on them.  Functions and
 * callback: main thread.
 */
#pragma once

#include <stdint.h>

struct err;
struct event_loop;
struct prefault;

/* Called from the loop when a range that was asked for has been touched. */
typedef void prefault_arrived(void *context);

/* Start the thread.  NULL on failure.  prefault_destroy() ends it. */
struct prefault *prefault_start(struct event_loop *loop,
				prefault_arrived *arrived, void *context,
				struct err *e);

/*
 * Queue @len bytes at @host: the thread touches all of their pages.  Dropped
 * if the queue is full, so callers check for their pages at each callback and
 * ask again if one is missing.
 */
void prefault_ask(struct prefault *p, const void *host, uint64_t len);

/* Join the thread and free @p; NULL is fine.  Call uffd_release() before, or
 * this blocks as long as the thread waits for a page. */
void prefault_destroy(struct prefault *p);
