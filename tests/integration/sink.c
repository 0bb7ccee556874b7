/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sink PATH`: takes all that is sent to a Unix socket, over as many
 * connections as come, and keeps nothing of it, until it is killed.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PLACES = 256 };

static struct pollfd fds[PLACES]; /* the first listens */

static void take(int fd)
{
	for (unsigned i = 1; i < PLACES; i++) {
		if (fds[i].fd < 0) {
			fds[i].fd = fd;
			return;
		}
	}
	close(fd);
}

static void drop(struct pollfd *p)
{
	static char bytes[64 << 10];

	if (recv(p->fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		return;
	close(p->fd);
	p->fd = -1;
}

int main(int argc, char **argv)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(name.sun_path, sizeof(name.sun_path), "%s",
		 argc > 1 ? argv[1] : "");
	if (listener < 0 ||
	    bind(listener, (struct sockaddr *)&name, sizeof(name)) ||
	    listen(listener, 1024)) {
		perror("sink");
		return 1;
	}
	for (unsigned i = 0; i < PLACES; i++)
		fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
	fds[0].fd = listener;
	while (poll(fds, PLACES, -1) >= 0) {
		int fd;

		while (fds[0].revents &&
		       (fd = accept(listener, NULL, NULL)) >= 0)
			take(fd);
		for (unsigned i = 1; i < PLACES; i++) {
			if (fds[i].fd >= 0 && fds[i].revents)
				drop(&fds[i]);
		}
	}
	return 1;
}
