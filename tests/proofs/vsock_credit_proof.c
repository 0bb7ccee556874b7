/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream's credit is the guest's free space: never negative, and never more
 * than the guest's buffer, whatever its headers say.  What the guest sends
 * beyond its own credit ends the stream; what the host program does not take at
 * once is kept, within the stream's buffer, and all of it is counted.
 *
 * Bounds: none for the numbers; no other stream; virtq_slice() and virtq_read()
 * as virtq_slice_proof.c and virtq_bytes_proof.c have them.
 */
#include <sys/socket.h>

#include "devices/virtio/vsock/vsock_conn.c" /* nogncheck */
#include "tests/proofs/host.h"

/* Addresses of the buffer's bytes; nothing is stored there. */
#define BUFFER 0x10000000000ull

static struct vsock v;
static struct vsock_conn c;
static uint64_t sliced; /* bytes of the last slice */
static uint32_t kept;
static bool killed;

unsigned virtq_slice(const struct iovec *iov, unsigned count, uint64_t offset,
		     uint64_t len, struct iovec *out)
{
	(void)iov;
	(void)count;
	(void)offset;
	(void)out;
	sliced = len;
	return 1;
}

/* Sends as much as it is given, or less. */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t n = nondet_bool() ? -1 : (ssize_t)nondet_u32();

	(void)fd;
	(void)message;
	(void)flags;
	errno = nondet_u8();
	assume(n <= (ssize_t)sliced);
	return n;
}

bool virtq_read(const struct virtq_chain *chain, uint64_t offset, void *buf,
		uint64_t len)
{
	uint64_t at = (uint64_t)buf - BUFFER;

	prove(at <= VSOCK_BUFFER && len <= VSOCK_BUFFER - at,
	      "what is kept stays inside the buffer");
	kept += (uint32_t)len;
	return offset <= chain->out_len && len <= chain->out_len - offset;
}

void vsock_reset_ports(struct vsock *vsock, uint32_t host, uint32_t guest)
{
	(void)vsock;
	(void)host;
	(void)guest;
	killed = true;
}

void loop_remove(struct event_loop *loop, struct event_source *source)
{
	(void)loop;
	(void)source;
}

int loop_modify(struct event_loop *loop, struct event_source *source,
		uint32_t events)
{
	(void)loop;
	(void)source;
	(void)events;
	return 0;
}

void free(void *p)
{
	(void)p;
}

static void any_stream(void)
{
	c = (struct vsock_conn){
		.v = &v,
		.prev = &v.all,
		.fd = 3,
		.state = CONN_OPEN,
		.guest_alloc = nondet_u32(),
		.guest_forwarded = nondet_u32(),
		.sent = nondet_u32(),
		.forwarded = nondet_u32(),
		.told = nondet_u32(),
		.buffer = (uint8_t *)BUFFER,
		.buffer_at = nondet_u32(),
		.buffer_len = nondet_u32(),
	};
	v.all = &c;
	v.conn_count = 1;
	v.ready_end = &v.ready;
	assume(c.buffer_at < VSOCK_BUFFER && c.buffer_len <= VSOCK_BUFFER);
}

static void check_credit(void)
{
	uint32_t credit = vsock_credit(&c), on_the_way;

	prove(credit <= c.guest_alloc, "credit is at most the guest's buffer");
	if (!credit)
		return;
	c.sent += credit;
	on_the_way = c.sent - c.guest_forwarded;
	prove(on_the_way == c.guest_alloc, "credit fills the guest's buffer");
	prove(!vsock_credit(&c), "what was used up is not given again");
}

static void check_write(void)
{
	uint32_t len = nondet_u32(), before = c.buffer_len;
	uint32_t forwarded = c.forwarded;

	v.chain.out_len = nondet_u64();
	assume(len && v.chain.out_len <= UINT32_MAX);
	assume(v.chain.out_len >= (uint64_t)VSOCK_HEADER + len);
	if (!vsock_conn_write(&c, VSOCK_HEADER, len)) {
		prove(killed, "a stream that fails is reset");
		return;
	}
	prove(len <= VSOCK_BUFFER - before, "nothing is beyond the credit");
	prove(c.buffer_len <= VSOCK_BUFFER, "the buffer is not overfull");
	prove(c.buffer_len == before + kept, "what is kept is counted");
	prove(c.forwarded - forwarded + kept == len, "no byte is lost");
}

int main(void)
{
	any_stream();
	if (nondet_bool())
		check_credit();
	else
		check_write();
	return 0;
}
