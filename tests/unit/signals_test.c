/* SPDX-License-Identifier: Apache-2.0 */
/* Signals that ask the process to end: vmm/cli/signals.c. */
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/loop.h"
#include "tests/unit/testing.h"
#include "vmm/cli/signals.h"

unsigned __wrap_alarm(unsigned seconds);

/* As patient as the product, but ten times faster. */
unsigned __wrap_alarm(unsigned seconds)
{
	const struct itimerval when = {.it_value.tv_usec = seconds * 100000};

	setitimer(ITIMER_REAL, &when, NULL);
	return 0;
}

static struct child {
	struct event_loop loop;
	struct event_source source;
} child;

static void on_signal(struct event_source *source, uint32_t events)
{
	(void)source;
	(void)events;
	loop_stop(&child.loop);
}

/* What the child does after it said that it is ready. */
typedef void child_end(void);

static void ends_well(void)
{
	struct err e;

	if (loop_run(&child.loop, &e) || !signals_first())
		exit(99);
	signals_unwatch(&child.loop, &child.source);
	loop_fini(&child.loop);
	signals_die();
	exit(signals_log());
}

static void hangs(void)
{
	/* Longer than the alarm, and not for ever should there be none. */
	for (unsigned i = 0; i < 500; i++)
		usleep(10000);
}

/* The kernel sends it: there is no way on. */
static void faults(void)
{
	__builtin_trap();
}

/* Start one; returns when its handlers are there. */
static pid_t start(child_end *end)
{
	int fds[2];
	pid_t pid;
	char byte;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		struct err e;

		child.source = (struct event_source){-1, on_signal};
		if (loop_init(&child.loop, &e) ||
		    signals_watch(&child.loop, &child.source, &e) ||
		    write(fds[1], "", 1) != 1)
			exit(98);
		end();
		exit(97);
	}
	assert_int_equal(read(fds[0], &byte, 1), 1);
	close(fds[0]);
	close(fds[1]);
	return pid;
}

static int status_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void each_ends_the_loop_and_is_what_it_dies_of(void **state)
{
	const int asking[] = {SIGTERM, SIGINT, SIGQUIT};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(asking); i++) {
		pid_t pid = start(ends_well);
		int status;

		kill(pid, asking[i]);
		status = status_of(pid);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), asking[i]);
	}
}

static void some_have_a_status_of_firecracker(void **state)
{
	static const int asking[][2] = {
		{SIGHUP, 156}, {SIGXCPU, 154}, {SIGILL, 157},
		{SIGBUS, 149}, {SIGSEGV, 150}, {SIGSYS, 148},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(asking); i++) {
		pid_t pid = start(ends_well);
		int status;

		kill(pid, asking[i][0]);
		status = status_of(pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), asking[i][1]);
	}
}

static void a_fault_ends_it_at_once(void **state)
{
	int status = status_of(start(faults));

	(void)state;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 157);
}

/* As a terminal that hangs up and its shell send them. */
static void several_at_once_are_as_the_first(void **state)
{
	pid_t pid = start(ends_well);
	int status;

	(void)state;
	kill(pid, SIGSTOP);
	kill(pid, SIGHUP);
	kill(pid, SIGHUP);
	kill(pid, SIGCONT);
	status = status_of(pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 156);
}

static void what_was_ignored_stays_ignored(void **state)
{
	pid_t pid;
	int status;

	(void)state;
	signal(SIGINT, SIG_IGN);
	pid = start(ends_well);
	signal(SIGINT, SIG_DFL);
	kill(pid, SIGINT);
	usleep(20000);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	kill(pid, SIGTERM);
	status = status_of(pid);
	assert_int_equal(WTERMSIG(status), SIGTERM);
}

/* A disk that does not answer, say. */
static void who_does_not_get_to_its_end_is_ended(void **state)
{
	pid_t pid;
	int status;

	(void)state;
	/* Even if its parent ignored the alarm. */
	signal(SIGALRM, SIG_IGN);
	pid = start(hangs);
	signal(SIGALRM, SIG_DFL);
	kill(pid, SIGTERM);
	status = status_of(pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGTERM);
}

int main(void)
{
	const int asking[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_ends_the_loop_and_is_what_it_dies_of),
		cmocka_unit_test(some_have_a_status_of_firecracker),
		cmocka_unit_test(a_fault_ends_it_at_once),
		cmocka_unit_test(several_at_once_are_as_the_first),
		cmocka_unit_test(what_was_ignored_stays_ignored),
		cmocka_unit_test(who_does_not_get_to_its_end_is_ended),
	};

	/* Who runs the tests in the background may ignore some. */
	for (unsigned i = 0; i < ARRAY_SIZE(asking); i++)
		signal(asking[i], SIG_DFL);
	return RUN_TESTS("signals", tests);
}
