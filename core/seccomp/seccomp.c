/* SPDX-License-Identifier: Apache-2.0 */
#include "core/seccomp/seccomp.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/thread.h"
#include "core/io/log.h"
#include "core/seccomp/placeholder.h"
#include "core/seccomp/programs.h"
#include "core/seccomp/violation.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif

/* Written before threads exist. */
static bool enabled, sealed, expects_threads;
static unsigned pid;

int seccomp_enable(void (*last)(void), struct err *e)
{
#ifdef HAS_SANITIZER
	(void)last;
	(void)e;
	log_warn("no seccomp filters: this build has sanitizers");
	return 0;
#else
	pid = (unsigned)thread_process();
	/* Asked for once: filters do not allow it. */
	(void)thread_name();
	if (violation_watch(last))
		return err_errno(e, "cannot prepare seccomp filters");
	enabled = true;
	return 0;
#endif
}

/* The program of @thread, with the value that only this process knows. */
static unsigned short load(enum seccomp_thread thread, struct sock_filter *out)
{
	unsigned first = seccomp_first[thread];
	unsigned n = seccomp_first[thread + 1] - first;

	memcpy(out, &seccomp_instructions[first], n * sizeof(*out));
	for (unsigned i = 0; i < n; i++) {
		if (out[i].k == SECCOMP_OWN_PID)
			out[i].k = pid;
	}
	return (unsigned short)n;
}

void seccomp_enter(enum seccomp_thread thread)
{
	struct sock_filter program[SECCOMP_INSTRUCTIONS_MAX];
	struct sock_fprog prog = {.filter = program};

	if (!enabled)
		return;
	prog.len = load(thread, program);
	violation_name_thread(thread);
	if (!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog))
		return;
	log_error("cannot install a seccomp filter: %s; a kernel with "
		  "CONFIG_SECCOMP_FILTER is needed, or --no-seccomp",
		  strerror(errno));
	_exit(1);
}

void seccomp_expect_threads(void)
{
	expects_threads = true;
}

static void enter_starter(void)
{
	seccomp_enter(SECCOMP_STARTER);
}

void seccomp_seal(void)
{
	if (!enabled || sealed)
		return;
	sealed = true;
	if (expects_threads && thread_starter(enter_starter))
		log_warn("cannot start a thread: no snapshot can be written");
	seccomp_enter(SECCOMP_MAIN);
}
