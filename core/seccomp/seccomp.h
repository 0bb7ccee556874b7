/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp filters: what each thread of a VMM may ask of the kernel.  lists/
 * has a file for each kind of thread; libseccomp compiles them when the
 * product is built.  A thread inherits the filters of the one that starts it,
 * and adds its own: both have to allow a call.
 *
 *   start of the process
 *     seccomp_enable()                   handler of violations
 *     seccomp_enter(SECCOMP_SETUP)       only if an API is served
 *     VM is built; each vCPU thread: seccomp_enter(SECCOMP_VCPU)
 *     seccomp_seal()                     just before the guest's first
 *                                        instruction: thread_starter(), if
 *                                        there may be helper threads later,
 *                                        and SECCOMP_MAIN
 *
 * A call that is not allowed ends the process with SECCOMP_EXIT_STATUS and one
 * line in the log (violation.c).
 */
#pragma once

#include <stddef.h>

struct err;

enum seccomp_thread {
	SECCOMP_SETUP,
	SECCOMP_MAIN,
	SECCOMP_VCPU,
	SECCOMP_STARTER,
	SECCOMP_SNAPSHOT,
	SECCOMP_WORKING_SET,
	SECCOMP_PAGES,
	/* The main thread, in addition: what only snapshots need is forbidden.
	 * No file has it. */
	SECCOMP_NO_SNAPSHOTS,
};

enum { SECCOMP_THREADS = SECCOMP_NO_SNAPSHOTS };

/* As Firecracker's, for those who monitor it. */
enum { SECCOMP_EXIT_STATUS = 148 };

/*
 * From now on seccomp_enter() installs filters, which needs no_new_privs
 * (sandbox_begin()).  @last is called on the main
 * thread before a violation ends the process, in a signal handler.  Main
 * thread, before others exist.  Does nothing, and says so, in a build with
 * sanitizers, whose run time makes calls of its own.
 */
int seccomp_enable(void (*last)(void), struct err *e);

/*
 * A fault: end the process with @status, after one line in the log, which
 * begins with @text.  In a signal handler, on any thread; does not return.
 */
void seccomp_die(const char *text, int status) __attribute__((noreturn));

/*
 * seccomp_enter() is to install the programs of this file (filter_file.h), for
 * the threads that it has one for.  Without one for SECCOMP_SETUP, nothing is
 * installed for that.  Main thread, before others exist.
 */
int seccomp_use_file(const char *path, struct err *e);

/*
 * The calling thread may make the calls of @thread only, also by threads that
 * it starts.  Ends the process if that fails: it must not run without.
 */
void seccomp_enter(enum seccomp_thread thread);

/* Helper threads will be started after seccomp_seal().  Main thread. */
void seccomp_expect_threads(void);

/* No snapshot will be taken or loaded: seccomp_seal() forbids what only that
 * needs, and there are no helper threads.  Main thread. */
void seccomp_forbid_snapshots(void);

/* Give up what only building a VM needs.  Main thread; the first call counts.
 */
void seccomp_seal(void);

/*
 * The names of all system calls of arm64, a line each from number 0 ("-": there
 * is none), an empty line, and the lists, as lines
 * "THREAD\tCALL\tCODE\tCONDITION\tREASON\n" (entry.h).  Ends in a null byte. In
 * static memory, unpacked on the first call; async-signal-safe.
 */
const char *seccomp_text(void);
