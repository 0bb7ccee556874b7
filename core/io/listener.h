/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Unix socket that listens at a path.
 *
 * The path appears when the socket accepts connections, not before: the socket
 * is bound under a random name in the same folder and renamed once it listens.
 *
 *	nothing there                     taken
 *	a socket that nobody listens on   replaced: its process died (SIGKILL)
 *	a socket that somebody listens on refused, with the process's number
 *	anything else                     refused; only sockets are ever removed
 *
 * connect() tells the two kinds of sockets apart: the kernel drops a listening
 * socket with its last descriptor, so ECONNREFUSED proves that there is none on
 * this kernel.  (A folder that several machines share is no place for sockets.)
 */
#pragma once

#include <stdint.h>

enum { LISTENER_PATH_MAX = 107 }; /* characters, of any Unix socket */

/* What was made, so that only that is removed. */
struct listener_name {
	char path[LISTENER_PATH_MAX + 1]; /* "": nothing */
	uint64_t dev, ino;
	/* After a failure, for its message: " (process 7 listens there)", or
	 * "" if errno says all. */
	char remark[64];
};

/*
 * Returns the descriptor (non-blocking, close-on-exec; the caller's), or -1
 * with errno and name->remark set.  Never waits.
 */
int listener_open(struct listener_name *name, const char *path, int backlog);

/* 0 if nothing stands in the way at @path now; or -1, as above. */
int listener_check(struct listener_name *name, const char *path);

/* Remove the socket's name, unless another file has taken it. */
void listener_remove(struct listener_name *name);
