/* SPDX-License-Identifier: Apache-2.0 */
/* The API's listening socket: created here, or passed by the launcher. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "core/base/err.h"
#include "core/io/listener.h"
#include "vmm/api/server.h"

int api_listen(struct api *api, const char *path, struct err *e)
{
	int fd = listener_open(&api->name, path, API_BACKLOG);

	if (fd < 0 && errno == ENAMETOOLONG)
		return err_set(e,
			       "the API socket's path %.256s is too long: a "
			       "Unix socket's has up to %d characters",
			       path, LISTENER_PATH_MAX);
	if (fd < 0)
		return err_errno(e,
				 "Failed to open the API socket at: %.256s. "
				 "Check that it is not already used%s",
				 path, api->name.remark);
	return fd;
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
