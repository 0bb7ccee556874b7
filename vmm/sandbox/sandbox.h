/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process that runs a VM gives up, without a jailer, in two steps:
 *
 *	sandbox_begin()  at its start: new privileges by execve(), core dumps,
 *	                 descriptors that would outlive execve()
 *	sandbox_enter()  when all files of the configuration are open and no
 *	                 vCPU thread exists yet, because Linux confines single
 *	                 threads: Landlock, and namespaces if asked for
 *
 * After the second step the guest's first instruction runs.  Files that were
 * opened before stay usable, so the rules list only what is opened or removed
 * later:
 *
 *	without an API   the folder of the vsock's socket, to remove it; the
 *	                 folder of a working set that is recorded
 *	with one         also that of the API's socket, the paths of
 *	                 --allow-path, and /proc, which snapshots read
 *
 * With an API but without --allow-path the file system is not restricted,
 * because only the client knows which files it will name.
 *
 * What is left out, and why: a PID namespace needs a process that waits
 * outside of it, which a SIGKILL would separate from the VM.  A mount namespace
 * hides files, which Landlock does already.  PR_SET_DUMPABLE would make
 * /proc/self root's, and the changes for snapshots are read from
 * /proc/self/pagemap.
 */
#pragma once

#include <stdbool.h>

struct err;
struct vm_config;

enum { SANDBOX_PATHS_MAX = 16 };

struct sandbox {
	bool off;        /* --no-sandbox: neither step confines anything */
	bool namespaces; /* --sandbox: a user and a network namespace */
	bool has_api;
	const char *api_sock; /* NULL: none that is removed at the end */
	const char *records;  /* NULL; the folder that gets a working set */
	struct sandbox_path {
		const char *path;
		int len; /* of it, without ":ro" */
		bool read_only;
	} allowed[SANDBOX_PATHS_MAX];
	unsigned allowed_count;
};

/* Allow what an option's value names: "PATH" or "PATH:ro".  @value must stay
 * valid. */
int sandbox_allow(struct sandbox *s, const char *value, struct err *e);

/* The first step.  No failure is worth not starting. */
void sandbox_begin(const struct sandbox *s);

/* The second, on the main thread.  Where the host does not support a part, the
 * log says so and the VM starts without it. */
void sandbox_enter(const struct sandbox *s, const struct vm_config *config);
