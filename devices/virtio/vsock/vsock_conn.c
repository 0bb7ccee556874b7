/* SPDX-License-Identifier: Apache-2.0 */
/* A stream: its socket on the host, its credit, its end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>

#include "core/base/metrics.h"
#include "core/base/now.h"
#include "devices/virtio/vsock/vsock_internal.h"

/* ------------------------------------------------------ list of connections */

static struct vsock_conn **bucket_of(struct vsock *v, uint32_t host,
				     uint32_t guest)
{
	uint32_t hash = (host ^ guest * 0x9e3779b1u) * 0x85ebca6bu;

	return &v->bucket[hash >> 24];
}

struct vsock_conn *vsock_conn_find(struct vsock *v, uint32_t host,
				   uint32_t guest)
{
	struct vsock_conn *c = *bucket_of(v, host, guest);

	while (c && (c->host_port != host || c->guest_port != guest))
		c = c->bucket_next;
	return c;
}

void vsock_conn_set_ports(struct vsock_conn *c, uint32_t host, uint32_t guest)
{
	struct vsock_conn **bucket = bucket_of(c->v, host, guest);

	c->host_port = host;
	c->guest_port = guest;
	c->bucket_next = *bucket;
	*bucket = c;
}

static bool has_ports(const struct vsock_conn *c)
{
	return c->state == CONN_CONNECTING || c->state == CONN_OPEN;
}

static void forget_ports(struct vsock_conn *c)
{
	struct vsock_conn **p = bucket_of(c->v, c->host_port, c->guest_port);

	while (*p && *p != c)
		p = &(*p)->bucket_next;
	if (*p)
		*p = c->bucket_next;
}

static void forget_ready(struct vsock_conn *c)
{
	struct vsock_conn **p = &c->v->ready;

	if (!c->is_ready)
		return;
	while (*p != c)
		p = &(*p)->ready_next;
	*p = c->ready_next;
	if (!*p)
		c->v->ready_end = p;
}

static void on_event(struct event_source *source, uint32_t events);

struct vsock_conn *vsock_conn_create(struct vsock *v, int fd,
				     enum vsock_conn_state state)
{
	struct vsock_conn *c = NULL;

	if (v->conn_count < VSOCK_CONNS_MAX)
		c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->v = v;
	c->fd = fd;
	c->state = state;
	if (state == CONN_LINE)
		c->accepted_ns = clock_now_ns(CLOCK_MONOTONIC);
	c->source.fd = -1;
	c->source.ready = on_event;
	c->next = v->all;
	c->prev = &v->all;
	if (v->all)
		v->all->prev = &c->next;
	v->all = c;
	v->conn_count++;
	metric_add(&v->metrics.conns_added, 1);
	return c;
}

void vsock_conn_destroy(struct vsock_conn *c)
{
	struct vsock *v = c->v;

	vsock_conn_unwatch(c);
	forget_ready(c);
	if (has_ports(c))
		forget_ports(c);
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	v->conn_count--;
	metric_add(&v->metrics.conns_removed, 1);
	util_close(&c->fd);
	free(c->buffer);
	free(c);
}

void vsock_conn_kill(struct vsock_conn *c)
{
	metric_add(&c->v->metrics.conns_killed, 1);
	if (has_ports(c))
		vsock_reset_ports(c->v, c->host_port, c->guest_port);
	vsock_conn_destroy(c);
}

/* ---------------------------------------------------------------- watching */

static uint32_t wanted_events(const struct vsock_conn *c, bool *any)
{
	uint32_t events = 0;

	*any = false;
	if (c->state == CONN_LINE) {
		events = EPOLLIN;
	} else if (c->state == CONN_OPEN) {
		if (!c->starved && !(c->send & SEND_DATA) &&
		    !(c->host_shutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) &&
		    !(c->guest_shutdown & VIRTIO_VSOCK_SHUTDOWN_RCV))
			events |= EPOLLIN;
		/*
		 * Once the host has closed one direction, wait for the other:
		 * EPOLLHUP is always reported.
		 */
		*any = c->host_shutdown == VIRTIO_VSOCK_SHUTDOWN_SEND;
	}
	if (c->buffer_len)
		events |= EPOLLOUT;
	*any |= events != 0;
	return events;
}

void vsock_conn_unwatch(struct vsock_conn *c)
{
	if (c->watched)
		loop_remove(c->v->dev.slot.loop, &c->source);
	c->watched = false;
}

void vsock_conn_watch(struct vsock_conn *c)
{
	struct event_loop *loop = c->v->dev.slot.loop;
	bool any;
	uint32_t events = wanted_events(c, &any);

	if (!any || c->v->parked) {
		/* Otherwise epoll would report a hang-up repeatedly. */
		vsock_conn_unwatch(c);
		return;
	}
	if (c->watched && c->events == events)
		return;
	if (c->watched ? loop_modify(loop, &c->source, events)
		       : loop_add(loop, &c->source, c->fd, events)) {
		metric_add(&c->v->metrics.conn_event_fails, 1);
		return;
	}
	c->watched = true;
	c->events = events;
}

void vsock_conn_send(struct vsock_conn *c, unsigned what)
{
	struct vsock *v = c->v;

	c->send |= what;
	if (c->is_ready || !c->send)
		return;
	c->is_ready = true;
	c->ready_next = NULL;
	*v->ready_end = c;
	v->ready_end = &c->ready_next;
}

void vsock_set_timer(struct vsock *v, uint64_t at_ns)
{
	const struct itimerspec spec = {
		.it_value = {(time_t)(at_ns / NS_PER_S),
			     (long)(at_ns % NS_PER_S)},
	};

	v->timer_ns = at_ns;
	timerfd_settime(v->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

void vsock_conn_set_deadline(struct vsock_conn *c)
{
	if (c->deadline_ns)
		return;
	c->deadline_ns =
		clock_now_ns(CLOCK_MONOTONIC) + VSOCK_TIMEOUT_MS * 1000000ull;
	if (!c->v->timer_ns) /* else armed for an earlier one */
		vsock_set_timer(c->v, c->deadline_ns);
}

/* ------------------------------------------------------------ guest to host */

uint32_t vsock_credit(const struct vsock_conn *c)
{
	uint32_t on_the_way = c->sent - c->guest_forwarded;

	return on_the_way < c->guest_alloc ? c->guest_alloc - on_the_way : 0;
}

static void count_forwarded(struct vsock_conn *c, uint32_t len)
{
	c->forwarded += len;
	metric_add(&c->v->metrics.tx_bytes_count, len);
	if (c->state == CONN_OPEN && c->forwarded - c->told >= VSOCK_BUFFER / 2)
		vsock_conn_send(c, SEND_CREDIT_UPDATE);
}

/*
 * Send to the host program.  Returns the number of bytes, 0 if the socket is
 * full, or a negative number on failure.
 */
static ssize_t send_some(struct vsock_conn *c, struct iovec *iov,
			 unsigned count)
{
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
	ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return n;
}

/*
 * Buffer bytes that the socket did not take.  Returns false if there is no
 * memory.
 */
static bool keep(struct vsock_conn *c, uint64_t offset, uint32_t len)
{
	uint32_t end = (c->buffer_at + c->buffer_len) % VSOCK_BUFFER;
	uint32_t first = (uint32_t)min_u64(len, VSOCK_BUFFER - end);

	if (!c->buffer)
		c->buffer = malloc(VSOCK_BUFFER);
	if (!c->buffer)
		return false;
	if (!virtq_read(&c->v->chain, offset, c->buffer + end, first) ||
	    !virtq_read(&c->v->chain, offset + first, c->buffer, len - first))
		return false;
	c->buffer_len += len;
	return true;
}

bool vsock_conn_write(struct vsock_conn *c, uint64_t offset, uint32_t len)
{
	struct virtq_chain *chain = &c->v->chain;
	struct iovec iov[VIRTQ_CHAIN_MAX];
	ssize_t n = 0;

	/* The guest sent more than its credit. */
	if (len > VSOCK_BUFFER - c->buffer_len) {
		vsock_conn_kill(c);
		return false;
	}
	if (!c->buffer_len)
		n = send_some(c, iov,
			      virtq_slice(chain->iov, chain->out_count, offset,
					  len, iov));
	if (n >= 0)
		count_forwarded(c, (uint32_t)n);
	if (n < 0 || ((uint32_t)n < len &&
		      !keep(c, offset + (uint64_t)n, len - (uint32_t)n))) {
		metric_add(&c->v->metrics.tx_write_fails, 1);
		vsock_conn_kill(c);
		return false;
	}
	vsock_conn_watch(c);
	return true;
}

/* Send buffered bytes.  Returns false if @c was destroyed. */
static bool flush(struct vsock_conn *c)
{
	uint32_t first =
		(uint32_t)min_u64(c->buffer_len, VSOCK_BUFFER - c->buffer_at);
	struct iovec iov[] = {{c->buffer + c->buffer_at, first},
			      {c->buffer, c->buffer_len - first}};
	ssize_t n = send_some(c, iov, 2);

	if (n < 0) {
		metric_add(&c->v->metrics.tx_flush_fails, 1);
		vsock_conn_kill(c);
		return false;
	}
	c->buffer_at = (c->buffer_at + (uint32_t)n) % VSOCK_BUFFER;
	c->buffer_len -= (uint32_t)n;
	count_forwarded(c, (uint32_t)n);
	if (!c->buffer_len) {
		free(c->buffer);
		c->buffer = NULL;
		c->buffer_at = 0;
	}
	return vsock_conn_close_if_done(c);
}

bool vsock_conn_close_if_done(struct vsock_conn *c)
{
	if (c->buffer_len)
		return true;
	if (c->state == CONN_DRAINING) {
		vsock_conn_destroy(c);
		return false;
	}
	if (!c->write_closed &&
	    c->guest_shutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) {
		shutdown(c->fd, SHUT_WR);
		c->write_closed = true;
	}
	return true;
}

void vsock_conn_end(struct vsock_conn *c)
{
	if (has_ports(c))
		forget_ports(c);
	forget_ready(c);
	c->is_ready = false;
	c->state = CONN_DRAINING;
	c->deadline_ns = 0;
	if (vsock_conn_close_if_done(c))
		vsock_conn_watch(c);
}

/* ------------------------------------------------------------------- events */

void vsock_conn_hang_up(struct vsock_conn *c)
{
	c->host_shutdown = VSOCK_SHUTDOWN_BOTH;
	vsock_conn_set_deadline(c);
	vsock_conn_send(c, SEND_SHUTDOWN);
}

static void open_ready(struct vsock_conn *c, uint32_t events)
{
	if (c->buffer_len && events & (EPOLLOUT | EPOLLHUP | EPOLLERR) &&
	    !flush(c))
		return;
	if (c->events & EPOLLIN && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		vsock_conn_send(c, SEND_DATA);
	else if (c->host_shutdown == VIRTIO_VSOCK_SHUTDOWN_SEND &&
		 events & (EPOLLHUP | EPOLLERR))
		vsock_conn_hang_up(c);
	vsock_conn_watch(c);
}

static void handle(struct vsock_conn *c, uint32_t events) REQUIRES(device_lock)
{
	struct vsock *v = c->v;

	if (v->stale || !virtio_is_live(&v->dev, VSOCK_RX)) {
		/* wake() watches it again once a driver is running. */
		v->parked = true;
		vsock_conn_unwatch(c);
		virtio_wake(&v->dev);
		return;
	}
	if (c->state == CONN_LINE)
		vsock_line_ready(c);
	else
		open_ready(c, events);
	vsock_rx_run(v);
}

static void on_event(struct event_source *source, uint32_t events)
{
	struct vsock_conn *c = container_of(source, struct vsock_conn, source);
	struct virtio_device *dev = &c->v->dev;

	virtio_enter(dev);
	handle(c, events);
	virtio_leave(dev);
}
