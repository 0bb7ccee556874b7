/* SPDX-License-Identifier: Apache-2.0 */
/* Helper threads: each does one job beside the main thread, and ends. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

/*
 * Start a thread that runs @run(@context) on a stack of 256 KiB, with all
 * signals blocked: signals for the process stay with the main thread, which
 * calls this.  Returns 0 or a positive errno value.
 */
int thread_start(pthread_t *thread, void *(*run)(void *), void *context);

/*
 * Wait at most @ms milliseconds for @thread to end.  False if it did not: it
 * is then detached, and everything that it uses must stay valid.
 */
bool thread_join(pthread_t thread, unsigned ms);
