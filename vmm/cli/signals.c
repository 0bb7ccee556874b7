/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <ucontext.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/metrics.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/seccomp/seccomp.h"
#include "core/thread/thread.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/console.h"

static struct signal_counters {
	uint64_t sigbus, sigsegv, sigxfsz, sigxcpu, sigpipe, sighup, sigill;
	uint64_t num_faults; /* of seccomp: SIGSYS */
} counters;

static const struct metric signal_table[] = {
	GAUGE(struct signal_counters, sigbus),
	GAUGE(struct signal_counters, sigsegv),
	GAUGE(struct signal_counters, sigxfsz),
	GAUGE(struct signal_counters, sigxcpu),
	METRIC(struct signal_counters, sigpipe),
	GAUGE(struct signal_counters, sighup),
	GAUGE(struct signal_counters, sigill),
};

static const struct metric seccomp_table[] = {
	GAUGE(struct signal_counters, num_faults),
};

static struct metrics_group groups[] = {
	{.name = "signals",
	 .metric = signal_table,
	 .count = ARRAY_SIZE(signal_table),
	 .base = &counters},
	{.name = "seccomp",
	 .metric = seccomp_table,
	 .count = ARRAY_SIZE(seccomp_table),
	 .base = &counters},
};

static const struct {
	int number;
	int status; /* Firecracker's exit status; 0: die of the signal */
	const char *name;
	uint64_t *count;
} asking[] = {
	{SIGTERM, 0, "SIGTERM", NULL},
	{SIGINT, 0, "SIGINT", NULL},
	{SIGQUIT, 0, "SIGQUIT", NULL},
	{SIGHUP, 156, "SIGHUP", &counters.sighup},
	{SIGXCPU, 154, "SIGXCPU", &counters.sigxcpu},
	{SIGILL, 157, "SIGILL", &counters.sigill},
	{SIGBUS, 149, "SIGBUS", &counters.sigbus},
	{SIGSEGV, 150, "SIGSEGV", &counters.sigsegv},
	{SIGSYS, 148, "SIGSYS", &counters.num_faults},
};

static volatile sig_atomic_t first;
static int wake_fd = -1;

static unsigned index_of(int number)
{
	unsigned i = 0;

	while (i < ARRAY_SIZE(asking) && asking[i].number != number)
		i++;
	return i;
}

/* Of a thread of ours: there is no way on.  The address is one of the file. */
static void on_fault(int number, const siginfo_t *info,
		     const ucontext_t *context)
{
	extern const char first_byte[] __asm__("__ehdr_start");
	uintptr_t at = 0;
	char text[256];

#ifdef __aarch64__
	at = context->uc_mcontext.pc - (uintptr_t)first_byte;
#else
	(void)context;
	(void)first_byte;
#endif
	snprintf(text, sizeof(text),
		 "Shutting down VM after intercepting signal %d, code %d. This "
		 "is a fault: an access to %p, by the instruction at 0x%llx "
		 "(%s; please report it)",
		 number, info->si_code, info->si_addr, (unsigned long long)at,
		 number == SIGBUS ? "was a file that is mapped made shorter? "
				    "If not, it is a bug"
				  : "a bug");
	seccomp_die(text, asking[index_of(number)].status);
}

/*
 * Only the first counts: a terminal that hangs up causes several.  The handler
 * is gone now (SA_RESETHAND), so the next one of this kind has to wait: it ends
 * the process in signals_die().
 */
static void on_signal(int number, siginfo_t *info, void *context)
{
	unsigned i = index_of(number);
	int saved = errno;

	if (info->si_code > 0 && asking[i].status && number != SIGHUP &&
	    number != SIGXCPU)
		on_fault(number, info, context);
	sigaddset(&((ucontext_t *)context)->uc_sigmask, number);

	console_restore_terminal();
	if (!first) {
		first = number;
		alarm(SIGNALS_PATIENCE_S);
		if (asking[i].count)
			metric_set(asking[i].count, 1);
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

void signals_metrics_add(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(groups); i++)
		metrics_add(&groups[i]);
}

void signals_metrics_remove(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(groups); i++)
		metrics_remove(&groups[i]);
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

int signals_log(void)
{
	unsigned i = index_of(first);

	if (asking[i].status)
		log_error("Shutting down VM after intercepting signal %d, code "
			  "0. (%s)",
			  first, asking[i].name);
	else
		log_info("ended by %s", asking[i].name);
	return asking[i].status ? asking[i].status : EXIT_SIGNAL + first;
}

const char *signals_name(int number)
{
	unsigned i = index_of(number);

	return i < ARRAY_SIZE(asking) ? asking[i].name : "a signal";
}

void signals_die(void)
{
	if (!asking[index_of(first)].status)
		tgkill(thread_process(), thread_process(), SIGALRM);
}
