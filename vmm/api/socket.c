/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket appears when it accepts, not before: it is bound under another
 * name in the same folder, and gets its own when it listens.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/api/server.h"
#include "vmm/base/err.h"
#include "vmm/base/util.h"

static int refuse_path(const char *path, struct err *e)
{
	return err_errno(e,
			 "Failed to open the API socket at: %.256s. Check that "
			 "it is not already used",
			 path);
}

static int temporary_name(const char *path, struct sockaddr_un *name,
			  struct err *e)
{
	const char *slash = strrchr(path, '/');
	int folder = slash ? (int)(slash - path) + 1 : 0;
	int n = snprintf(name->sun_path, sizeof(name->sun_path), "%.*s.%x",
			 folder, path, (unsigned)getpid());

	if (n < 0 || (size_t)n >= sizeof(name->sun_path) ||
	    strlen(path) > API_SOCKET_PATH_MAX)
		return err_set(e,
			       "the API socket's path %.256s is too long: a "
			       "Unix socket's has up to %d characters",
			       path, API_SOCKET_PATH_MAX);
	return 0;
}

/* As rename(), but never over what is there. */
static int move(const char *from, const char *to)
{
	struct stat st;

	if (!renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* This file system cannot.  There is a gap between look and leap. */
	if (!lstat(to, &st)) {
		errno = EEXIST;
		return -1;
	}
	return rename(from, to);
}

int api_listen(struct api *api, const char *path, struct err *e)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	AUTO_CLOSE int fd = -1;
	struct stat st;

	if (temporary_name(path, &name, e))
		return -1;
	/* A name with our process's number is left over from a dead one. */
	unlink(name.sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)))
		return refuse_path(path, e);
	if (listen(fd, API_BACKLOG) || lstat(name.sun_path, &st) ||
	    move(name.sun_path, path)) {
		refuse_path(path, e);
		unlink(name.sun_path);
		return -1;
	}
	snprintf(api->path, sizeof(api->path), "%s", path);
	api->dev = st.st_dev;
	api->ino = st.st_ino;
	return take_fd(&fd);
}

int api_adopt(int fd, struct err *e)
{
	int listens = 0, domain = 0, flags = fcntl(fd, F_GETFL);
	socklen_t size = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) ||
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) || !listens ||
	    domain != AF_UNIX)
		return err_set(e,
			       "--api-fd %d is not a Unix socket that listens; "
			       "call listen() before you start stasis",
			       fd);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC))
		return err_errno(e, "cannot use --api-fd %d", fd);
	return 0;
}

void api_unlink(const struct api *api)
{
	struct stat st;

	/* Somebody may have put another there. */
	if (api->path[0] && !lstat(api->path, &st) && st.st_dev == api->dev &&
	    st.st_ino == api->ino)
		unlink(api->path);
}
