/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/jail/devices.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "jailer/jail/tree.h"

/* Linux, Documentation/admin-guide/devices.txt */
enum { MEM_MAJOR = 1, URANDOM = 9, MISC_MAJOR = 10, TUN = 200, KVM = 232 };

enum { FOLDER_MODE = 0700 };

/* In the order in which they are made. */
static const char *const folders[] = {"dev", "dev/net", "run"};

bool devices_find_misc(const char *list, const char *name, unsigned *minor)
{
	size_t len = strlen(name);

	for (const char *line = list; line;) {
		char *end;
		unsigned long n = strtoul(line, &end, 10);

		if (end != line && *end == ' ' &&
		    !strncmp(end + 1, name, len) &&
		    (end[len + 1] == '\n' || !end[len + 1])) {
			*minor = (unsigned)n;
			return true;
		}
		line = strchr(line, '\n');
		line = line && line[1] ? line + 1 : NULL;
	}
	return false;
}

/* 0 if the host has no such device. */
static dev_t find_userfaultfd(void)
{
	char list[4096];
	unsigned minor;

	if (!io_read_text(AT_FDCWD, "/proc/misc", list, sizeof(list)) ||
	    !devices_find_misc(list, "userfaultfd", &minor))
		return 0;
	return makedev(MISC_MAJOR, minor);
}

/* /proc/misc does not have it until its module is loaded; its node does that.
 */
static dev_t find_vhost_net(void)
{
	struct stat st;

	if (lstat("/dev/vhost-net", &st) || !S_ISCHR(st.st_mode))
		return 0;
	return st.st_rdev;
}

static int make_nodes(const struct tree *root, uid_t uid, gid_t gid,
		      struct err *e)
{
	const struct {
		const char *path;
		dev_t device;
	} nodes[] = {
		{"dev/net/tun", makedev(MISC_MAJOR, TUN)},
		{"dev/kvm", makedev(MISC_MAJOR, KVM)},
		{"dev/urandom", makedev(MEM_MAJOR, URANDOM)},
		{"dev/userfaultfd", find_userfaultfd()},
		{"dev/vhost-net", find_vhost_net()},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(nodes); i++) {
		if (nodes[i].device && tree_mknod(root, nodes[i].path,
						  nodes[i].device, uid, gid, e))
			return -1;
	}
	return 0;
}

int devices_make(const struct tree *root, uid_t uid, gid_t gid, struct err *e)
{
	for (unsigned i = 0; i < ARRAY_SIZE(folders); i++) {
		bool made;
		AUTO_CLOSE int fd =
			tree_mkdir(root, folders[i], FOLDER_MODE, &made, e);

		if (fd < 0)
			return -1;
	}
	if (make_nodes(root, uid, gid, e))
		return -1;
	for (unsigned i = ARRAY_SIZE(folders); i > 0; i--) {
		if (tree_own(root, folders[i - 1], uid, gid, FOLDER_MODE, e))
			return -1;
	}
	return tree_own(root, ".", uid, gid, FOLDER_MODE, e);
}

int devices_remove(const struct tree *root, struct err *e)
{
	static const char *const paths[] = {
		"dev/net/tun",     "dev/kvm",       "dev/urandom",
		"dev/userfaultfd", "dev/vhost-net",
	};

	for (unsigned i = 0; i < ARRAY_SIZE(paths); i++) {
		if (tree_remove(root, paths[i], e))
			return -1;
	}
	return 0;
}
