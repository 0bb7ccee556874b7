/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/start.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "jailer/args.h"
#include "jailer/become.h"
#include "jailer/cgroup.h"
#include "jailer/jail/jail.h"
#include "jailer/jail/pid_file.h"
#include "jailer/say.h"

enum { READ_END, WRITE_END };

static uint64_t cpu_us(void)
{
	return clock_now_ns(CLOCK_PROCESS_CPUTIME_ID) / 1000;
}

/* ----------------------------------------------------------------- watching */

/*
 * Wait until the pipe's other end is closed.  If nothing was written, the exec
 * succeeded.  Else it is the reason of a failure, which is printed if @says.
 */
static int watch(struct start *start, int pipe[2], bool says)
{
	struct err e;
	size_t len = 0;
	ssize_t n;

	util_close(&pipe[WRITE_END]);
	do {
		n = read(pipe[READ_END], e.text + len,
			 sizeof(e.text) - 1 - len);
		len += n > 0 ? (size_t)n : 0;
	} while (n > 0 || (n < 0 && errno == EINTR));
	util_close(&pipe[READ_END]);
	if (len == 0)
		return 0;
	e.text[len] = '\0';
	if (says)
		say_error("%s", e.text);
	undo_all(&start->jail->undo);
	return 1;
}

/* Tell the watcher. */
static int give_up(const int pipe[2], const struct err *e)
{
	if (write(pipe[WRITE_END], e->text, strlen(e->text)) < 0)
		say_error("%s", e->text);
	return 1;
}

/* ------------------------------------------------------------------ forking */

/* In a child, whose CPU clock starts at 0: add what its parent has used. */
static void count_cpu(struct start *start, uint64_t parent_us)
{
	start->parent_cpu_us += parent_us - start->start_cpu_us;
	start->start_cpu_us = 0;
}

/*
 * Fork the process that becomes the VMM; with v2, directly into its cgroup.
 */
static pid_t fork_vmm(struct start *start)
{
	int cgroup = cgroups_clone_fd(&start->cgroups);
	struct clone_args args = {
		.flags = (start->args->new_pid_ns ? CLONE_NEWPID : 0) |
			 (cgroup >= 0 ? CLONE_INTO_CGROUP : 0),
		.exit_signal = SIGCHLD,
		.cgroup = cgroup >= 0 ? (uint64_t)cgroup : 0,
	};
	uint64_t used = cpu_us();
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0)
		count_cpu(start, used);
	return pid;
}

/* The child: wait until the pid file is there, then become the VMM. */
static int run_child(struct start *start, int go[2], const int report[2])
{
	struct err e;
	char byte;

	util_close(&go[WRITE_END]);
	if (read(go[READ_END], &byte, 1) != 1)
		return 1; /* its parent has said why */
	become_vmm(start, cgroups_clone_fd(&start->cgroups) >= 0, &e);
	return give_up(report, &e);
}

/* Start the VMM in a child, and write the child's number into the pid file. */
static int spawn(struct start *start, const int report[2], bool *is_child)
{
	struct err e;
	int go[2];
	pid_t pid;
	int r;

	*is_child = false;
	if (pipe2(go, O_CLOEXEC)) {
		err_errno(&e, "cannot make a pipe");
		return give_up(report, &e);
	}
	pid = fork_vmm(start);
	if (pid == 0) {
		*is_child = true;
		return run_child(start, go, report);
	}
	if (pid < 0)
		r = err_errno(&e, "cannot fork the VMM");
	else
		r = pid_file_write(&start->jail->root, start->jail->pid_name,
				   pid, &e);
	if (!r && write(go[WRITE_END], "g", 1) != 1)
		r = err_errno(&e, "cannot start the VMM");
	util_close(&go[READ_END]);
	util_close(&go[WRITE_END]);
	return r ? give_up(report, &e) : 0;
}

/* ---------------------------------------------------------------- the modes */

static int start_child(struct start *start, int report[2])
{
	bool is_child;
	int status = spawn(start, report, &is_child);

	if (is_child)
		return status;
	return watch(start, report, true);
}

/* The middle of three processes: the leader of the VMM's session. */
static int run_leader(struct start *start, const int report[2])
{
	struct err e;
	bool is_child;

	if (setsid() < 0) {
		err_errno(&e, "cannot make a session");
		return give_up(report, &e);
	}
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		if (dup2(start->null_fd, fd) < 0) {
			err_errno(&e, "cannot redirect stream %d", fd);
			return give_up(report, &e);
		}
	}
	return spawn(start, report, &is_child);
}

static int start_daemon(struct start *start, int report[2])
{
	uint64_t used = cpu_us();
	pid_t leader = fork();

	if (leader == 0) {
		count_cpu(start, used);
		util_close(&report[READ_END]);
		return run_leader(start, report);
	}
	if (leader < 0) {
		struct err e;

		err_errno(&e, "cannot fork");
		give_up(report, &e);
	} else {
		waitpid(leader, NULL, 0);
	}
	return watch(start, report, true);
}

/*
 * Fork twice, so that the watcher is a child of init and the VMM need not reap
 * it.  Returns 0 in this process and 1 in the others, whose status is *status.
 */
static int fork_watcher(struct start *start, int report[2], int *status,
			struct err *e)
{
	pid_t pid = fork();

	if (pid < 0)
		return err_errno(e, "cannot fork");
	if (pid > 0) {
		*status = 0;
		if (waitpid(pid, status, 0) != pid || *status)
			return err_set(e, "cannot fork twice");
		return 0;
	}
	pid = fork();
	*status = pid < 0;
	if (pid == 0)
		*status = watch(start, report, false);
	return 1;
}

/* Before another process is involved. */
static int refuse(struct start *start, const struct err *e)
{
	say_error("%s", e->text);
	undo_all(&start->jail->undo);
	return 1;
}

static int start_here(struct start *start, int report[2])
{
	struct jail *jail = start->jail;
	struct err e;
	int status = 1;
	int r = pid_file_write(&jail->root, jail->pid_name, getpid(), &e);

	if (!r)
		r = fork_watcher(start, report, &status, &e);
	if (r > 0)
		return status;
	if (r < 0)
		return refuse(start, &e);
	become_vmm(start, false, &e);
	say_error("%s", e.text);
	return give_up(report, &e);
}

int start_vmm(struct start *start)
{
	const struct jail *jail = start->jail;
	int report[2];
	struct err e;

	if (pipe2(report, O_CLOEXEC)) {
		err_errno(&e, "cannot make a pipe");
		return refuse(start, &e);
	}
	if (!start->args->daemonize && !start->args->new_pid_ns)
		return start_here(start, report);
	/* Another process will write it, whose list is not ours. */
	if (tree_note_file(&jail->root, jail->pid_name, &e))
		return refuse(start, &e);
	return start->args->daemonize ? start_daemon(start, report)
				      : start_child(start, report);
}
