/* SPDX-License-Identifier: Apache-2.0 */
/* Helper threads: each does one job beside the main thread, and ends. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

/* The process's ID, which is also its main thread's; asked for once. */
pid_t thread_process(void);

/* Name the calling thread, for the log, debuggers and ps; at most 15 bytes. */
void thread_set_name(const char *name);
/* The calling thread's name. */
const char *thread_name(void);

/* The CPU that the calling thread is on, without a system call; -1 if that is
 * not known. */
int thread_cpu(void);

/*
 * Start a thread that runs @run(@context) on a stack of 256 KiB, with all
 * signals blocked but SIGSYS: signals for the process stay with the main
 * thread, which calls this.  Returns 0 or a positive errno value.
 */
int thread_start(pthread_t *thread, void *(*run)(void *), void *context);

/*
 * Create a thread that starts the others from now on, because the main thread's
 * seccomp filter will not permit it: threads inherit the filter of the one that
 * starts them.  @enter is called first on it.  It ends with the process.
 * Returns 0 or a positive errno value.
 */
int thread_starter(void (*enter)(void));

/*
 * Wait at most @ms milliseconds for @thread to end.  False if it did not: it
 * is then detached, and everything that it uses must stay valid.
 */
bool thread_join(pthread_t thread, unsigned ms);
