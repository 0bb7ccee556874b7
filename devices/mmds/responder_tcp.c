/* SPDX-License-Identifier: Apache-2.0 */
/* The connections (RFC 9293).  Sequence numbers wrap: compare differences. */
#include <string.h>

#include "core/base/metrics.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "devices/mmds/responder_internal.h"

enum {
	MSS_DEFAULT = 536, /* of a peer that says nothing */
	MSS_MIN = 64,      /* bounds the number of segments of a reply */
	MSS_MAX = 1460,
	/* Waits of 0.2, 0.4 ... 51.2 s, then the connection is reset. */
	RETRIES_MAX = 8,
	ISN_STEP = 64009,
};

#define RETRY_NS (NS_PER_S / 5)

/* -------------------------------------------------------------- connections */

static void forget(struct responder *r, struct connection *c)
{
	buf_free(&c->reply);
	c->used = false;
	metric_add(&r->server->metrics->connections_destroyed, 1);
}

/* Send a RST; if too many wait, the guest finds out by itself. */
static void add_reset(struct responder *r, const struct peer *peer,
		      uint32_t seq, uint32_t ack, uint8_t flags)
{
	if (r->reset_count == RESETS_MAX)
		return;
	r->reset[r->reset_count++] = (struct segment){
		.peer = *peer, .seq = seq, .ack = ack, .flags = flags};
}

static void reset(struct responder *r, struct connection *c)
{
	add_reset(r, &c->peer, c->una + c->sent, c->next_in, TCP_RST | TCP_ACK);
	forget(r, c);
}

/* To a segment that belongs to no connection (section 3.10.7.1). */
static void refuse(struct responder *r, const struct segment *s)
{
	uint32_t len = (uint32_t)s->len + !!(s->flags & TCP_SYN) +
		       !!(s->flags & TCP_FIN);

	if (s->flags & TCP_ACK)
		add_reset(r, &s->peer, s->ack, 0, TCP_RST);
	else
		add_reset(r, &s->peer, 0, s->seq + len, TCP_RST | TCP_ACK);
}

static struct connection *find(struct responder *r, const struct peer *peer)
{
	for (unsigned i = 0; i < RESPONDER_CONNECTIONS; i++) {
		struct connection *c = &r->connection[i];

		if (c->used && c->peer.port == peer->port &&
		    c->peer.address == peer->address)
			return c;
	}
	return NULL;
}

/* A free place, or that of the connection that was silent for longest. */
static struct connection *find_place(struct responder *r)
{
	struct connection *oldest = &r->connection[0];

	for (unsigned i = 0; i < RESPONDER_CONNECTIONS; i++) {
		struct connection *c = &r->connection[i];

		if (!c->used)
			return c;
		if (c->last_heard < oldest->last_heard)
			oldest = c;
	}
	reset(r, oldest);
	return oldest;
}

static void open(struct responder *r, const struct segment *s, uint64_t now)
{
	struct connection *c = find_place(r);
	uint16_t mss = s->mss ? s->mss : MSS_DEFAULT;

	*c = (struct connection){
		.used = true,
		.peer = s->peer,
		.last_heard = now,
		.mss = (uint16_t)min_u64(max_u64(mss, MSS_MIN), MSS_MAX),
		.next_in = s->seq + 1,
		.una = r->next_isn,
		.window = s->window,
		.syn = true,
	};
	r->next_isn += ISN_STEP;
	metric_add(&r->server->metrics->connections_created, 1);
}

/* ---------------------------------------------------------------- receiving */

static size_t reply_left(const struct connection *c)
{
	return c->reply.len - c->acked;
}

/* The guest has received @n of what was sent. */
static void acknowledge(struct connection *c, uint32_t n, uint64_t now)
{
	size_t data;

	c->una += n;
	c->highest -= n;
	c->sent -= (uint32_t)min_u64(c->sent, n);
	c->retries = 0;
	c->probe = false;
	c->deadline = c->highest ? now + RETRY_NS : 0;
	if (c->syn) {
		c->syn = false;
		n--;
	}
	data = min_u64(n, reply_left(c));
	c->acked += data;
	c->fin_acked |= n > data;
	if (!reply_left(c)) {
		buf_free(&c->reply);
		c->acked = 0;
	}
}

/* False if the segment is to be dropped. */
static bool take_ack(struct connection *c, const struct segment *s,
		     uint64_t now)
{
	uint32_t n = s->ack - c->una;

	if (!(s->flags & TCP_ACK))
		return false;
	if (n > c->highest) {
		/* Older than the latest is fine; what was not sent is not. */
		if (c->una - s->ack <= UINT16_MAX)
			return true;
		c->ack_due = true;
		return false;
	}
	c->window = s->window;
	if (n)
		acknowledge(c, n, now);
	return true;
}

/* Keep what is new and has room; what has none is sent again by the guest. */
static void take_data(struct connection *c, const struct segment *s)
{
	uint32_t old = c->next_in - s->seq;
	size_t fresh, room = sizeof(c->request) - c->request_len;
	bool has_fin = s->flags & TCP_FIN;

	if (!s->len && !has_fin && !old)
		return;
	c->ack_due = true; /* also to a keep-alive, which is old */
	if (c->fin_in || old > s->len)
		return; /* from the future, or all of it is old */
	fresh = s->len - old;
	if (c->closing)
		room = fresh; /* it is not looked at any more */
	else
		memcpy(c->request + c->request_len, s->data + old,
		       min_u64(fresh, room));
	c->next_in += (uint32_t)min_u64(fresh, room);
	if (!c->closing)
		c->request_len += min_u64(fresh, room);
	if (has_fin && fresh <= room) {
		c->next_in++;
		c->fin_in = true;
	}
}

/* Answer the next request, if the reply to the last one has arrived. */
static void serve(struct responder *r, struct connection *c)
{
	const struct responder_server *server = r->server;
	bool is_all = c->request_len == sizeof(c->request);
	size_t used = 0;

	if (c->syn || c->closing || c->reply.len)
		return;
	if (c->request_len)
		used = server->answer(server->context, c->request,
				      c->request_len, is_all, &c->reply,
				      &c->closing);
	if (c->reply.failed) {
		metric_add(&server->metrics->tx_errors, 1);
		reset(r, c);
		return;
	}
	c->request_len -= used;
	memmove(c->request, c->request + used, c->request_len);
	if (!used && c->fin_in)
		c->closing = true;
	/* The window has opened again. */
	if (is_all && used)
		c->ack_due = true;
}

static bool is_over(const struct connection *c)
{
	return c->fin_in && c->fin_acked && !c->ack_due;
}

static void take_segment(struct responder *r, struct connection *c,
			 const struct segment *s, uint64_t now)
{
	c->last_heard = now;
	if (s->flags & TCP_RST) {
		/* Only the expected number counts (RFC 5961). */
		if (s->seq == c->next_in)
			forget(r, c);
		return;
	}
	if (s->flags & TCP_SYN) {
		if (c->syn)
			c->sent = 0; /* ours was lost */
		else
			c->ack_due = true;
		return;
	}
	if (!take_ack(c, s, now) || c->syn)
		return;
	memcpy(c->peer.mac, s->peer.mac, sizeof(c->peer.mac));
	take_data(c, s);
	serve(r, c);
	if (c->used && is_over(c))
		forget(r, c);
}

void responder_segment(struct responder *r, const struct segment *s,
		       uint64_t now)
{
	struct connection *c = NULL;

	if (s->peer.local_port == HTTP_PORT)
		c = find(r, &s->peer);
	if (c)
		take_segment(r, c, s, now);
	else if (s->flags & TCP_RST)
		return;
	else if (s->peer.local_port == HTTP_PORT && s->flags & TCP_SYN &&
		 !(s->flags & TCP_ACK))
		open(r, s, now);
	else
		refuse(r, s);
}

/* ------------------------------------------------------------------ sending */

/* Bytes of the reply that may be sent now. */
static size_t may_send(const struct connection *c)
{
	uint64_t window = c->probe && !c->window ? 1 : c->window;
	uint64_t end = min_u64(reply_left(c), window);

	return end > c->sent ? min_u64(end - c->sent, c->mss) : 0;
}

/* Wait for an acknowledgement, or for the window to open. */
static void wait_for_guest(struct connection *c, uint64_t now)
{
	if (!c->deadline)
		c->deadline = now + (RETRY_NS << c->retries);
}

/* Fill @s with what follows what was sent; false if there is nothing. */
static bool advance(struct connection *c, struct segment *s, uint64_t now)
{
	uint32_t step;

	if (c->syn) {
		if (c->sent)
			return false;
		s->flags |= TCP_SYN;
		step = 1;
	} else {
		s->len = may_send(c);
		step = (uint32_t)s->len;
		if (step) {
			s->flags |= TCP_PSH;
			s->data = (const uint8_t *)c->reply.data + c->acked +
				  c->sent;
		}
		if (c->closing && !c->fin_acked &&
		    c->sent + step == reply_left(c)) {
			s->flags |= TCP_FIN;
			step++;
		}
		if (reply_left(c))
			wait_for_guest(c, now);
	}
	if (!step)
		return false;
	wait_for_guest(c, now);
	c->sent += step;
	c->highest = (uint32_t)max_u64(c->highest, c->sent);
	return true;
}

static bool next_of(struct connection *c, struct segment *s, uint64_t now)
{
	size_t room = c->closing ? sizeof(c->request)
				 : sizeof(c->request) - c->request_len;

	*s = (struct segment){
		.peer = c->peer,
		.seq = c->una + c->sent,
		.ack = c->next_in,
		.window = (uint16_t)room,
		.flags = TCP_ACK,
	};
	if (!advance(c, s, now) && !c->ack_due)
		return false;
	c->ack_due = false;
	return true;
}

bool responder_next_segment(struct responder *r, struct segment *s,
			    uint64_t now)
{
	if (r->reset_count) {
		*s = r->reset[--r->reset_count];
		return true;
	}
	for (unsigned i = 0; i < RESPONDER_CONNECTIONS; i++) {
		struct connection *c = &r->connection[r->turn];

		r->turn = (r->turn + 1) % RESPONDER_CONNECTIONS;
		if (!c->used || !next_of(c, s, now))
			continue;
		if (is_over(c))
			forget(r, c);
		return true;
	}
	return false;
}

/* -------------------------------------------------------------------- time */

uint64_t responder_deadline(const struct responder *r)
{
	uint64_t first = 0;

	for (unsigned i = 0; i < RESPONDER_CONNECTIONS; i++) {
		const struct connection *c = &r->connection[i];

		if (c->used && c->deadline && (!first || c->deadline < first))
			first = c->deadline;
	}
	return first;
}

void responder_tick(struct responder *r, uint64_t now)
{
	for (unsigned i = 0; i < RESPONDER_CONNECTIONS; i++) {
		struct connection *c = &r->connection[i];

		if (!c->used || !c->deadline || c->deadline > now)
			continue;
		if (c->retries == RETRIES_MAX) {
			metric_add(&r->server->metrics->tx_errors, 1);
			reset(r, c);
			continue;
		}
		c->retries++;
		c->sent = 0;
		c->probe = true;
		c->deadline = now + (RETRY_NS << c->retries);
	}
}
