/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Non-blocking writes to descriptors that other processes share, and that may
 * lack O_NONBLOCK.
 *
 * O_NONBLOCK belongs to the open file description, so setting it would change
 * the descriptors of the other processes, too.  Each kind of file has its own
 * way to request the same for one call.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/io.h"

enum { PAGE = 4096 };

/* Whoever opened it may have set the flag, or not. */
static bool never_waits(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && flags & O_NONBLOCK;
}

/*
 * FIFOs, and pipes before Linux 6.5, do not support RWF_NOWAIT.  A pipe that
 * polls as writable has room for a page, unless another process fills it at
 * this very moment.
 */
static ssize_t poll_and_write(int fd, const void *buf, size_t len)
{
	struct pollfd out = {.fd = fd, .events = POLLOUT};

	if (poll(&out, 1, 0) == 1 && out.revents)
		return write(fd, buf, min_u64(len, PAGE));
	errno = EAGAIN;
	return -1;
}

static ssize_t pipe_nowait(int fd, const void *buf, size_t len)
{
	const struct iovec iov = {.iov_base = (void *)buf, .iov_len = len};
	ssize_t n = pwritev2(fd, &iov, 1, -1, RWF_NOWAIT);

	if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS))
		return n;
	return never_waits(fd) ? write(fd, buf, len)
			       : poll_and_write(fd, buf, len);
}

/*
 * Terminals have no such flag.  One that polls as writable accepts at least one
 * character, even a newline that becomes CR LF; for a pty no larger number is
 * known.  So write one character at a time.
 */
static ssize_t terminal_nowait(int fd, const char *buf, size_t len)
{
	struct pollfd out = {.fd = fd, .events = POLLOUT};
	size_t done = 0;

	while (done < len) {
		ssize_t n;

		if (poll(&out, 1, 0) != 1 || !(out.revents & POLLOUT)) {
			errno = out.revents ? EIO : EAGAIN;
			break;
		}
		n = write(fd, buf + done, 1);
		if (n != 1)
			break;
		done++;
	}
	return done ? (ssize_t)done : -1;
}

enum io_kind io_kind(int fd)
{
	struct statx st;

	if (io_look(fd, &st))
		return IO_UNKNOWN;
	if (S_ISFIFO(st.stx_mode))
		return IO_PIPE;
	if (S_ISSOCK(st.stx_mode))
		return IO_SOCKET;
	return S_ISCHR(st.stx_mode) && isatty(fd) ? IO_TERMINAL : IO_FILE;
}

int io_reopen_nowait(int fd)
{
	enum io_kind kind = io_kind(fd);
	char path[sizeof("/proc/self/fd/") + 11];

	if (kind != IO_TERMINAL && kind != IO_PIPE)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

ssize_t io_send(int fd, const void *data, size_t len)
{
	struct iovec iov = {(void *)data, len};
	const struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

ssize_t io_write_nowait(int fd, enum io_kind kind, const void *buf, size_t len)
{
	if (kind == IO_UNKNOWN)
		kind = io_kind(fd);
	if (kind == IO_PIPE)
		return pipe_nowait(fd, buf, len);
	if (kind == IO_SOCKET)
		return io_send(fd, buf, len);
	if (kind == IO_TERMINAL && !never_waits(fd))
		return terminal_nowait(fd, buf, len);
	return write(fd, buf, len);
}
