/* SPDX-License-Identifier: Apache-2.0 */
/* The jailer: builds a jail, and becomes the VMM in it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "jailer/args.h"
#include "jailer/cgroup.h"
#include "jailer/jail/devices.h"
#include "jailer/jail/exec_file.h"
#include "jailer/jail/host_files.h"
#include "jailer/jail/jail.h"
#include "jailer/netns.h"
#include "jailer/say.h"
#include "jailer/start.h"

/*
 * Leave no descriptor of the caller's but the three streams, and open /dev/null
 * for those that are closed, so that no file of ours is used as one.
 */
static int clean_descriptors(struct err *e)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return err_errno(e, "cannot open /dev/null");
	}
	if (close_range(STDERR_FILENO + 1, ~0u, 0))
		return err_errno(e, "cannot close the caller's files; Linux "
				    "5.11 or later can");
	return 0;
}

static int check_user(const struct jailer_args *args, struct err *e)
{
	/* Nor is it a setuid program: it does whatever its options say. */
	if (getuid() != 0 || geteuid() != 0)
		return err_set(e,
			       "the jailer must be started by root: it makes "
			       "devices and changes users; use sudo");
	if (args->uid == 0)
		say_warning("--uid 0: the VMM runs as root, although without "
			    "capabilities; give each VM a user of its own");
	return 0;
}

static int open_null(const struct jailer_args *args, int *fd, struct err *e)
{
	if (!args->daemonize)
		return 0;
	*fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return *fd < 0 ? err_errno(e, "cannot open /dev/null") : 0;
}

static int open_netns(const struct jailer_args *args, int *fd, struct err *e)
{
	if (!args->netns)
		return 0;
	*fd = netns_open(args->netns, e);
	return *fd < 0 ? -1 : 0;
}

/* All that can be made before the process changes. */
static int build(struct start *start, struct err *e)
{
	const struct jailer_args *args = start->args;
	struct jail *jail = start->jail;
	AUTO_CLOSE int exec =
		exec_file_open(args->exec_file, jail->exec_name, e);
	AUTO_CLOSE int netns = -1;

	if (exec < 0 || open_netns(args, &netns, e) ||
	    open_null(args, &start->null_fd, e))
		return -1;
	snprintf(jail->pid_name, sizeof(jail->pid_name), "%.*s.pid",
		 EXEC_NAME_MAX, jail->exec_name);
	if (jail_leave_mounts(e) ||
	    jail_open(jail, args->base, args->id, args->uid, e))
		return -1;
	if (jail->left_behind)
		say_warning("%.512s was left behind by a VMM that is gone; "
			    "using it anew, with the files that are there",
			    jail->path);
	if (exec_file_copy(exec, &jail->root, jail->exec_name, e))
		return -1;
	if (cgroups_make(&start->cgroups, args, jail->exec_name, &jail->undo,
			 e) ||
	    host_files_copy("/", &jail->root, e))
		return -1;
	if (netns >= 0 && netns_join(netns, e))
		return -1;
	if (devices_make(&jail->root, args->uid, args->gid, e))
		return -1;
	return jail_enter(jail, e);
}

static int run(struct start *start)
{
	struct err e;
	int status = 1;

	start->umask = umask(0);
	if (check_user(start->args, &e)) {
		say_error("%s", e.text);
	} else if (build(start, &e)) {
		say_error("%s", e.text);
		undo_all(&start->jail->undo);
	} else {
		status = start_vmm(start);
	}
	cgroups_fini(&start->cgroups);
	util_close(&start->null_fd);
	return status;
}

int main(int argc, char **argv)
{
	struct start start = {
		.null_fd = -1,
		.start_us = clock_now_ns(CLOCK_MONOTONIC) / 1000,
		.start_cpu_us = clock_now_ns(CLOCK_PROCESS_CPUTIME_ID) / 1000,
	};
	struct jailer_args args;
	struct jail jail;
	struct err e;
	int status;

	/* If the launcher ignores it, waitpid() fails. */
	signal(SIGCHLD, SIG_DFL);
	if (clean_descriptors(&e) ||
	    args_parse(&args, argc - 1, argv + 1, &e)) {
		say_error("%s", e.text);
		return 1;
	}
	if (args.help || args.version) {
		if (args.help)
			args_print_help();
		else
			args_print_version();
		return 0;
	}
	jail_init(&jail);
	start.args = &args;
	start.jail = &jail;
	status = run(&start);
	jail_fini(&jail);
	return status;
}
