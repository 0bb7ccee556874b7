/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <ucontext.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/thread.h"
#include "core/base/util.h"
#include "vmm/cli/console.h"

static const struct {
	int number;
	const char *name;
} asking[] = {
	{SIGTERM, "SIGTERM"},
	{SIGINT, "SIGINT"},
	{SIGHUP, "SIGHUP"},
	{SIGQUIT, "SIGQUIT"},
};

static volatile sig_atomic_t first;
static int wake_fd = -1;

/*
 * Only the first counts: a terminal that hangs up causes several.  The handler
 * is gone now (SA_RESETHAND), so the next one of this kind has to wait: it ends
 * the process in signals_die().
 */
static void on_signal(int number, siginfo_t *info, void *context)
{
	int saved = errno;

	(void)info;
	sigaddset(&((ucontext_t *)context)->uc_sigmask, number);

	console_restore_terminal();
	if (!first) {
		first = number;
		alarm(SIGNALS_PATIENCE_S);
	}
	(void)eventfd_write(wake_fd, 1);
	errno = saved;
}

/*
 * The end takes too long, or has come: die of the first signal.  It is blocked
 * and has its default action (on_signal()), so it acts when this returns.  The
 * filter of a running VM has no other way (core/seccomp/lists/main.inc).
 */
static void on_alarm(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	if (!first)
		return;
	tgkill(thread_process(), thread_process(), first);
	sigdelset(&((ucontext_t *)context)->uc_sigmask, first);
}

static void catch_signals(void)
{
	const struct sigaction patience = {
		.sa_sigaction = on_alarm,
		.sa_flags = SA_SIGINFO,
	};
	const struct sigaction action = {
		.sa_sigaction = on_signal,
		.sa_flags = SA_SIGINFO | SA_RESTART | SA_RESETHAND,
	};

	sigaction(SIGALRM, &patience, NULL);
	for (unsigned i = 0; i < ARRAY_SIZE(asking); i++) {
		struct sigaction old;

		if (!sigaction(asking[i].number, NULL, &old) &&
		    old.sa_handler != SIG_IGN)
			sigaction(asking[i].number, &action, NULL);
	}
}

int signals_watch(struct event_loop *loop, struct event_source *source,
		  struct err *e)
{
	first = 0;
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_fd < 0 || loop_add(loop, source, wake_fd, EPOLLIN))
		return err_errno(e, "cannot create an eventfd for signals");
	catch_signals();
	return 0;
}

void signals_unwatch(struct event_loop *loop, struct event_source *source)
{
	/* Do not close wake_fd: the signal handler still writes to it. */
	loop_remove(loop, source);
}

int signals_first(void)
{
	return first;
}

const char *signals_name(int number)
{
	for (unsigned i = 0; i < ARRAY_SIZE(asking); i++) {
		if (asking[i].number == number)
			return asking[i].name;
	}
	return "a signal";
}

void signals_die(void)
{
	tgkill(thread_process(), thread_process(), SIGALRM);
}
