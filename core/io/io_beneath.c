/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a file below a folder whose content somebody else chose.
 *
 * Each name of the path is opened in the directory that the name before it
 * led to, and none may be a symbolic link, so what is checked is what is
 * opened, even if the folder changes meanwhile.  openat2() would do the same
 * with one call, but needs Linux 5.6.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "core/base/util.h"
#include "core/io/io.h"

void io_folder_of(char *out, size_t size, const char *path)
{
	const char *slash = strrchr(path, '/');

	snprintf(out, size, "%.*s", slash ? (int)(slash - path) + 1 : 1,
		 slash ? path : ".");
}

bool io_name_socket(struct sockaddr_un *out, const char *path)
{
	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	return (size_t)snprintf(out->sun_path, sizeof(out->sun_path), "%s",
				path) < sizeof(out->sun_path);
}

int io_open_place(const char *path, size_t len)
{
	char place[PATH_MAX];

	if (len >= sizeof(place)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(place, path, len);
	place[len] = '\0';
	return open(place, O_PATH | O_CLOEXEC);
}

/* Copy the name that *rest begins with, and advance to the next one.  @name is
 * empty if that one would lead upwards, or out of bounds. */
static void take_name(const char **rest, char name[NAME_MAX + 1])
{
	size_t len = strcspn(*rest, "/");

	name[0] = '\0';
	if (len <= NAME_MAX && !(len == 2 && !strncmp(*rest, "..", 2))) {
		memcpy(name, *rest, len);
		name[len] = '\0';
	}
	*rest += len;
	*rest += strspn(*rest, "/");
}

/* A regular file with no other name, which could be outside of the folder. */
static int check_file(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return errno;
	if (S_ISLNK(st.st_mode))
		return ELOOP;
	if (!S_ISREG(st.st_mode))
		return EINVAL;
	return st.st_nlink > 1 ? EMLINK : 0;
}

int io_open_beneath(const char *path, size_t folder, int flags)
{
	AUTO_CLOSE int fd = io_open_place(path, folder);
	const char *rest = path + folder + strspn(path + folder, "/");
	char name[NAME_MAX + 1];

	do {
		int in = fd;

		if (in < 0)
			return -1;
		take_name(&rest, name);
		fd = openat(in, name,
			    O_NOFOLLOW | O_CLOEXEC |
				    (*rest ? O_PATH | O_DIRECTORY : flags));
		close(in);
	} while (*rest);
	if (fd < 0)
		return -1;
	errno = check_file(fd);
	return errno ? -1 : take_fd(&fd);
}
