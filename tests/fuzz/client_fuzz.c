/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any answers to the commands that ask a VMM, which is not trusted.  The first
 * byte says which command it is, the second how answers are cut into pieces;
 * each connection gets what follows from an HTTP/1.1 on, the next one from the
 * next.  Sockets are played here.  The command ends, with one of its statuses.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/log.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/cli/cli.h"

enum { UNREACHABLE = 2, TURNS_MAX = 1 << 20, AGAIN = 18 << 20 };

/* What the server sends, and how much of it was read. */
static struct {
	const uint8_t *data;
	size_t len, at;
	size_t piece; /* bytes at most that come at once; 0: all */
	size_t again; /* bytes left of its end that come again and again */
	bool resets;  /* it ends in a reset of the connection */
	bool waits;   /* not all of a request is taken at once */
	unsigned turns, connections;
} server;

int __wrap_connect(int fd, const struct sockaddr *name, socklen_t len);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);
ssize_t __wrap_recv(int fd, void *data, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t len, int flags);

static size_t next_answer(size_t at)
{
	const uint8_t *found = at < server.len
				       ? memmem(server.data + at,
						server.len - at, "HTTP/1.1", 8)
				       : NULL;

	return found ? (size_t)(found - server.data) : server.len;
}

int __wrap_connect(int fd, const struct sockaddr *name, socklen_t len)
{
	(void)fd;
	must(name->sa_family == AF_UNIX && len > 2);
	must(++server.connections < 10);
	server.turns = 0;
	server.at = 0;
	for (unsigned i = 1; i < server.connections; i++)
		server.at = next_answer(server.at + 1);
	return 0;
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	must(count && timeout);
	/* Each turn something is read or sent. */
	must(++server.turns < TURNS_MAX);
	for (nfds_t i = 0; i < count; i++)
		fds[i].revents = 0;
	fds[0].revents = fds[0].events; /* POLLIN, POLLOUT */
	return 1;
}

ssize_t __wrap_recv(int fd, void *data, size_t len, int flags)
{
	size_t n, tail = server.len / 2;

	(void)fd;
	must(flags & MSG_DONTWAIT);
	if (server.at == server.len && server.again > tail) {
		server.at -= tail;
		server.again -= tail;
	}
	n = min_u64(server.len - server.at, len);
	if (!n && server.resets) {
		errno = ECONNRESET;
		return -1;
	}
	if (server.piece)
		n = min_u64(n, server.piece);
	memcpy(data, server.data + server.at, n);
	server.at += n;
	return (ssize_t)n;
}

ssize_t __wrap_send(int fd, const void *data, size_t len, int flags)
{
	(void)fd;
	(void)data;
	must(flags & MSG_NOSIGNAL);
	return (ssize_t)(server.waits ? (len + 1) / 2 : len);
}

static void set_up(void)
{
	static bool done;

	if (done)
		return;
	done = true;
	log_configure(&(struct log_config){.level = LOG_OFF, .fd = 2});
	must(freopen("/dev/null", "w", stdout));
}

static int run(unsigned which)
{
	static const struct {
		int (*run)(int argc, char **argv);
		const char *words[4];
	} commands[] = {
		{cli_ctl, {"status"}},
		{cli_ctl, {"clock"}},
		{cli_ctl, {"metrics"}},
		{cli_ctl, {"events"}},
		{cli_ctl, {"pause"}},
		{cli_ctl, {"get", "/vm/config"}},
		{cli_ctl, {"--json", "clock"}},
		{cli_ctl, {"resume", "--clock", "continuous"}},
		{cli_ctl, {"put", "/x", "{}"}},
		{cli_trace_offset, {"--guest", "5:7"}},
		{cli_trace_offset, {"--json"}},
		{cli_snapshot, {"--memory", "m", "--state", "s"}},
		{cli_ctl, {"--json", "events"}},
	};
	char words[7][16] = {"fuzz", "--socket", "s"};
	char *argv[ARRAY_SIZE(words) + 1] = {0};
	int argc = 3;

	which %= ARRAY_SIZE(commands);
	for (unsigned i = 0; i < 4 && commands[which].words[i]; i++)
		snprintf(words[argc++], sizeof(words[0]), "%s",
			 commands[which].words[i]);
	for (int i = 0; i < argc; i++)
		argv[i] = words[i];
	/* Without the command's name. */
	return commands[which].run(argc - 1, argv + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int status;

	if (size < 2)
		return 0;
	set_up();
	server.data = data + 2;
	server.len = size - 2;
	server.at = 0;
	server.piece = data[1] & 0x1f;
	server.again = data[1] & 0x20 && !server.piece ? AGAIN : 0;
	server.resets = data[1] & 0x40;
	server.waits = data[1] & 0x80;
	server.turns = server.connections = 0;
	status = run(data[0]);
	must(status == EXIT_OK || status == EXIT_FAILED ||
	     status == UNREACHABLE);
	return 0;
}
