/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/testing.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

void testing_contains(const char *text, const char *part, bool wanted,
		      const char *file, int line)
{
	bool found = strstr(text, part);

	if (found == wanted)
		return;
	print_error("\"%s\"\n%s \"%s\"\n", text,
		    wanted ? "lacks" : "must not contain", part);
	_fail(file, line);
}

int testing_file(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	return fd;
}

const char *testing_file_path(int fd)
{
	static char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return path;
}

unsigned testing_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

size_t testing_read_all(int fd, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size - 1 && (n = read(fd, buf + len, size - 1 - len)) > 0)
		len += (size_t)n;
	buf[len] = '\0';
	return len;
}

uint64_t testing_take_event(int fd)
{
	eventfd_t count = 0;

	if (eventfd_read(fd, &count))
		return 0;
	return count;
}

void testing_pipe(int fds[2])
{
	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
}

size_t testing_fill(int fd)
{
	static const char block[4096];
	size_t total = 0;
	ssize_t n;

	while ((n = write(fd, block, sizeof(block))) > 0)
		total += (size_t)n;
	while (write(fd, block, 1) == 1)
		total++;
	return total;
}
