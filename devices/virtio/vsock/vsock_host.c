/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side: the listening socket, and connections from and to host
 * programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "core/base/err.h"
#include "core/base/metrics.h"
#include "core/base/now.h"
#include "core/io/fd_limit.h"
#include "core/io/log.h"
#include "devices/virtio/vsock/vsock_internal.h"

enum { BACKLOG = 1024, ACCEPTS_A_TURN = 64 };

int vsock_bind(struct vsock *v, const char *path, struct err *e)
{
	v->listen_fd = listener_open(&v->name, path, BACKLOG);
	if (v->listen_fd < 0)
		return vsock_refuse(e, errno, path, v->name.remark);
	return 0;
}

/* ------------------------------------------------------------------- limits */

/*
 * The connection that has waited longest for its CONNECT line, if that is at
 * least VSOCK_TIMEOUT_MS; otherwise NULL.
 */
static struct vsock_conn *find_silent(const struct vsock *v)
{
	struct vsock_conn *oldest = NULL;

	for (struct vsock_conn *c = v->all; c; c = c->next) {
		if (c->state == CONN_LINE)
			oldest = c; /* the newest come first */
	}
	if (!oldest || clock_now_ns(CLOCK_MONOTONIC) - oldest->accepted_ns <
			       VSOCK_TIMEOUT_MS * 1000000ull)
		return NULL;
	return oldest;
}

static bool has_place(const struct vsock *v, int fd)
{
	return v->conn_count < VSOCK_CONNS_MAX && fd_limit_allows(fd);
}

/* Move *fd to the lowest free descriptor number. */
static void renumber(int *fd)
{
	int lower = fcntl(*fd, F_DUPFD_CLOEXEC, 0);

	if (lower < 0)
		return;
	util_close(fd);
	*fd = lower;
}

/*
 * Make sure that there may be one more connection, on *fd, whose number may
 * change.  A program that has sent no CONNECT line is closed only if its place
 * is needed, because a person may be typing.  Returns false if there is no
 * place.
 */
static bool make_place(struct vsock *v, int *fd)
{
	static struct log_limit limit;
	struct vsock_conn *silent;

	if (has_place(v, *fd))
		return true;
	silent = find_silent(v);
	if (silent) {
		vsock_conn_kill(silent);
		renumber(fd);
		if (has_place(v, *fd))
			return true;
	}
	metric_add(&v->metrics.muxer_event_fails, 1);
	log_limited(&limit,
		    "vsock: a connection was refused: there are %u (at most "
		    "%d), and the limit on descriptors (ulimit -n) has to "
		    "leave some for the API",
		    v->conn_count, VSOCK_CONNS_MAX);
	return false;
}

/* ----------------------------------------------- host programs that connect */

static void admit(struct vsock *v, int fd)
{
	struct vsock_conn *c = NULL;

	if (make_place(v, &fd))
		c = vsock_conn_create(v, fd, CONN_LINE);
	if (c)
		vsock_conn_watch(c);
	else
		util_close(&fd); /* the program reads end of file */
}

bool vsock_accept(struct vsock *v)
{
	static struct log_limit limit;

	for (unsigned i = 0; i < ACCEPTS_A_TURN; i++) {
		int fd = accept4(v->listen_fd, NULL, NULL,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			admit(v, fd);
			continue;
		}
		if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR)
			return true;
		metric_add(&v->metrics.muxer_event_fails, 1);
		log_limited(&limit, "vsock: cannot accept connections: %s",
			    strerror(errno));
		return false;
	}
	return true;
}

/* -------------------------------------------------------------- CONNECT 52 */

static bool is_used(struct vsock *v, uint32_t port)
{
	for (const struct vsock_conn *c = v->all; c; c = c->next) {
		if (c->state != CONN_LINE && c->host_port == port)
			return true;
	}
	return false;
}

static uint32_t next_port(struct vsock *v)
{
	do {
		v->last_port = (v->last_port + 1) % VSOCK_FIRST_PORT;
	} while (is_used(v, VSOCK_FIRST_PORT + v->last_port));
	return VSOCK_FIRST_PORT + v->last_port;
}

/*
 * Parse "CONNECT <port>": in upper or lower case, separated by blanks; anything
 * after the port is ignored.
 */
static bool parse_line(const char *line, uint32_t *port)
{
	uint64_t number = 0;
	const char *p = line;
	unsigned digits = 0;

	while (*p == ' ' || *p == '\t')
		p++;
	if (strncasecmp(p, "connect", 7) != 0 || (p[7] != ' ' && p[7] != '\t'))
		return false;
	for (p += 7; *p == ' ' || *p == '\t'; p++)
		continue;
	for (; *p >= '0' && *p <= '9' && number <= UINT32_MAX; p++, digits++)
		number = number * 10 + (uint64_t)(*p - '0');
	if (!digits || number > UINT32_MAX ||
	    !strchr(" \t\r", *p)) /* or the end */
		return false;
	*port = (uint32_t)number;
	return true;
}

static void line_complete(struct vsock_conn *c)
{
	uint32_t port;

	c->line[c->line_len - 1] = '\0';
	if (!parse_line(c->line, &port)) {
		metric_add(&c->v->metrics.muxer_event_fails, 1);
		vsock_conn_kill(c);
		return;
	}
	vsock_conn_set_ports(c, next_port(c->v), port);
	c->state = CONN_CONNECTING;
	vsock_conn_send(c, SEND_REQUEST);
	vsock_conn_watch(c);
}

/* A byte at a time, because what follows the line is data for the guest. */
void vsock_line_ready(struct vsock_conn *c)
{
	while (c->line_len < sizeof(c->line)) {
		ssize_t n = read(c->fd, c->line + c->line_len, 1);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			vsock_conn_destroy(c);
			return;
		}
		if (c->line[c->line_len++] == '\n') {
			line_complete(c);
			return;
		}
	}
	metric_add(&c->v->metrics.muxer_event_fails, 1);
	vsock_conn_kill(c);
}

/* ------------------------------------------------------------ <uds_path>_52 */

/*
 * Log why connect() failed, unless just no program listens: then the RST to the
 * guest is enough.  Returns -1.
 */
static int cannot_connect(const char *path)
{
	static struct log_limit limit;

	if (errno != ENOENT && errno != ECONNREFUSED)
		log_limited(&limit,
			    "vsock: the guest was not connected to %s: %s",
			    path, strerror(errno));
	return -1;
}

static int connect_to(struct vsock *v, uint32_t port)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char path[VSOCK_PATH_MAX + sizeof("_4294967295")];
	AUTO_CLOSE int fd = -1;

	_Static_assert(sizeof(path) == sizeof(address.sun_path) + 1, "");
	snprintf(path, sizeof(path), "%s_%u", v->name.path, port);
	memcpy(address.sun_path, path, sizeof(address.sun_path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return cannot_connect(path);
	if (!make_place(v, &fd))
		return -1;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return cannot_connect(path);
	return take_fd(&fd);
}

void vsock_connect(struct vsock *v, uint32_t host, uint32_t guest,
		   const struct virtio_vsock_hdr *h)
{
	struct vsock_conn *c = NULL;
	int fd = connect_to(v, host);

	if (fd >= 0)
		c = vsock_conn_create(v, fd, CONN_OPEN);
	if (!c) {
		util_close(&fd);
		vsock_reset_ports(v, host, guest);
		return;
	}
	vsock_conn_set_ports(c, host, guest);
	c->guest_alloc = h->buf_alloc;
	c->guest_forwarded = h->fwd_cnt;
	vsock_conn_send(c, SEND_RESPONSE);
	vsock_conn_watch(c);
}
