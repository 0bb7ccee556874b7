/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsync FILE|FOLDER...: returns once all of them are on the disk.  In guests,
 * whose busybox can only wait for everything.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		int fd = open(argv[i], O_RDONLY | O_CLOEXEC);

		if (fd < 0 || fsync(fd)) {
			perror(argv[i]);
			return 1;
		}
		close(fd);
	}
	return 0;
}
