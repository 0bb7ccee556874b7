/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/go_on.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "snapshot/state_file.h"

enum { POLL_MS = 50, RETRY_MS = 10, PIECE = 1 << 20 };

/* ------------------------------------------------------------------ opening */

static mode_t type_of(const char *path)
{
	int fd = io_descriptor_of(path);
	struct stat st;

	if (fd >= 0 ? fstat(fd, &st) : stat(path, &st))
		return 0;
	return st.st_mode & S_IFMT;
}

bool stream_is(const char *path)
{
	mode_t type = type_of(path);

	return type == S_IFIFO || type == S_IFSOCK;
}

static int open_socket(const char *path)
{
	struct sockaddr_un address;
	AUTO_CLOSE int place = -1;
	AUTO_CLOSE int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (!io_name_socket(&address, path)) {
		/* Too long for sun_path; a path to a descriptor is short. */
		place = open(path, O_PATH | O_CLOEXEC);
		snprintf(address.sun_path, sizeof(address.sun_path),
			 "/proc/self/fd/%d", place);
	}
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return -1;
	return take_fd(&fd);
}

static int open_once(const char *path, bool is_socket)
{
	if (is_socket)
		return open_socket(path);
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* Try again?  A FIFO has no reader yet, or a socket's queue is full. */
static bool may_come(int error, bool is_socket)
{
	return error == (is_socket ? EAGAIN : ENXIO) || error == EINTR;
}

static int wait_for_reader(struct stream *s, const char *path, struct err *e)
{
	const struct timespec moment = {.tv_nsec = RETRY_MS * 1000000L};

	for (int left = STREAM_WAIT_MS; left > 0; left -= RETRY_MS) {
		s->fd = open_once(path, s->is_socket);
		if (s->fd >= 0)
			return 0;
		if (!may_come(errno, s->is_socket))
			return err_errno(e, "cannot send to it");
		if (!may_go_on(s->go_on))
			return err_set(e, "it was cancelled");
		nanosleep(&moment, NULL);
	}
	return err_set(e,
		       "nobody came to read it within %d s; start the reader "
		       "before the snapshot",
		       STREAM_WAIT_MS / 1000);
}

/* Send to the inherited descriptor @fd. */
static int take_descriptor(struct stream *s, int fd, struct err *e)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	int flags = fcntl(fd, F_GETFL);

	if (s->is_socket && getpeername(fd, (struct sockaddr *)&peer, &len))
		return err_errno(e, "nobody is at the other end");
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
		return err_set(e, "it is for reading");
	s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (s->fd < 0)
		return err_errno(e, "cannot send to it");
	/*
	 * The descriptor may be in blocking mode, and other processes may rely
	 * on that.  But a pipe that polls as writable accepts PIPE_BUF bytes
	 * without blocking.
	 */
	s->piece = PIPE_BUF;
	return 0;
}

int stream_open(struct stream *s, const char *path, const struct go_on *go_on,
		struct err *e)
{
	int fd = io_descriptor_of(path);

	*s = (struct stream){
		.fd = -1,
		.is_socket = type_of(path) == S_IFSOCK,
		.piece = PIECE,
		.go_on = go_on,
	};
	return fd >= 0 ? take_descriptor(s, fd, e)
		       : wait_for_reader(s, path, e);
}

void stream_close(struct stream *s)
{
	util_close(&s->fd);
}

/* ------------------------------------------------------------------ sending */

/* Returns the number of bytes sent, which may be 0, or -1 with errno set. */
static ssize_t send_some(const struct stream *s, const void *data, size_t len)
{
	struct pollfd ready = {.fd = s->fd, .events = POLLOUT};
	ssize_t n = poll(&ready, 1, POLL_MS);

	if (n > 0 && s->is_socket)
		n = send(s->fd, data, min_u64(len, PIECE),
			 MSG_DONTWAIT | MSG_NOSIGNAL);
	else if (n > 0)
		n = write(s->fd, data, min_u64(len, s->piece));
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : n;
}

int stream_write(struct stream *s, const void *data, size_t len, struct err *e)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = send_some(s, (const char *)data + done, len - done);

		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return err_set(e,
				       "its reader closed it after %llu bytes",
				       s->sent);
		if (n < 0)
			return err_errno(e, "cannot send to it");
		if (!may_go_on(s->go_on))
			return err_set(e, "it was cancelled");
		done += (size_t)n;
		s->sent += (unsigned long long)n;
	}
	return 0;
}

int stream_state(struct stream *s, const void *body, size_t len, struct err *e)
{
	AUTO_CLOSE int file = memfd_create("state", MFD_CLOEXEC);
	AUTO_FREE char *data = NULL;
	struct stat st;

	if (file < 0)
		return err_errno(e, "cannot make a state file to send");
	if (state_file_save(file, body, len, e))
		return -1;
	if (!fstat(file, &st))
		data = malloc((size_t)st.st_size);
	if (!data || io_pread(file, data, (size_t)st.st_size, 0) != st.st_size)
		return err_errno(e, "cannot make a state file to send");
	return stream_write(s, data, (size_t)st.st_size, e);
}
