/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a command at a terminal of its own: pty COMMAND [ARGUMENT...].  What
 * comes from standard input is typed there; what it shows goes to standard
 * output.  The exit status is the command's, 128 + N if signal N ended it.
 */
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* False when there is no more to come. */
static int copy(int from, int to)
{
	char buffer[4096];
	ssize_t n = read(from, buffer, sizeof(buffer));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 1;
	return n > 0 && write(to, buffer, (size_t)n) == n;
}

int main(int argc, char **argv)
{
	struct pollfd fds[2] = {{.events = POLLIN}, {.events = POLLIN}};
	int master, status;
	pid_t child;

	if (argc < 2) {
		fprintf(stderr, "usage: pty COMMAND [ARGUMENT...]\n");
		return 2;
	}
	child = forkpty(&master, NULL, NULL, NULL);
	if (child < 0) {
		perror("pty");
		return 2;
	}
	if (!child) {
		execvp(argv[1], argv + 1);
		perror(argv[1]);
		_exit(127);
	}
	fds[0].fd = master;
	fds[1].fd = STDIN_FILENO;
	/* Ends when nobody has the terminal open any more. */
	while (poll(fds, 2, -1) >= 0 || errno == EINTR) {
		if (fds[0].revents && !copy(master, STDOUT_FILENO))
			break;
		if (fds[1].revents && !copy(STDIN_FILENO, master))
			fds[1].fd = -1;
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
