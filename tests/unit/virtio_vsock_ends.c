/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/virtio_vsock_ends.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/testing.h"

struct driver d;
char folder[] = "/tmp/vsock-XXXXXX";
char uds[64];
struct vsock_config config = {CID, uds, NULL};
uint8_t data[BULK], back[BULK];
uint32_t guest_forwarded, guest_alloc;

static gpa_t rx_at[SIZE]; /* the buffer of each descriptor */

int begin(void **state)
{
	(void)state;
	strcpy(folder + sizeof(folder) - 7, "XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(uds, sizeof(uds), "%s/v.sock", folder);
	driver_begin(&d);
	config.guest_cid = CID;
	guest_forwarded = 0;
	guest_alloc = 1 << 20;
	for (unsigned i = 0; i < BULK; i++)
		data[i] = (uint8_t)(i * 13 + i / 257);
	return 0;
}

int end(void **state)
{
	(void)state;
	driver_end(&d);
	assert_int_not_equal(access(uds, F_OK), 0);
	assert_int_equal(rmdir(folder), 0);
	return 0;
}

/* ------------------------------------------------------------- the guest */

void offer(unsigned len)
{
	struct driver_buffer b = {driver_alloc(&d, len), len, true};

	rx_at[driver_add(&d, VSOCK_RX, &b, 1)] = b.gpa;
}

void offer_all(void)
{
	for (unsigned i = 0; i < SIZE; i++)
		offer(BUFFER);
	driver_kick(&d, VSOCK_RX);
	driver_run(&d);
}

void create(void)
{
	struct virtio_slot slot = driver_slot(&d);
	struct err e;

	d.dev = vsock_create(&slot, &config, &e);
	if (!d.dev)
		fail_msg("%s", e.text);
}

void start(void)
{
	create();
	driver_start(&d, d.dev->offered, SIZE);
	offer_all();
}

/* The next packet for the guest, whose data goes to back[].  If there is one;
 * its buffer is offered again. */
bool packet(struct virtio_vsock_hdr *h)
{
	uint32_t head, len;
	struct driver_buffer b;

	if (!driver_used(&d, VSOCK_RX, &head, &len))
		return false;
	assert_true(len >= HEADER);
	memcpy(h, driver_at(&d, rx_at[head]), HEADER);
	assert_int_equal(len, HEADER + h->len);
	memcpy(back, driver_at(&d, rx_at[head] + HEADER), h->len);
	assert_int_equal(h->src_cid, 2);
	assert_int_equal(h->dst_cid, CID);
	assert_int_equal(h->type, VIRTIO_VSOCK_TYPE_STREAM);
	b = (struct driver_buffer){rx_at[head], BUFFER, true};
	rx_at[driver_add(&d, VSOCK_RX, &b, 1)] = b.gpa;
	driver_kick(&d, VSOCK_RX);
	return true;
}

struct virtio_vsock_hdr expect(uint16_t op, uint32_t host, uint32_t guest)
{
	struct virtio_vsock_hdr h = {0};

	driver_run(&d);
	if (!packet(&h))
		fail_msg("there is no packet where %u should be", op);
	assert_int_equal(h.op, op);
	assert_int_equal(h.src_port, host);
	assert_int_equal(h.dst_port, guest);
	return h;
}

void expect_nothing(void)
{
	struct virtio_vsock_hdr h;

	driver_run(&d);
	if (packet(&h))
		fail_msg("there is a packet: %u", h.op);
}

struct virtio_vsock_hdr header_of(uint16_t op, uint32_t host, uint32_t guest)
{
	return (struct virtio_vsock_hdr){
		.src_cid = CID,
		.dst_cid = 2,
		.src_port = guest,
		.dst_port = host,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.buf_alloc = guest_alloc,
		.fwd_cnt = guest_forwarded,
	};
}

void send_header(const struct virtio_vsock_hdr *h, const void *bytes,
		 uint32_t len)
{
	static gpa_t at;
	struct driver_buffer two[2];

	if (d.free == DRIVER_DATA || !at || d.free < at)
		at = driver_alloc(&d, HEADER + VSOCK_BUFFER + 64);
	two[0] = (struct driver_buffer){at, HEADER, false};
	two[1] = (struct driver_buffer){at + 64, len, false};
	memcpy(driver_at(&d, at), h, HEADER);
	if (len)
		memcpy(driver_at(&d, at + 64), bytes, len);
	driver_add(&d, VSOCK_TX, two, len ? 2 : 1);
	driver_kick(&d, VSOCK_TX);
	driver_run(&d);
	assert_true(driver_used(&d, VSOCK_TX, NULL, NULL));
}

void guest(uint16_t op, uint32_t host, uint32_t guest_port)
{
	struct virtio_vsock_hdr h = header_of(op, host, guest_port);

	send_header(&h, NULL, 0);
}

void guest_shutdown(uint32_t host, uint32_t guest_port, uint32_t flags)
{
	struct virtio_vsock_hdr h =
		header_of(VIRTIO_VSOCK_OP_SHUTDOWN, host, guest_port);

	h.flags = flags;
	send_header(&h, NULL, 0);
}

void guest_data(uint32_t host, uint32_t guest_port, const void *bytes,
		uint32_t len)
{
	struct virtio_vsock_hdr h =
		header_of(VIRTIO_VSOCK_OP_RW, host, guest_port);

	h.len = len;
	send_header(&h, bytes, len);
}

/* -------------------------------------------------------------- the host */

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	return a;
}

int host_connects(void)
{
	struct sockaddr_un a = address(uds);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0)
		fail_msg("no socket");
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

void host_says(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
	driver_run(&d);
}

void assert_host_reads(int fd, const char *text)
{
	char got[64] = "";
	ssize_t n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);

	assert_int_equal(n, strlen(text));
	assert_string_equal(got, text);
}

bool is_closed(int fd)
{
	char byte;

	driver_run(&d);
	return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

int host_listens(uint32_t port, char *path, size_t size)
{
	struct sockaddr_un a;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(path, size, "%s_%u", uds, port);
	a = address(path);
	if (fd < 0)
		fail_msg("no socket");
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 100), 0);
	return fd;
}

/* A stream from the host to port 52, @n-th of its kind. */
int open_stream(unsigned n)
{
	char line[32];
	int fd = host_connects();

	host_says(fd, "CONNECT 52\n");
	expect(VIRTIO_VSOCK_OP_REQUEST, FIRST + n, 52);
	guest(VIRTIO_VSOCK_OP_RESPONSE, FIRST + n, 52);
	snprintf(line, sizeof(line), "OK %u\n", FIRST + n);
	assert_host_reads(fd, line);
	return fd;
}

const struct vsock_metrics *metrics(void)
{
	return vsock_metrics(d.dev);
}
