/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limit on open descriptors (RLIMIT_NOFILE), and a reserve within it.
 *
 * Each connection that a guest or a host program opens costs the VMM a
 * descriptor.  Connections never get the reserve, so that the API answers,
 * drives can be replaced and snapshots be written however many connections
 * there are.
 *
 * Any thread, but fd_limit_raise(): before there are others.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
	/* Enough for a VM with all connections, devices and vCPUs. */
	FD_LIMIT_WANTED = 4096,
	/*
	 * Kept free of connections: ten API clients and one that is being
	 * rejected, a snapshot's files and folders, a drive's new backing file,
	 * a page server, timers.  These need about 30; twice that to be safe.
	 */
	FD_RESERVE = 64,
};

/*
 * Raise the soft limit to FD_LIMIT_WANTED, or as far as the hard limit allows.
 * The usual soft limit of 1024 protects programs that use select().  stasis
 * does not use it, and starts no programs that would inherit the limit.
 */
void fd_limit_raise(void);

/* The soft limit, as fd_limit_raise() left it: a later prlimit() has no effect
 * here. */
uint64_t fd_limit(void);

/*
 * May a connection keep descriptor @fd?  False if @fd is in the reserve: the
 * kernel assigns the lowest free number, so all others are then in use.  If the
 * limit is below 256, the reserve is a quarter of it.
 */
bool fd_limit_allows(int fd);
