/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Unix socket that listens at a path.
 *
 * The path appears only once the socket accepts connections: the socket is
 * bound under a random name in the same folder, and renamed when it listens.
 *
 *	at the path              then
 *	nothing                  the name is taken
 *	a stale socket           replaced: its process died (SIGKILL)
 *	a listening socket       rejected; the error has the process's PID
 *	anything else            rejected; only sockets are ever removed
 *
 * connect() tells stale and listening sockets apart: the kernel destroys a
 * listening socket with its last descriptor, so ECONNREFUSED proves that no
 * process of this kernel listens.  Folders shared by several machines are not
 * supported.
 */
#pragma once

#include <stdint.h>

enum { LISTENER_PATH_MAX = 107 }; /* characters; the limit of Unix sockets */

/* Identifies the socket that was created, so that only it is removed. */
struct listener_name {
	char path[LISTENER_PATH_MAX + 1]; /* "": nothing */
	uint64_t dev, ino;
	/*
	 * After a failure, an addition to its message: " (process 7 listens
	 * there)", or "" if errno says it all.
	 */
	char remark[64];
};

/*
 * Listen at @path.  Returns the descriptor (non-blocking, close-on-exec, owned
 * by the caller), or -1 with errno and name->remark set.  Never blocks.
 */
int listener_open(struct listener_name *name, const char *path, int backlog);

/* 0 if listener_open() could take @path now; or -1, as above. */
int listener_check(struct listener_name *name, const char *path);

/* Remove the socket's name, unless another file has it by now. */
void listener_remove(struct listener_name *name);
