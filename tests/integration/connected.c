/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connected PATH COMMAND [ARGUMENT...]: runs a command whose descriptor 9 is
 * connected to a Unix stream socket.
 */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (argc < 3) {
		fprintf(stderr, "usage: connected PATH COMMAND...\n");
		return 2;
	}
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
	if (fd < 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    dup2(fd, 9) != 9) {
		perror(argv[1]);
		return 2;
	}
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 127;
}
