/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings in pages of guest RAM that somebody else serves, on a thread of its
 * own, so that the main thread need not wait for them.  Functions are the main
 * thread's.
 */
#pragma once

#include <stdint.h>

struct err;
struct event_loop;
struct prefault;

/* From the loop, when some of what was asked for has come. */
typedef void prefault_arrived(void *context);

struct prefault *prefault_start(struct event_loop *loop,
				prefault_arrived *arrived, void *context,
				struct err *e);

/*
 * Touch all pages of @len bytes at @host.  It may be forgotten when there is
 * much else to do: who does not find them when something has arrived asks
 * again.
 */
void prefault_ask(struct prefault *p, const void *host, uint64_t len);

/* The thread must not wait for a page any more, or this does; NULL is fine. */
void prefault_destroy(struct prefault *p);
