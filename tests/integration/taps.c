/* SPDX-License-Identifier: Apache-2.0 */
/*
 * taps PID/NAME... -- COMMAND...: opens taps of the network namespaces of those
 * processes, the first as descriptor 3 and so on, and runs the command, here.
 * Each is left to the namespace it is in.
 */
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int open_tap(const char *name)
{
	struct ifreq request = {
		.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR,
	};
	int fd = open("/dev/net/tun", O_RDWR);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	return fd < 0 || ioctl(fd, TUNSETIFF, &request) ? -1 : fd;
}

int main(int argc, char **argv)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), i;

	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		char *name = strchr(argv[i], '/'), path[64];
		int there, fd;

		if (!name)
			return 2;
		*name++ = '\0';
		snprintf(path, sizeof(path), "/proc/%s/ns/net", argv[i]);
		there = open(path, O_RDONLY | O_CLOEXEC);
		if (there < 0 || setns(there, CLONE_NEWNET)) {
			perror(path);
			return 1;
		}
		fd = open_tap(name);
		if (fd < 0 || dup2(fd, 100 + i) < 0) {
			perror(name);
			return 1;
		}
		close(fd);
	}
	if (home < 0 || setns(home, CLONE_NEWNET) || i + 1 >= argc)
		return 2;
	close(home); /* its number is one of these */
	for (int n = 1; n < i; n++)
		dup2(100 + n, 2 + n);
	execvp(argv[i + 1], argv + i + 1);
	perror(argv[i + 1]);
	return 1;
}
