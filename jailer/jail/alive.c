/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/jail/alive.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/options.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "jailer/jail/tree.h"

pid_t alive_read_pid(const struct tree *root, const char *path)
{
	AUTO_CLOSE int fd = tree_open(
		root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, &(struct err){0});
	char text[16];
	struct stat st;
	uint64_t pid;
	ssize_t len;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode))
		return 0;
	len = io_pread(fd, text, sizeof(text) - 1, 0);
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len <= 0)
		return 0;
	text[len] = '\0';
	return options_parse_number(text, INT_MAX, &pid) ? (pid_t)pid : 0;
}

/* Does the link @name of process @pid lead to @file? */
static bool leads_to(int proc, pid_t pid, const char *name,
		     const struct stat *file)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "%d/%s", (int)pid, name);
	return !fstatat(proc, path, &st, 0) && st.st_dev == file->st_dev &&
	       st.st_ino == file->st_ino;
}

pid_t alive_find(const char *proc, pid_t pid, const struct stat *exec,
		 const struct stat *root, struct err *e)
{
	int fd = open(proc, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	pid_t found = 0;
	uint64_t n;

	if (!list) {
		err_errno(e,
			  "cannot tell whether the jail is in use: cannot read "
			  "%.64s",
			  proc);
		util_close(&fd);
		return -1;
	}
	if (pid > 0 && exec && leads_to(fd, pid, "exe", exec))
		found = pid;
	while (!found && (entry = readdir(list))) {
		if (options_parse_number(entry->d_name, INT_MAX, &n) &&
		    leads_to(fd, (pid_t)n, "root", root))
			found = (pid_t)n;
	}
	closedir(list);
	return found;
}
