/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the jailer's process to the VMM's.
 *
 *	plain            the jailer's process becomes the VMM; a watcher, a
 *	                 child of init, waits until it has
 *	--new-pid-ns     a child becomes the VMM, and the jailer watches
 *	--daemonize      a grandchild, without terminal and streams
 *
 * The watcher keeps root's privileges and stays outside of the VMM's cgroup: if
 * the exec fails, it undoes everything.  It learns that from a pipe, which is
 * closed on exec and carries the reason of a failure.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "jailer/cgroup.h"

struct err;
struct jail;
struct jailer_args;

struct start {
	const struct jailer_args *args;
	struct jail *jail;
	struct cgroups cgroups;
	int null_fd;  /* /dev/null of the host, for --daemonize */
	mode_t umask; /* the VMM's */
	/* When the jailer began; what its processes before this one used. */
	uint64_t start_us, start_cpu_us, parent_cpu_us;
};

/*
 * Become the VMM, or start it.  Returns an exit status for this process, which
 * may be one of several that return.
 */
int start_vmm(struct start *start);
