/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/become.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "jailer/args.h"
#include "jailer/cgroup.h"
#include "jailer/jail/jail.h"
#include "jailer/privileges.h"
#include "jailer/start.h"

static int set_limit(int resource, const char *name, uint64_t n, struct err *e)
{
	const struct rlimit limit = {.rlim_cur = n, .rlim_max = n};

	if (n == JAIL_NO_LIMIT || !setrlimit(resource, &limit))
		return 0;
	return err_errno(e, "--resource-limit %s=%llu", name,
			 (unsigned long long)n);
}

static int set_limits(const struct jailer_args *args, struct err *e)
{
	if (set_limit(RLIMIT_FSIZE, "fsize", args->fsize, e))
		return -1;
	return set_limit(RLIMIT_NOFILE, "no-file", args->no_file, e);
}

/* What to do about it, where the reason is the kind of program. */
static const char *remedy(int error)
{
	if (error == ENOEXEC)
		return "; name a program for this machine";
	if (error == ENOENT)
		return "; a jail has no libraries: name a static program";
	return "";
}

/* Returns only after a failure. */
static int exec_vmm(const struct start *start, struct err *e)
{
	enum { OURS = 9 };
	const struct jailer_args *args = start->args;
	char path[NAME_MAX + 2], start_us[24], cpu_us[24], parent_us[24];
	char *const ours[OURS] = {
		path,
		(char *)"--id",
		(char *)args->id,
		(char *)"--start-time-us",
		start_us,
		(char *)"--start-time-cpu-us",
		cpu_us,
		(char *)"--parent-cpu-time-us",
		parent_us,
	};
	char *const no_environment[] = {NULL};
	AUTO_FREE char **argv =
		calloc(OURS + (size_t)args->extra_count + 1, sizeof(*argv));

	if (!argv)
		return err_set(e, "out of memory");
	snprintf(path, sizeof(path), "/%s", start->jail->exec_name);
	snprintf(start_us, sizeof(start_us), "%llu",
		 (unsigned long long)start->start_us);
	snprintf(cpu_us, sizeof(cpu_us), "%llu",
		 (unsigned long long)start->start_cpu_us);
	snprintf(parent_us, sizeof(parent_us), "%llu",
		 (unsigned long long)start->parent_cpu_us);
	for (int i = 0; i < OURS; i++)
		argv[i] = ours[i];
	for (int i = 0; i < args->extra_count; i++)
		argv[OURS + i] = args->extra[i];
	execve(path, argv, no_environment);
	return err_set(e, "cannot start %.512s%s: %s%s", start->jail->path,
		       path, strerrordesc_np(errno), remedy(errno));
}

void become_vmm(const struct start *start, bool in_cgroup, struct err *e)
{
	const struct jailer_args *args = start->args;

	if (!in_cgroup && cgroups_enter(&start->cgroups, e))
		return;
	if (set_limits(args, e) || privileges_drop(args->uid, args->gid, e) ||
	    privileges_check(args->uid, args->gid, e))
		return;
	umask(start->umask);
	if (close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC)) {
		err_errno(e, "cannot close the jailer's files");
		return;
	}
	exec_vmm(start, e);
}
