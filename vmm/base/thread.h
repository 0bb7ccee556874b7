/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that do one thing beside the main thread, and end. */
#pragma once

#include <pthread.h>

/*
 * Begin to run @run on a small stack.  Signals for the process stay the main
 * thread's, which calls this.  0, or an errno.
 */
int thread_start(pthread_t *thread, void *(*run)(void *), void *context);
