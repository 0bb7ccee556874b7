/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/netns.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#include "core/base/err.h"
#include "core/base/util.h"

/* Ask the file system first: a device could do anything with an ioctl. */
static bool is_netns(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && fs.f_type == NSFS_MAGIC &&
	       ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET;
}

int netns_open(const char *path, struct err *e)
{
	AUTO_CLOSE int fd =
		open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(e, "cannot open --netns %.512s", path);
	if (!is_netns(fd))
		return err_set(e,
			       "--netns %.512s is not a network namespace; `ip "
			       "netns add NAME` makes /var/run/netns/NAME",
			       path);
	return take_fd(&fd);
}

int netns_join(int fd, struct err *e)
{
	if (setns(fd, CLONE_NEWNET))
		return err_errno(e, "cannot join the network namespace");
	return 0;
}
