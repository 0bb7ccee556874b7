/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that sends any frames to the metadata service: raw ones, and segments
 * that nearly fit into connections, with requests in them.  What comes back is
 * bounded, well-formed, and ends.
 */
#include <string.h>

#include "core/base/err.h"
#include "core/base/metrics.h"
#include "core/base/util.h"
#include "core/json/json.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/config/config.h"
#include "vmm/mmds/mmds.h"

enum { ADDRESS = (int)0xa9fea9fe, PORTS = 32, FRAMES_MAX = 4096 };
enum { ETH = 14, IP = 20, TCP = 20, HEADERS = ETH + IP + TCP };

struct op {
	uint8_t kind, port, flags, seq, ack, len;
	uint8_t window[2];
};

static struct mmds_config config;
static struct mmds m;
static struct responder *r;
static uint64_t now;
/* What the guest's kernel would send next, by port. */
static uint32_t seq[PORTS], ack[PORTS];
static uint8_t frame[RESPONDER_OUT_MAX];

static const char document[] =
	"{\"latest\":{\"meta-data\":{\"id\":\"i-1\",\"list\":[1,2]}}}";
static const char put_token[] = "PUT /latest/api/token HTTP/1.1\r\n"
				"X-metadata-token-ttl-seconds: 60\r\n\r\n";
static const char *const request[] = {
	"GET /latest/meta-data/id HTTP/1.1\r\n\r\n",
	put_token,
	"GET / HTTP/1.1\r\nAccept: application/json\r\n",
	"Connection: close\r\n\r\n",
};

static void put16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static void put32(uint8_t *at, uint32_t v)
{
	put16(at, v >> 16);
	put16(at + 2, v);
}

static uint32_t get16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static uint32_t get32(const uint8_t *at)
{
	return get16(at) << 16 | get16(at + 2);
}

static uint32_t sum(const uint8_t *at, size_t len)
{
	uint32_t total = 0;

	for (size_t i = 0; i < len; i++)
		total += i % 2 ? at[i] : (uint32_t)at[i] << 8;
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return total;
}

/* Learn from a segment what its connection expects. */
static void look(size_t len)
{
	const uint8_t *ip = frame + ETH, *tcp = ip + IP;
	size_t head;
	uint32_t port;

	must(len >= HEADERS && get16(ip + 2) == len - ETH);
	must(sum(ip, IP) == 0xffff);
	must(sum(tcp, len - ETH - IP) != 0);
	head = tcp[12] >> 4 << 2;
	must(head >= TCP && head <= len - ETH - IP);
	port = get16(tcp + 2);
	if (port >= PORTS)
		return;
	ack[port] = get32(tcp + 4) + (uint32_t)(len - ETH - IP - head) +
		    (tcp[13] & 1) + (tcp[13] >> 1 & 1);
	if (tcp[13] & 0x10)
		seq[port] = get32(tcp + 8);
}

static void drain(unsigned most)
{
	size_t len;

	for (unsigned i = 0; i < most; i++) {
		len = responder_next(r, frame, now);
		if (!len)
			return;
		must(len <= sizeof(frame));
		if (get16(frame + 12) == 0x0800)
			look(len);
	}
	must(most < FRAMES_MAX); /* else it would never end */
}

static void take(const uint8_t *bytes, size_t len)
{
	size_t head = min_u64(len, RESPONDER_HEAD);

	if (len >= ETH && responder_wants(r, bytes, head))
		responder_take(r, bytes, len, now);
}

static void send_segment(const struct op *op, const uint8_t *data, size_t len)
{
	uint8_t out[HEADERS + 512] = {0}, *ip = out + ETH, *tcp = ip + IP;
	uint32_t port = op->port % PORTS;

	if (op->len >= 252) {
		data = (const uint8_t *)request[op->len - 252];
		len = strlen(request[op->len - 252]);
	}
	put16(out + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, (uint32_t)(IP + TCP + len));
	ip[9] = 6;
	put32(ip + 12, 0x0a000002);
	put32(ip + 16, (uint32_t)ADDRESS);
	put16(tcp, port);
	put16(tcp + 2, op->kind & 0x40 ? 81 : 80);
	put32(tcp + 4, seq[port] + (uint32_t)(int8_t)op->seq);
	put32(tcp + 8, ack[port] + (uint32_t)(int8_t)op->ack);
	tcp[12] = 0x50;
	tcp[13] = op->flags;
	memcpy(tcp + 14, op->window, 2);
	memcpy(tcp + TCP, data, len);
	take(out, HEADERS + len);
}

/* Returns how many of the @size bytes it used. */
static size_t run(const uint8_t *data, size_t size)
{
	struct op op;
	size_t len;

	memcpy(&op, data, sizeof(op));
	data += sizeof(op);
	len = min_u64(op.len < 252 ? op.len : 0, size - sizeof(op));
	switch (op.kind % 4) {
	case 0:
		take(data, len);
		break;
	case 1:
	case 2:
		send_segment(&op, data, len);
		break;
	default:
		now += (uint64_t)op.seq << 28;
		responder_tick(r, now);
		break;
	}
	drain(op.kind & 0x80 ? op.port % 4 : FRAMES_MAX);
	return sizeof(op) + len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct responder_metrics *counters;
	uint64_t before;
	struct err e;
	struct json_t *json = json_parse(document, sizeof(document) - 1, &e);

	config = (struct mmds_config){.given = true, .v2 = size & 1};
	mmds_init(&m, &config);
	must(!mmds_put(&m, json, &e));
	json_free(json);
	r = responder_create((uint32_t)ADDRESS, &m.server);
	must(r);
	counters = m.server.metrics;
	before =
		counters->connections_created - counters->connections_destroyed;
	now = 1;
	memset(seq, 0, sizeof(seq));
	while (size >= sizeof(struct op)) {
		size_t used = run(data, size);

		data += used;
		size -= used;
		must(counters->connections_created -
			     counters->connections_destroyed - before <=
		     RESPONDER_CONNECTIONS);
	}
	drain(FRAMES_MAX);
	responder_destroy(r);
	mmds_fini(&m);
	return 0;
}
