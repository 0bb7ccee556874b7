/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: ARP, and the headers around TCP's segments. */
#include "devices/mmds/responder.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/base/metrics.h"
#include "core/base/util.h"
#include "devices/mmds/responder_internal.h"

enum {
	ETH_LEN = 14,
	ETH_TYPE_IPV4 = 0x0800,
	ETH_TYPE_ARP = 0x0806,
	ARP_LEN = 28,
	IP_LEN = 20,
	IP_DEST = ETH_LEN + 16,
	IP_TCP = 6,
	TCP_LEN = 20,
	TCP_MSS_OPTION = 4,
	/* Of our own segments, for a link with an MTU of 1500. */
	MSS = RESPONDER_OUT_MAX - ETH_LEN - IP_LEN - TCP_LEN,
};

/* Firecracker's. */
static const uint8_t our_mac[MAC_LEN] = {0x06, 0x01, 0x23, 0x45, 0x67, 0x01};

struct responder *responder_create(uint32_t address,
				   const struct responder_server *server)
{
	struct responder *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->address = address;
	r->server = server;
	if (getrandom(&r->next_isn, sizeof(r->next_isn), 0) ==
	    sizeof(r->next_isn))
		return r;
	free(r);
	return NULL;
}

void responder_destroy(struct responder *r)
{
	for (unsigned i = 0; r && i < RESPONDER_CONNECTIONS; i++)
		buf_free(&r->connection[i].reply);
	free(r);
}

/* --------------------------------------------------------------- big-endian */

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

/* Add @len bytes to a checksum (RFC 1071); only the last part may be odd. */
static uint32_t sum(uint32_t so_far, const uint8_t *at, size_t len)
{
	for (; len > 1; at += 2, len -= 2)
		so_far += get16(at);
	return len ? so_far + ((uint32_t)at[0] << 8) : so_far;
}

static uint16_t fold(uint32_t total)
{
	total = (total & 0xffff) + (total >> 16);
	total += total >> 16;
	return (uint16_t)~total;
}

/* ----------------------------------------------------------- from the guest */

bool responder_wants(const struct responder *r, const uint8_t *head, size_t len)
{
	size_t at = ETH_LEN + 24; /* where ARP says whose address it wants */

	if (len < ETH_LEN)
		return false;
	if (get16(head + 12) == ETH_TYPE_IPV4)
		at = IP_DEST;
	else if (get16(head + 12) != ETH_TYPE_ARP)
		return false;
	return len >= at + 4 && get32(head + at) == r->address;
}

static void take_arp(struct responder *r, const uint8_t *arp)
{
	/* Ethernet, IPv4, their lengths, a request. */
	static const uint8_t request[] = {0, 1, 8, 0, MAC_LEN, 4, 0, 1};

	if (memcmp(arp, request, sizeof(request)) != 0) {
		metric_add(&r->server->metrics->rx_bad_eth, 1);
		return;
	}
	memcpy(r->arp.mac, arp + 8, MAC_LEN);
	r->arp.address = get32(arp + 14);
	r->arp_due = true;
}

/* The segment size in TCP's options, or 0. */
static uint16_t read_mss(const uint8_t *option, size_t len)
{
	enum { END, NOP, MAXIMUM_SEGMENT_SIZE };

	while (len > 1 && option[0] != END) {
		size_t step = option[0] == NOP ? 1 : option[1];

		if (!step || step > len)
			break;
		if (option[0] == MAXIMUM_SEGMENT_SIZE && step == TCP_MSS_OPTION)
			return get16(option + 2);
		option += step;
		len -= step;
	}
	return 0;
}

static bool read_tcp(struct segment *s, const uint8_t *tcp, size_t len)
{
	size_t head = len < TCP_LEN ? 0 : tcp[12] >> 4 << 2;

	if (head < TCP_LEN || head > len)
		return false;
	s->peer.port = get16(tcp);
	s->peer.local_port = get16(tcp + 2);
	s->seq = get32(tcp + 4);
	s->ack = get32(tcp + 8);
	s->flags = tcp[13];
	s->window = get16(tcp + 14);
	s->mss = read_mss(tcp + TCP_LEN, head - TCP_LEN);
	s->data = tcp + head;
	s->len = len - head;
	return true;
}

static void take_ipv4(struct responder *r, const uint8_t *frame, size_t len,
		      uint64_t now)
{
	const uint8_t *ip = frame + ETH_LEN;
	size_t head = (ip[0] & 0xf) << 2, total = get16(ip + 2);
	struct segment s = {0};

	/* Bytes after the packet are padding.  Fragments are not taken. */
	if (ip[0] >> 4 != 4 || head < IP_LEN || total < head ||
	    total > len - ETH_LEN || get16(ip + 6) & 0x3fff) {
		metric_add(&r->server->metrics->rx_accepted_err, 1);
		return;
	}
	if (ip[9] != IP_TCP) {
		metric_add(&r->server->metrics->rx_accepted_unusual, 1);
		return;
	}
	if (!read_tcp(&s, ip + head, total - head)) {
		metric_add(&r->server->metrics->rx_accepted_err, 1);
		return;
	}
	memcpy(s.peer.mac, frame + MAC_LEN, MAC_LEN);
	s.peer.address = get32(ip + 12);
	metric_add(&r->server->metrics->rx_count, 1);
	responder_segment(r, &s, now);
}

/* Not inlined, nor is responder_next(): both are large, and their callers have
 * to be fast for other frames. */
__attribute__((noinline)) void responder_take(struct responder *r,
					      const uint8_t *frame, size_t len,
					      uint64_t now)
{
	metric_add(&r->server->metrics->rx_accepted, 1);
	if (len < ETH_LEN + IP_LEN || len > RESPONDER_IN_MAX)
		metric_add(&r->server->metrics->rx_accepted_err, 1);
	else if (get16(frame + 12) == ETH_TYPE_IPV4)
		take_ipv4(r, frame, len, now);
	else if (len >= ETH_LEN + ARP_LEN)
		take_arp(r, frame + ETH_LEN);
}

/* ------------------------------------------------------------- to the guest */

static void put_eth(uint8_t *frame, const struct peer *to, uint16_t type)
{
	memcpy(frame, to->mac, MAC_LEN);
	memcpy(frame + MAC_LEN, our_mac, MAC_LEN);
	put16(frame + 12, type);
}

static size_t put_arp(const struct responder *r, uint8_t *frame)
{
	static const uint8_t reply[] = {0, 1, 8, 0, MAC_LEN, 4, 0, 2};
	uint8_t *arp = frame + ETH_LEN;

	put_eth(frame, &r->arp, ETH_TYPE_ARP);
	memcpy(arp, reply, sizeof(reply));
	memcpy(arp + 8, our_mac, MAC_LEN);
	put32(arp + 14, r->address);
	memcpy(arp + 18, r->arp.mac, MAC_LEN);
	put32(arp + 24, r->arp.address);
	return ETH_LEN + ARP_LEN;
}

static void put_ip(const struct responder *r, uint8_t *ip,
		   const struct peer *to, size_t len)
{
	static const uint8_t head[IP_LEN] = {
		0x45, [6] = 0x40 /* not to be fragmented */, [8] = 64, IP_TCP};

	memcpy(ip, head, IP_LEN);
	put16(ip + 2, (uint32_t)(IP_LEN + len));
	put32(ip + 12, r->address);
	put32(ip + 16, to->address);
	put16(ip + 10, fold(sum(0, ip, IP_LEN)));
}

static size_t put_segment(const struct responder *r, uint8_t *frame,
			  const struct segment *s)
{
	uint8_t *ip = frame + ETH_LEN, *tcp = ip + IP_LEN;
	size_t head = TCP_LEN + (s->flags & TCP_SYN ? TCP_MSS_OPTION : 0);
	size_t len = head + s->len;

	put_eth(frame, &s->peer, ETH_TYPE_IPV4);
	put_ip(r, ip, &s->peer, len);
	put16(tcp, s->peer.local_port);
	put16(tcp + 2, s->peer.port);
	put32(tcp + 4, s->seq);
	put32(tcp + 8, s->ack);
	put16(tcp + 12, (uint32_t)head << 10 | s->flags);
	put16(tcp + 14, s->window);
	put32(tcp + 16, 0); /* checksum, urgent pointer */
	if (s->flags & TCP_SYN)
		put32(tcp + TCP_LEN, 0x02040000 | MSS);
	if (s->len)
		memcpy(tcp + head, s->data, s->len);
	/* With the addresses, the protocol and the length. */
	put16(tcp + 16,
	      fold(sum(sum(IP_TCP + (uint32_t)len, ip + 12, 8), tcp, len)));
	return ETH_LEN + IP_LEN + len;
}

__attribute__((noinline)) size_t responder_next(struct responder *r,
						uint8_t *frame, uint64_t now)
{
	struct segment s;
	size_t len = 0;

	if (r->arp_due)
		len = put_arp(r, frame);
	else if (responder_next_segment(r, &s, now))
		len = put_segment(r, frame, &s);
	else
		return 0;
	r->arp_due = false;
	metric_add(&r->server->metrics->tx_count, 1);
	metric_add(&r->server->metrics->tx_frames, 1);
	metric_add(&r->server->metrics->tx_bytes, len);
	return len;
}
