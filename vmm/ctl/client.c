/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/ctl/client.h"

#include <errno.h>
#include <limits.h>
#include <llhttp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "core/io/io.h"

enum {
	/* Bytes of heads, chunk sizes and trailers.  The count restarts after
	 * each piece of the body, because a stream of events has no end. */
	OVERHEAD_MAX = 64 << 10,
};

struct call {
	const struct client_request *request;
	struct client_answer *answer;
	struct err *e;
	int fd;
	uint64_t deadline_ms;

	struct buf out; /* the request; bytes from .sent on are unsent */
	size_t sent;

	llhttp_t parser;
	struct buf line;
	size_t overhead;
	bool has_head, complete, failed; /* failed: the reason is in *e */
};

/* --------------------------------------------------------------- what comes */

static struct call *call_of(llhttp_t *parser)
{
	return container_of(parser, struct call, parser);
}

static int fail(struct call *call)
{
	call->failed = true;
	return -1;
}

/* Pass each complete line to the caller. */
static int take_lines(struct call *call, const char *data, size_t len)
{
	const struct client_request *request = call->request;

	while (len > 0) {
		const char *end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) : len;

		if (call->line.len + n > CLIENT_LINE_MAX) {
			err_set(call->e, "a line is longer than %d bytes",
				CLIENT_LINE_MAX);
			return fail(call);
		}
		buf_add(&call->line, data, n);
		if (!end)
			return 0;
		if (call->line.failed) {
			err_set(call->e, "no memory");
			return fail(call);
		}
		if (call->line.len > 0 &&
		    request->line(request->context, call->line.data,
				  call->line.len, call->e))
			return fail(call);
		call->line.len = 0;
		data += n + 1;
		len -= n + 1;
	}
	return 0;
}

static int on_body(llhttp_t *parser, const char *data, size_t len)
{
	struct call *call = call_of(parser);
	struct buf *body = &call->answer->body;

	call->overhead = 0;
	if (call->request->line && parser->status_code == 200)
		return take_lines(call, data, len);
	if (body->len + len > CLIENT_BODY_MAX) {
		err_set(call->e, "the answer is longer than %d bytes",
			CLIENT_BODY_MAX);
		return fail(call);
	}
	buf_add(body, data, len);
	if (body->failed) {
		err_set(call->e, "no memory for the answer");
		return fail(call);
	}
	return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
	struct call *call = call_of(parser);

	/* 1xx responses precede the final one (RFC 9110, 15.2). */
	if (parser->status_code < 200)
		return 0;
	call->has_head = true;
	call->answer->status = parser->status_code;
	return 0;
}

static int on_message_complete(llhttp_t *parser)
{
	struct call *call = call_of(parser);

	if (!call->has_head)
		return 0;
	call->complete = true;
	/* Ignore anything after the answer. */
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_body = on_body,
	.on_headers_complete = on_headers_complete,
	.on_message_complete = on_message_complete,
};

static int parse(struct call *call, const char *data, size_t len)
{
	llhttp_errno_t r;

	call->overhead += len;
	r = llhttp_execute(&call->parser, data, len);
	if (call->complete)
		return 0;
	if (call->failed)
		return -1;
	if (r != HPE_OK)
		return err_set(call->e, "the answer is not valid HTTP (%.80s)",
			       call->parser.reason ? call->parser.reason
						   : llhttp_errno_name(r));
	if (call->overhead > OVERHEAD_MAX)
		return err_set(call->e, "the answer's head is too long");
	return 0;
}

/* The server closed the connection, which ends bodies of unknown length. */
static int parse_end(struct call *call)
{
	llhttp_finish(&call->parser);
	if (call->failed || call->complete)
		return call->failed ? -1 : 0;
	return err_set(call->e, "the connection was closed %s",
		       call->has_head ? "in the middle of the answer: the VMM "
					"has ended"
				      : "before an answer came: the VMM has "
					"ended");
}

/* ----------------------------------------------------------- the connection */

static uint64_t now_ms(void)
{
	return clock_now_ns(CLOCK_MONOTONIC) / 1000000;
}

static const char *remedy(int error)
{
	switch (error) {
	case ENOENT:
		return "; start a VMM with --api-sock PATH, or name the socket "
		       "of a running one with --socket";
	case ECONNREFUSED:
		return "; the VMM that made this socket has ended: remove the "
		       "file, or start one with this --api-sock, which "
		       "replaces it";
	case EACCES:
	case EPERM:
		return "; run this as the VMM's user";
	case EAGAIN:
		return "; the VMM does not accept connections: it is stopped, "
		       "or very busy";
	default:
		return "";
	}
}

static bool is_interrupted(const struct call *call)
{
	return call->request->interrupted && *call->request->interrupted;
}

/* Returns the connected socket, or -1. */
static int connect_to(const struct call *call)
{
	const char *path = call->request->socket;
	struct sockaddr_un address;
	struct timeval limit = {
		.tv_sec = call->request->timeout_ms / 1000,
		.tv_usec =
			(suseconds_t)(call->request->timeout_ms % 1000) * 1000,
	};
	AUTO_CLOSE int fd = -1;
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int r;

	if (!io_name_socket(&address, path))
		return err_set(call->e,
			       "a socket's path has at most %zu characters; "
			       "use a shorter one, such as a relative path",
			       sizeof(address.sun_path) - 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(call->e, "socket");
	/* It also bounds connect(), which waits while the backlog is full. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	do {
		r = connect(fd, (struct sockaddr *)&address, sizeof(address));
	} while (r && errno == EINTR && !is_interrupted(call));
	if (r && errno == EINTR)
		return err_set(call->e, "interrupted");
	if (r)
		return err_set(call->e, "%s%s", strerrordesc_np(errno),
			       remedy(errno));
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		call->answer->pid = peer.pid;
	return take_fd(&fd);
}

static int send_some(struct call *call)
{
	ssize_t n =
		send(call->fd, call->out.data + call->sent,
		     call->out.len - call->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n >= 0)
		call->sent += (size_t)n;
	else if (errno == EPIPE || errno == ECONNRESET)
		call->sent =
			call->out.len; /* its answer may have arrived already */
	else if (errno != EAGAIN && errno != EINTR)
		return err_errno(call->e, "send");
	return 0;
}

static int receive_some(struct call *call)
{
	char data[16384];
	ssize_t n = recv(call->fd, data, sizeof(data), MSG_DONTWAIT);

	if (n > 0)
		return parse(call, data, (size_t)n);
	if (n == 0 || errno == ECONNRESET)
		return parse_end(call);
	if (errno != EAGAIN && errno != EINTR)
		return err_errno(call->e, "recv");
	return 0;
}

/* poll()'s timeout; 0: the deadline has passed; -1: no limit. */
static int left_ms(const struct call *call)
{
	uint64_t now = now_ms();

	if (call->request->line && call->has_head)
		return -1;
	return now < call->deadline_ms
		       ? (int)min_u64(call->deadline_ms - now, INT_MAX)
		       : 0;
}

static int exchange(struct call *call)
{
	struct pollfd fds[] = {
		{.fd = call->fd},
		/* Standard output, for POLLERR alone, which poll() always
		 * reports: its reader is gone. */
		{.fd = -1},
	};

	while (!call->complete) {
		int wait = left_ms(call), r;

		fds[0].events = POLLIN;
		if (call->request->line && call->has_head)
			fds[1].fd = STDOUT_FILENO;
		if (call->sent < call->out.len)
			fds[0].events |= POLLOUT;
		r = wait ? poll(fds, ARRAY_SIZE(fds), wait) : 0;
		if (is_interrupted(call))
			return err_set(call->e, "interrupted");
		if (r < 0 && errno != EINTR)
			return err_errno(call->e, "poll");
		if (r == 0)
			return err_set(call->e,
				       "no answer within %u ms; the VMM is "
				       "stopped or busy%s",
				       call->request->timeout_ms,
				       call->request->remedy
					       ? call->request->remedy
					       : "");
		if (r < 0)
			continue;
		if (fds[1].revents & POLLERR)
			return 0;
		if (fds[0].revents & ~POLLOUT && receive_some(call))
			return -1;
		if (fds[0].revents & POLLOUT && send_some(call))
			return -1;
	}
	return 0;
}

static int write_request(struct call *call)
{
	const struct client_request *r = call->request;

	buf_printf(&call->out,
		   "%s %s HTTP/1.1\r\nHost: localhost\r\n"
		   "Accept: application/json\r\n",
		   r->method, r->path);
	if (r->body)
		buf_printf(&call->out,
			   "Content-Type: application/json\r\n"
			   "Content-Length: %zu\r\n",
			   r->body_len);
	buf_text(&call->out, "\r\n");
	if (r->body)
		buf_add(&call->out, r->body, r->body_len);
	return call->out.failed ? err_set(call->e, "no memory") : 0;
}

int client_call(const struct client_request *request,
		struct client_answer *answer, struct err *e)
{
	struct call call = {
		.request = request,
		.answer = answer,
		.e = e,
		.deadline_ms = now_ms() + request->timeout_ms,
	};
	int r = -1;

	*answer = (struct client_answer){0};
	llhttp_init(&call.parser, HTTP_RESPONSE, &settings);
	call.fd = connect_to(&call);
	if (call.fd >= 0) {
		r = write_request(&call) ? -1 : exchange(&call);
		close(call.fd);
	}
	buf_free(&call.out);
	buf_free(&call.line);
	return r;
}

bool client_path_is_valid(const char *path)
{
	for (const char *c = path; *c; c++) {
		if ((unsigned char)*c <= ' ' || *c == 0x7f)
			return false;
	}
	return path[0] == '/';
}
