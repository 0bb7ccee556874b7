/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VM's cgroups: MOUNT/PARENT/ID, in each v1 hierarchy that has a controller
 * of --cgroup, or in the one hierarchy of v2.
 */
#pragma once

#include "jailer/args.h"

struct err;
struct undo;

struct cgroup_place {
	char mount[256];
	int mount_fd; /* the hierarchy */
	int fd;       /* the VM's folder in it; -1: not made yet */
};

struct cgroups {
	unsigned version, count;
	struct cgroup_place place[JAIL_CGROUPS_MAX];
};

/*
 * Make them and write the values.  With v2, --parent-cgroup and without
 * --cgroup the VM's place is that cgroup itself, which must exist.
 */
int cgroups_make(struct cgroups *groups, const struct jailer_args *args,
		 const char *exec_name, struct undo *undo, struct err *e);
void cgroups_fini(struct cgroups *groups);

/* The folder for CLONE_INTO_CGROUP, or -1: cgroups_enter() is needed. */
int cgroups_clone_fd(const struct cgroups *groups);

/* Move this process. */
int cgroups_enter(const struct cgroups *groups, struct err *e);
