/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a process still run in a jail?
 *
 * The pid file is in a folder that the VMM may write, so it only helps to find
 * a process quickly: what counts is which file a process runs, and which folder
 * is its root.
 */
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

struct err;
struct tree;

/* The number in the pid file @path, or 0: there is none that is valid. */
pid_t alive_read_pid(const struct tree *root, const char *path);

/*
 * The number of a process that runs in the jail, or 0, or -1 after a failure:
 * @pid if it runs the file @exec (NULL: there is none), else one whose root is
 * @root.  @proc is the path of procfs.
 */
pid_t alive_find(const char *proc, pid_t pid, const struct stat *exec,
		 const struct stat *root, struct err *e);
