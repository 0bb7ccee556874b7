/* SPDX-License-Identifier: Apache-2.0 */
/* Packets from and to the guest. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "core/base/metrics.h"
#include "core/io/io.h"
#include "devices/virtio/vsock/vsock_internal.h"

/* ------------------------------------------------------------ to the guest */

void vsock_reset_ports(struct vsock *v, uint32_t host, uint32_t guest)
{
	unsigned at = (v->resets_at + v->resets_count) % VSOCK_RESETS_MAX;

	/* Full only if the guest takes no packets; drop this one. */
	if (v->resets_count == VSOCK_RESETS_MAX)
		return;
	v->resets[at] = (struct vsock_ports){host, guest};
	v->resets_count++;
}

/* Fill in @h for the next queued RST.  Returns false if there is none. */
static bool next_reset(struct vsock *v, struct virtio_vsock_hdr *h)
{
	const struct vsock_ports *ports = &v->resets[v->resets_at];

	if (!v->resets_count)
		return false;
	h->op = VIRTIO_VSOCK_OP_RST;
	h->src_port = ports->host;
	h->dst_port = ports->guest;
	v->resets_at = (v->resets_at + 1) % VSOCK_RESETS_MAX;
	v->resets_count--;
	return true;
}

/* The host program sends no more. */
static void end_of_data(struct vsock_conn *c)
{
	struct pollfd p = {.fd = c->fd};

	if (poll(&p, 1, 0) == 1 && p.revents & (POLLHUP | POLLERR)) {
		vsock_conn_hang_up(c);
		return;
	}
	c->host_shutdown |= VIRTIO_VSOCK_SHUTDOWN_SEND;
	vsock_conn_send(c, SEND_SHUTDOWN);
}

enum got { GOT_DATA, GOT_NOTHING, GOT_DEAD };

/* Read from the host's socket directly into the guest's buffer. */
static enum got read_data(struct vsock_conn *c, struct virtio_vsock_hdr *h)
{
	struct virtq_chain *chain = &c->v->chain;
	struct iovec iov[VIRTQ_CHAIN_MAX];
	uint64_t room = min_u64(chain->in_len - VSOCK_HEADER, VSOCK_BUFFER);
	uint64_t len = min_u64(room, vsock_credit(c));
	ssize_t n;

	c->send &= ~SEND_DATA;
	if (!vsock_credit(c)) {
		c->starved = true;
		c->send |= SEND_CREDIT_REQUEST;
		return GOT_NOTHING;
	}
	if (!len || c->guest_shutdown & VIRTIO_VSOCK_SHUTDOWN_RCV)
		return GOT_NOTHING;
	n = preadv2(c->fd, iov,
		    (int)virtq_slice(virtq_in(chain), chain->in_count,
				     VSOCK_HEADER, len, iov),
		    -1, 0);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		metric_add(&c->v->metrics.rx_read_fails, 1);
		vsock_conn_kill(c);
		return GOT_DEAD;
	}
	if (!n)
		end_of_data(c);
	if (n <= 0)
		return GOT_NOTHING;
	h->op = VIRTIO_VSOCK_OP_RW;
	h->len = (uint32_t)n;
	c->sent += (uint32_t)n;
	metric_add(&c->v->metrics.rx_bytes_count, (uint64_t)n);
	if ((uint64_t)n == len)
		c->send |= SEND_DATA; /* there may be more */
	return GOT_DATA;
}

static bool take(struct vsock_conn *c, unsigned what)
{
	bool wanted = c->send & what;

	c->send &= ~what;
	return wanted;
}

/* Fill in @h for one of the packets in c->send, data last. */
static enum got next_packet(struct vsock_conn *c, struct virtio_vsock_hdr *h)
{
	if (take(c, SEND_REQUEST)) {
		h->op = VIRTIO_VSOCK_OP_REQUEST;
		vsock_conn_set_deadline(c);
	} else if (take(c, SEND_RESPONSE)) {
		h->op = VIRTIO_VSOCK_OP_RESPONSE;
	} else if (take(c, SEND_CREDIT_REQUEST)) {
		h->op = VIRTIO_VSOCK_OP_CREDIT_REQUEST;
	} else if (take(c, SEND_SHUTDOWN)) {
		h->op = VIRTIO_VSOCK_OP_SHUTDOWN;
		h->flags = c->host_shutdown;
	} else if (take(c, SEND_CREDIT_UPDATE)) {
		h->op = VIRTIO_VSOCK_OP_CREDIT_UPDATE;
	} else if (c->send & SEND_DATA) {
		return read_data(c, h);
	} else {
		return GOT_NOTHING;
	}
	return GOT_DATA;
}

static void finish_header(struct vsock_conn *c, struct virtio_vsock_hdr *h)
{
	h->src_port = c->host_port;
	h->dst_port = c->guest_port;
	h->buf_alloc = VSOCK_BUFFER;
	h->fwd_cnt = c->forwarded;
	c->told = c->forwarded;
	c->send &= ~SEND_CREDIT_UPDATE; /* every header reports credit */
}

/*
 * Fill in @h for a packet of the first ready connection.  Returns false if it
 * turns out to have none.
 */
static bool next_of_ready(struct vsock *v, struct virtio_vsock_hdr *h)
{
	struct vsock_conn *c = v->ready;
	enum got got = next_packet(c, h);

	if (got == GOT_DEAD)
		return false;
	/* Move it to the end of the list, so that the others get their turn. */
	v->ready = c->ready_next;
	if (!v->ready)
		v->ready_end = &v->ready;
	c->is_ready = false;
	if (got == GOT_DATA)
		finish_header(c, h);
	vsock_conn_send(c, 0);
	vsock_conn_watch(c);
	return got == GOT_DATA;
}

static bool has_packets(const struct vsock *v)
{
	return v->resets_count || v->ready;
}

static void send_packet(struct vsock *v, struct virtio_vsock_hdr *h)
	REQUIRES(device_lock)
{
	virtq_write(&v->chain, 0, h, VSOCK_HEADER);
	virtq_push(&v->dev.queue[VSOCK_RX], &v->chain, VSOCK_HEADER + h->len);
	metric_add(&v->metrics.rx_packets_count, 1);
}

void vsock_rx_run(struct vsock *v)
{
	struct virtq *vq = &v->dev.queue[VSOCK_RX];

	if (v->stale || !virtio_is_live(&v->dev, VSOCK_RX))
		return;
	while (has_packets(v) && virtq_pop(vq, &v->chain)) {
		struct virtio_vsock_hdr h = {
			.src_cid = VSOCK_HOST_CID,
			.dst_cid = v->config.guest_cid,
			.type = VIRTIO_VSOCK_TYPE_STREAM,
		};

		if (v->chain.out_count || v->chain.in_len <= VSOCK_HEADER) {
			virtio_mistake(&v->dev, "offered a buffer in which no "
						"packet can be");
			metric_add(&v->metrics.rx_queue_event_fails, 1);
			virtq_push(vq, &v->chain, 0);
			continue;
		}
		while (has_packets(v)) {
			if (next_reset(v, &h) || next_of_ready(v, &h)) {
				send_packet(v, &h);
				break;
			}
		}
		if (!h.op)
			virtq_unpop(vq); /* there was no packet to send */
	}
}

/* ---------------------------------------------------------- from the guest */

static bool is_from_guest(const struct vsock *v,
			  const struct virtio_vsock_hdr *h)
{
	return h->src_cid == v->config.guest_cid &&
	       h->dst_cid == VSOCK_HOST_CID;
}

/* The guest accepted a connection of a host program. */
static void on_response(struct vsock_conn *c)
{
	char line[VSOCK_LINE_MAX];
	int len = snprintf(line, sizeof(line), "OK %u\n", c->host_port);

	if (c->state != CONN_CONNECTING ||
	    io_send(c->fd, line, (size_t)len) != len) {
		vsock_conn_kill(c);
		return;
	}
	c->state = CONN_OPEN;
	c->deadline_ns = 0;
	vsock_conn_watch(c);
}

static void on_shutdown(struct vsock_conn *c, uint32_t flags)
{
	c->guest_shutdown |= flags & VSOCK_SHUTDOWN_BOTH;
	if (c->guest_shutdown == VSOCK_SHUTDOWN_BOTH) {
		vsock_reset_ports(c->v, c->host_port, c->guest_port);
		vsock_conn_end(c);
		return;
	}
	if (c->guest_shutdown == VIRTIO_VSOCK_SHUTDOWN_RCV)
		shutdown(c->fd,
			 SHUT_RD); /* a host program that writes gets EPIPE */
	if (vsock_conn_close_if_done(c))
		vsock_conn_watch(c);
}

static void on_data(struct vsock_conn *c, uint32_t len)
{
	if (c->state != CONN_OPEN ||
	    c->guest_shutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) {
		virtio_mistake(&c->v->dev, "sent data where none may be");
		vsock_conn_kill(c);
		return;
	}
	if (len)
		vsock_conn_write(c, VSOCK_HEADER, len);
}

static void on_credit(struct vsock_conn *c, const struct virtio_vsock_hdr *h)
{
	c->guest_alloc = h->buf_alloc;
	c->guest_forwarded = h->fwd_cnt;
	if (!c->starved || !vsock_credit(c))
		return;
	c->starved = false;
	vsock_conn_send(c, SEND_DATA);
}

static void dispatch(struct vsock_conn *c, const struct virtio_vsock_hdr *h)
{
	on_credit(c, h);
	switch (h->op) {
	case VIRTIO_VSOCK_OP_RESPONSE:
		on_response(c);
		return;
	case VIRTIO_VSOCK_OP_RST:
		vsock_conn_end(c);
		return;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		on_shutdown(c, h->flags);
		return;
	case VIRTIO_VSOCK_OP_RW:
		on_data(c, h->len);
		return;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		return;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		vsock_conn_send(c, SEND_CREDIT_UPDATE);
		return;
	default:
		/* A second REQUEST, or an unknown operation. */
		virtio_mistake(&c->v->dev, "sent an impossible packet");
		vsock_conn_kill(c);
	}
}

static void handle_packet(struct vsock *v, const struct virtio_vsock_hdr *h)
{
	struct vsock_conn *c;

	metric_add(&v->metrics.tx_packets_count, 1);
	if (h->type != VIRTIO_VSOCK_TYPE_STREAM) {
		vsock_reset_ports(v, h->dst_port, h->src_port);
		return;
	}
	c = vsock_conn_find(v, h->dst_port, h->src_port);
	if (c)
		dispatch(c, h);
	else if (h->op == VIRTIO_VSOCK_OP_REQUEST)
		vsock_connect(v, h->dst_port, h->src_port, h);
	else if (h->op != VIRTIO_VSOCK_OP_RST)
		vsock_reset_ports(v, h->dst_port, h->src_port);
}

void vsock_tx_run(struct vsock *v)
{
	struct virtq *vq = &v->dev.queue[VSOCK_TX];

	while (virtq_pop(vq, &v->chain)) {
		struct virtio_vsock_hdr h;

		if (v->chain.in_count ||
		    !virtq_read(&v->chain, 0, &h, VSOCK_HEADER) ||
		    h.len > v->chain.out_len - VSOCK_HEADER ||
		    !is_from_guest(v, &h)) {
			virtio_mistake(&v->dev, "sent an impossible packet");
			metric_add(&v->metrics.tx_queue_event_fails, 1);
		} else {
			handle_packet(v, &h);
		}
		virtq_push(vq, &v->chain, 0);
	}
}
