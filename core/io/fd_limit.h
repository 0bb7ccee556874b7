/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limit on descriptors (RLIMIT_NOFILE), and who may use the last of them.
 *
 * Each connection that a guest or a program of the host opens costs the VMM a
 * descriptor.  Those that are counted here never get the last ones, so that
 * the API answers, drives can be changed and snapshots be written however many
 * connections there are.
 *
 * Any thread.
 */
#pragma once

#include <stdbool.h>

enum {
	/* Enough for the most connections, devices and vCPUs that a VM has. */
	FD_LIMIT_WANTED = 4096,
	/*
	 * Kept free: ten API clients and one that is turned away, a snapshot's
	 * files and folders, a drive's new file, a page server, timers; about
	 * 30, and as many again.
	 */
	FD_RESERVE = 64,
};

/*
 * Raise the soft limit as far as it is useful and the hard limit allows.  A
 * soft limit of 1024 is meant for programs that use select(), and nothing here
 * does; nor do we start other programs, which would inherit it.
 */
void fd_limit_raise(void);

/*
 * May a connection keep descriptor @fd?  The kernel gives out the lowest free
 * number, so one in the reserve says that all the others are in use.  Of a
 * limit below 256 the reserve is a quarter.
 */
bool fd_limit_allows(int fd);
