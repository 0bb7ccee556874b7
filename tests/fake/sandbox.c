/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[64];

static bool is_inside(const char *path)
{
	return path[0] && path[0] != '/' && !strstr(path, "..");
}

static bool may_be_read(const char *path)
{
	static const char *const names[] = {
		"/proc/self/pagemap", "/proc/sys/kernel/", "/sys/devices/",
		"/dev/userfaultfd"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strncmp(path, names[i], strlen(names[i])))
			return !strstr(path, "..");
	}
	return false;
}

static int refuse(void)
{
	errno = EACCES;
	return -1;
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_renameat2(int a, const char *from, int b, const char *to,
		     unsigned flags);
int __wrap_renameat2(int a, const char *from, int b, const char *to,
		     unsigned flags);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __real_bind(int fd, const struct sockaddr *name, socklen_t len);
int __wrap_bind(int fd, const struct sockaddr *name, socklen_t len);
int __real_connect(int fd, const struct sockaddr *name, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *name, socklen_t len);
int __wrap_fsync(int fd);
int __wrap_sync_file_range(int fd, off_t at, off_t len, unsigned flags);

int __wrap_open64(const char *path, int flags, ...)
{
	va_list args;
	int mode;

	va_start(args, flags);
	mode = va_arg(args, int);
	va_end(args);
	if (is_inside(path) || may_be_read(path))
		return __real_open64(path, flags, mode);
	return refuse();
}

int __wrap_rename(const char *from, const char *to)
{
	return is_inside(from) && is_inside(to) ? __real_rename(from, to)
						: refuse();
}

int __wrap_renameat2(int a, const char *from, int b, const char *to,
		     unsigned flags)
{
	return is_inside(from) && is_inside(to)
		       ? __real_renameat2(a, from, b, to, flags)
		       : refuse();
}

int __wrap_unlink(const char *path)
{
	return is_inside(path) ? __real_unlink(path) : refuse();
}

static bool is_ours(const struct sockaddr *name)
{
	const struct sockaddr_un *un = (const void *)name;

	return name->sa_family == AF_UNIX && is_inside(un->sun_path);
}

int __wrap_bind(int fd, const struct sockaddr *name, socklen_t len)
{
	return is_ours(name) ? __real_bind(fd, name, len) : refuse();
}

int __wrap_connect(int fd, const struct sockaddr *name, socklen_t len)
{
	return is_ours(name) ? __real_connect(fd, name, len) : refuse();
}

int __wrap_fsync(int fd)
{
	(void)fd;
	return 0;
}

int __wrap_sync_file_range(int fd, off_t at, off_t len, unsigned flags)
{
	(void)fd;
	(void)at;
	(void)len;
	(void)flags;
	return 0;
}

/* --------------------------------------------------------------- the folder */

static void clear(bool hidden)
{
	DIR *dir = opendir(".");
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		bool is_hidden = d->d_name[0] == '.';

		if (strcmp(d->d_name, ".") != 0 &&
		    strcmp(d->d_name, "..") != 0 && (hidden || !is_hidden))
			__real_unlink(d->d_name);
	}
	if (dir)
		closedir(dir);
}

void sandbox_empty(void)
{
	clear(false);
}

static void leave(void)
{
	clear(true);
	if (!chdir("/"))
		rmdir(folder);
}

void sandbox_enter(const char *name)
{
	snprintf(folder, sizeof(folder), "/tmp/%s.XXXXXX", name);
	if (!mkdtemp(folder) || chdir(folder) || atexit(leave)) {
		perror(folder);
		abort();
	}
}
