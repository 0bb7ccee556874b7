/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/jail/exec_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "jailer/jail/tree.h"

static int check(int fd, const char *path, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st))
		return err_errno(e, "--exec-file %.512s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e,
			       "--exec-file %.512s is not a regular file; name "
			       "the VMM's program",
			       path);
	if (st.st_nlink != 1)
		return err_set(e,
			       "--exec-file %.512s has %lu links; name a copy "
			       "with one",
			       path, (unsigned long)st.st_nlink);
	if (!(st.st_mode & 0111))
		return err_set(e,
			       "--exec-file %.512s is not executable; chmod +x "
			       "it, or name the VMM's program",
			       path);
	return 0;
}

int exec_file_open(const char *path, char name[EXEC_NAME_MAX + 1],
		   struct err *e)
{
	/* O_NONBLOCK: the open does not wait for a FIFO. */
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_NO_SYMLINKS,
	};
	AUTO_FREE char *real = realpath(path, NULL);
	AUTO_CLOSE int fd = -1;
	const char *last;

	if (real)
		fd = (int)syscall(SYS_openat2, AT_FDCWD, real, &how,
				  sizeof(how));
	if (fd < 0)
		return err_errno(e, "cannot open --exec-file %.512s", path);
	if (check(fd, path, e))
		return -1;
	last = strrchr(real, '/') + 1;
	if (strlen(last) > EXEC_NAME_MAX)
		return err_set(e,
			       "the name of --exec-file %.512s is longer than "
			       "%d characters; give it a shorter one",
			       path, EXEC_NAME_MAX);
	memcpy(name, last, strlen(last) + 1);
	return take_fd(&fd);
}

int exec_file_copy(int fd, const struct tree *root, const char *name,
		   struct err *e)
{
	enum { PIECE = 1 << 20, MODE = 0555 };
	AUTO_CLOSE int copy = tree_create(root, name, MODE, e);
	ssize_t n;

	if (copy < 0)
		return -1;
	do {
		n = sendfile(copy, fd, NULL, PIECE);
	} while (n > 0);
	if (n < 0)
		return err_errno(e, "cannot copy the program to %.512s/%.256s",
				 root->name, name);
	return 0;
}
