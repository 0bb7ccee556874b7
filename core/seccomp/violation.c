/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGSYS: the kernel did not make a call, because a filter forbade it.
 *
 * The thread that made it notes what it was.  The main thread does the rest,
 * because the others may not even exit the process: they send SIGSYS to it and
 * wait.
 *
 * All of it is async-signal-safe: the process may have been in malloc(), or be
 * somebody else's by now.
 */
#include "core/seccomp/violation.h"

#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <zlib.h>

#include "core/base/util.h"
#include "core/io/log.h"
#include "core/seccomp/entry.h"
#include "core/seccomp/programs.h"
#include "core/thread/thread.h"

/* SYS_SECCOMP of <asm-generic/siginfo.h>, which libc's headers exclude. */
enum { CODE_SECCOMP = 1 };
enum { TEXT_MAX = 32 << 10, ARENA_SIZE = 48 << 10, NAME_MAX_LEN = 40 };

static void (*last_act)(void);
static _Thread_local enum seccomp_thread whose;

static const char *const thread_names[] = {
	[SECCOMP_SETUP] = "main",        [SECCOMP_MAIN] = "main",
	[SECCOMP_VCPU] = "vCPU",         [SECCOMP_STARTER] = "starter",
	[SECCOMP_SNAPSHOT] = "snapshot", [SECCOMP_WORKING_SET] = "working_set",
	[SECCOMP_PAGES] = "pages",       [SECCOMP_NO_SNAPSHOTS] = "main",
};

void violation_name_thread(enum seccomp_thread thread)
{
	whose = thread;
}

/* -------------------------------------------------------------------- text */

/* zlib's memory: no malloc() in a signal handler. */
static struct arena {
	size_t used;
	_Alignas(16) unsigned char bytes[ARENA_SIZE];
} arena;

static void *arena_take(void *context, unsigned items, unsigned size)
{
	struct arena *a = context;
	size_t bytes = ((size_t)items * size + 15) & ~(size_t)15;

	if (bytes > ARENA_SIZE - a->used)
		return NULL;
	a->used += bytes;
	return &a->bytes[a->used - bytes];
}

static void arena_give(void *context, void *memory)
{
	(void)context;
	(void)memory;
}

const char *seccomp_text(void)
{
	static char text[TEXT_MAX];
	z_stream z = {
		.zalloc = arena_take,
		.zfree = arena_give,
		.opaque = &arena,
		.next_in = (unsigned char *)seccomp_packed,
		.avail_in = seccomp_packed_size,
		.next_out = (unsigned char *)text,
		.avail_out = sizeof(text) - 1,
	};

	arena.used = 0;
	if (inflateInit(&z) == Z_OK)
		(void)inflate(&z, Z_FINISH);
	return text;
}

/* The name of a system call, or its number. */
static void find_name(int number, char name[NAME_MAX_LEN])
{
	entry_call_name(number, name, NAME_MAX_LEN);
	if (!name[0])
		snprintf(name, NAME_MAX_LEN, "system call %d", number);
}

/* ------------------------------------------------------------- the handler */

/* Of the first violation; the main thread writes it. */
static char words[320];
static atomic_flag has_words = ATOMIC_FLAG_INIT;

static void note(const siginfo_t *info, const ucontext_t *context)
{
	char name[NAME_MAX_LEN];
	unsigned long long argument[3] = {0};

	if (atomic_flag_test_and_set(&has_words))
		return;
#ifdef __aarch64__
	for (unsigned i = 0; i < ARRAY_SIZE(argument); i++)
		argument[i] = context->uc_mcontext.regs[i];
#else
	(void)context;
#endif
	find_name(info->si_syscall, name);
	snprintf(words, sizeof(words),
		 "a %s thread called %s(0x%llx, 0x%llx, 0x%llx), which its "
		 "seccomp filter does not allow: the microVM is killed; stasis "
		 "seccomp show lists what is allowed",
		 thread_names[whose], name, argument[0], argument[1],
		 argument[2]);
}

static void wait_for_the_end(void)
{
	static int never;

	for (;;)
		syscall(SYS_futex, &never, FUTEX_WAIT_PRIVATE, 0, NULL);
}

/* What SIGSYS did before: if somebody sends it, it asks the process to end. */
static struct sigaction before;
static int status = SECCOMP_EXIT_STATUS;

/* The main thread has to do it; the others wait for that. */
static void die(void)
{
	if (whose != SECCOMP_SETUP && whose != SECCOMP_MAIN) {
		tgkill(thread_process(), thread_process(), SIGSYS);
		wait_for_the_end();
	}
	if (last_act)
		last_act();
	log_last_words(words);
	_exit(status);
}

void seccomp_die(const char *text, int exit_status)
{
	if (!atomic_flag_test_and_set(&has_words)) {
		status = exit_status;
		snprintf(words, sizeof(words), "%s", text);
	}
	die();
	__builtin_unreachable();
}

static void on_violation(int number, siginfo_t *info, void *context)
{
	if (info->si_code == CODE_SECCOMP)
		note(info, context);
	if (words[0])
		die();
	if (before.sa_flags & SA_SIGINFO)
		before.sa_sigaction(number, info, context);
}

int violation_watch(void (*last)(void))
{
	struct sigaction action = {
		.sa_sigaction = on_violation,
		.sa_flags = SA_SIGINFO,
	};

	last_act = last;
	sigfillset(&action.sa_mask);
	return sigaction(SIGSYS, &action, &before);
}
