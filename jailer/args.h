/* SPDX-License-Identifier: Apache-2.0 */
/* The jailer's command line: Firecracker's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct err;

enum {
	JAIL_ID_MAX = 64,
	JAIL_CGROUPS_MAX = 32,
	JAIL_NO_FILE_DEFAULT = 2048,
};

#define JAIL_BASE_DEFAULT "/srv/jailer"
#define JAIL_NO_LIMIT     UINT64_MAX

struct jailer_args {
	const char *id, *exec_file, *base, *netns;
	const char *parent_cgroup; /* NULL: the exec file's name */
	uint32_t uid, gid;
	unsigned cgroup_version;
	const char *cgroup[JAIL_CGROUPS_MAX]; /* KEY=VALUE, checked */
	unsigned cgroup_count;
	uint64_t fsize; /* bytes; JAIL_NO_LIMIT: as it is */
	uint64_t no_file;
	bool daemonize, new_pid_ns, help, version;
	char **extra; /* what follows "--" */
	int extra_count;

	bool has_uid, has_gid;
};

/*
 * Parse the arguments without the program's name.  @args points into @argv.
 * What is required is not checked if --help or --version is among them.
 */
int args_parse(struct jailer_args *args, int argc, char **argv, struct err *e);

void args_print_help(void);
void args_print_version(void);
