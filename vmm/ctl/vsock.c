/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `stasis vsock`: connect standard input and output to a vsock port of the
 * guest through the VMM's Unix socket (devices/virtio/vsock/vsock.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/options.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/listener.h"
#include "core/io/log.h"
#include "vmm/cli/cli.h"

struct vsock_cli {
	const char *path;
	uint32_t port;
	bool listen, help;
};

/* A guest without a driver, or one that is paused, never answers. */
enum { ANSWER_S = 10 };

/* ------------------------------------------------------------------ copying */

/* One direction.  A writable pipe has room for PIPE_BUF (4096) bytes. */
struct pump {
	int from, to;
	size_t at, len;
	bool read_all, done;
	char data[4096];
};

static bool later(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static void pump_in(struct pump *p)
{
	ssize_t n = read(p->from, p->data, sizeof(p->data));

	if (later(n))
		return;
	p->at = 0;
	p->len = n > 0 ? (size_t)n : 0;
	p->read_all = n <= 0;
}

static void pump_out(struct pump *p)
{
	ssize_t n = write(p->to, p->data + p->at, p->len);

	if (later(n))
		return;
	if (n < 0) {
		p->done = true;
		return;
	}
	p->at += (size_t)n;
	p->len -= (size_t)n;
}

/* The event that @p waits for; fd -1 (which poll() ignores) if none. */
static struct pollfd wanted(const struct pump *p)
{
	if (p->done)
		return (struct pollfd){.fd = -1};
	return (struct pollfd){
		.fd = p->len ? p->to : p->from,
		.events = p->len ? POLLOUT : POLLIN,
	};
}

/* Copy until the guest closes its end or both directions have ended. */
static int copy(int fd)
{
	struct pump up = {.from = STDIN_FILENO, .to = fd};
	struct pump down = {.from = fd, .to = STDOUT_FILENO};
	struct pump *pumps[] = {&up, &down};

	while (!down.done || !up.done) {
		struct pollfd fds[] = {wanted(&up),
				       wanted(&down),
				       {.fd = down.done ? fd : -1}};

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			continue;
		for (unsigned i = 0; i < ARRAY_SIZE(pumps); i++) {
			if (!fds[i].revents)
				continue;
			if (pumps[i]->len)
				pump_out(pumps[i]);
			else
				pump_in(pumps[i]);
		}
		if (up.read_all && !up.done) {
			up.done = true;
			shutdown(fd, SHUT_WR);
		}
		if (down.done && !down.read_all)
			return EXIT_FAILED;
		down.done |= down.read_all;
		if (fds[2].revents & POLLHUP)
			return EXIT_OK;
	}
	return EXIT_OK;
}

/* --------------------------------------------------------------- connecting */

static int open_socket(struct sockaddr_un *address, const char *path,
		       struct err *e)
{
	int fd;

	if (!io_name_socket(address, path))
		return err_set(e, "%s: the path is too long", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd < 0 ? err_errno(e, "cannot create a socket") : fd;
}

/* Read byte by byte, because what follows the line is the guest's data. */
static int read_answer(int fd, uint32_t port, struct err *e)
{
	char line[32];
	size_t len = 0;

	while (len < sizeof(line) - 1) {
		ssize_t n = read(fd, line + len, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return err_set(e,
				       "the guest did not answer within %d s; "
				       "is it running, and has it a driver for "
				       "virtio-vsock?",
				       ANSWER_S);
		if (n <= 0)
			return err_set(e,
				       "no program in the guest listens on "
				       "port %u",
				       port);
		if (line[len++] == '\n')
			break;
	}
	if (strncmp(line, "OK ", 3) != 0)
		return err_set(e, "the socket is not that of a VMM");
	return 0;
}

static int connect_port(const struct vsock_cli *cli, struct err *e)
{
	const struct timeval limit = {.tv_sec = ANSWER_S};
	struct sockaddr_un address = {0};
	AUTO_CLOSE int fd = open_socket(&address, cli->path, e);
	char line[32];
	int len = snprintf(line, sizeof(line), "CONNECT %u\n", cli->port);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return err_errno(e, "cannot connect to %s", cli->path);
	if (write(fd, line, (size_t)len) != len)
		return err_errno(e, "cannot ask for port %u", cli->port);
	if (read_answer(fd, cli->port, e))
		return -1;
	return take_fd(&fd);
}

static void on_signal(int number)
{
	(void)number;
}

/*
 * Wait for a connection.  0, or -1 if a signal such as Ctrl-C arrived; the
 * caller then removes the socket.  The signals are blocked except in ppoll(),
 * so that none is missed.
 */
static int wait_readable(int fd)
{
	const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	const struct sigaction caught = {.sa_handler = on_signal};
	struct pollfd in = {.fd = fd, .events = POLLIN};
	struct sigaction old[ARRAY_SIZE(signals)];
	sigset_t set, before;
	int r;

	sigemptyset(&set);
	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, &before);
	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &caught, &old[i]);
	r = ppoll(&in, 1, NULL, &before);
	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &old[i], NULL);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r == 1 ? 0 : -1;
}

/* Listen for the guest's connections to this port; return the first one. */
static int accept_port(const struct vsock_cli *cli, struct err *e)
{
	char path[LISTENER_PATH_MAX + 12];
	struct listener_name name;
	AUTO_CLOSE int fd = -1;
	int taken;

	snprintf(path, sizeof(path), "%s_%u", cli->path, cli->port);
	fd = listener_open(&name, path, 1);
	if (fd < 0)
		return err_errno(e, "cannot listen on %s%s", path, name.remark);
	taken = wait_readable(fd) ? -1 : accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	if (taken < 0)
		err_errno(e, "cannot accept on %s", path);
	listener_remove(&name);
	return taken;
}

/* ------------------------------------------------------------------ options */

static const struct option options[] = {
	{"uds", "PATH",
	 "the VMM's socket: of stasis run --vsock, or PUT\n/vsock",
	 OPTION_TEXT(struct vsock_cli, path)},
	{"listen", NULL, "wait for the guest to connect to PORT of the host",
	 OPTION_FLAG(struct vsock_cli, listen)},
	{"help", NULL, "show this", OPTION_FLAG(struct vsock_cli, help)},
};

static void print_help(void)
{
	printf("Usage: stasis vsock --uds PATH [--listen] PORT\n"
	       "\n"
	       "Connect standard input and output to a vsock port of the "
	       "guest.  After the end\nof the input, the guest's output is "
	       "still copied until it ends.\n"
	       "\n");
	options_print(options, ARRAY_SIZE(options));
	printf("\n"
	       "Exit status: 0 if the connection was made and has ended; 1 "
	       "after a failure; 153\nfor arguments that are not valid.\n"
	       "\n"
	       "Examples:\n"
	       "  stasis vsock --uds /tmp/vm.vsock 52\n"
	       "  tar c folder | stasis vsock --uds /tmp/vm.vsock 52\n");
}

static int parse(struct vsock_cli *cli, int argc, char **argv, struct err *e)
{
	unsigned long long port = 0;
	const char *word = NULL;
	char *end = NULL;
	struct option_words words = {.word = &word, .max = 1};

	argc = options_take_words(options, ARRAY_SIZE(options), argc, argv,
				  &words, e);
	if (argc < 0 ||
	    options_parse(options, ARRAY_SIZE(options), argc, argv, cli, e))
		return -1;
	if (cli->help)
		return 0;
	if (word && *word >= '0' && *word <= '9')
		port = strtoull(word, &end, 10);
	if (!end || *end || port > UINT32_MAX)
		return err_set(e, "a port number is needed; see stasis vsock "
				  "--help");
	if (!cli->path)
		return err_set(e, "--uds PATH is needed; see stasis vsock "
				  "--help");
	cli->port = (uint32_t)port;
	return 0;
}

int cli_vsock(int argc, char **argv)
{
	struct vsock_cli cli = {0};
	struct err e = {0};
	AUTO_CLOSE int fd = -1;

	signal(SIGPIPE, SIG_IGN);
	if (parse(&cli, argc, argv, &e)) {
		log_error("%s", e.text);
		return EXIT_BAD_ARGUMENTS;
	}
	if (cli.help) {
		print_help();
		return EXIT_OK;
	}
	fd = cli.listen ? accept_port(&cli, &e) : connect_port(&cli, &e);
	if (fd >= 0 && fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK))
		err_errno(&e, "cannot use the connection");
	if (*e.text) {
		log_error("%s", e.text);
		return EXIT_FAILED;
	}
	return copy(fd);
}
