/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that do one thing beside the main thread, and end. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

/*
 * Begin to run @run on a small stack.  Signals for the process stay the main
 * thread's, which calls this.  0, or an errno.
 */
int thread_start(pthread_t *thread, void *(*run)(void *), void *context);

/*
 * Wait until @thread ends, at most @ms.  False if it did not: it is on its own
 * from then on (detached), and what it uses must stay valid.
 */
bool thread_join(pthread_t thread, unsigned ms);
