/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandbox/landlock.h"

#include <errno.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/io.h"

/* Bits of file access by ABI; headers may be older than the running kernel. */
enum {
	FILES_1 = BIT(13) - 1,
	FILES_2 = BIT(14) - 1, /* REFER */
	FILES_3 = BIT(15) - 1, /* TRUNCATE */
	FILES_5 = BIT(16) - 1, /* IOCTL_DEV */
	/* All that can be allowed for what is not a folder. */
	OF_FILES = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
		   LANDLOCK_ACCESS_FS_READ_FILE | BIT(14) | BIT(15),
	READ = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
	NEVER = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
		LANDLOCK_ACCESS_FS_MAKE_BLOCK,
	TCP = BIT(0) | BIT(1),    /* bind, connect; since ABI 4 */
	SCOPES = BIT(0) | BIT(1), /* abstract sockets, signals; since ABI 6 */
};

/* struct landlock_ruleset_attr of ABI 6; earlier ones are its beginning. */
struct ruleset {
	uint64_t files, net, scoped;
};

bool landlock_begin(struct landlock *l, bool files)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
			   LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset r = {0};
	size_t size = sizeof(r.files);

	*l = (struct landlock){.fd = -1};
	if (abi < 1)
		return false;
	if (files)
		r.files = abi >= 5   ? FILES_5
			  : abi >= 3 ? FILES_3
			  : abi == 2 ? FILES_2
				     : FILES_1;
	if (abi >= 4) {
		r.net = TCP;
		size += sizeof(r.net);
	}
	if (abi >= 6) {
		r.scoped = SCOPES;
		size += sizeof(r.scoped);
	}
	l->files = r.files;
	/* It fails if nothing at all would be restricted.  The descriptor is
	 * close-on-exec. */
	l->fd = (int)syscall(SYS_landlock_create_ruleset, &r, size, 0);
	return l->fd >= 0;
}

static uint64_t access_of(const struct landlock *l, enum landlock_use use)
{
	switch (use) {
	case LANDLOCK_READ:
		return READ;
	case LANDLOCK_WRITE:
		return l->files & ~(uint64_t)NEVER;
	default:
		return LANDLOCK_ACCESS_FS_REMOVE_FILE;
	}
}

bool landlock_allow(const struct landlock *l, const char *path, size_t len,
		    enum landlock_use use)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = access_of(l, use),
	};
	AUTO_CLOSE int fd = io_open_place(path, len);
	long r;

	if (fd < 0)
		return false;
	rule.parent_fd = fd;
	r = syscall(SYS_landlock_add_rule, l->fd, LANDLOCK_RULE_PATH_BENEATH,
		    &rule, 0);
	/* Not a folder: it has fewer kinds of access. */
	if (r && errno == EINVAL) {
		rule.allowed_access &= OF_FILES;
		r = syscall(SYS_landlock_add_rule, l->fd,
			    LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	}
	return !r;
}

bool landlock_apply(struct landlock *l)
{
	bool applied = !syscall(SYS_landlock_restrict_self, l->fd, 0);

	util_close(&l->fd);
	return applied;
}
