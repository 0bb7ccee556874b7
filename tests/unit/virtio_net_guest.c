/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/virtio_net_guest.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/testing.h"

struct driver d;
struct net_config config;
int host;
uint8_t frame[BIG], back[BIG];

int begin(void **state)
{
	(void)state;
	driver_begin(&d);
	config = (struct net_config){.id = (char *)"eth0"};
	for (unsigned i = 0; i < BIG; i++)
		frame[i] = (uint8_t)(i * 7 + i / 251);
	memset(frame, 0, NET_HEADER);
	return 0;
}

int end(void **state)
{
	(void)state;
	driver_end(&d);
	close(host);
	host = -1;
	return 0;
}

void create(void)
{
	struct virtio_slot slot = driver_slot(&d);
	int room = 1 << 20;
	int fds[2];
	struct err e;

	assert_int_equal(
		socketpair(AF_UNIX,
			   SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
			   fds),
		0);
	for (int i = 0; i < 2; i++)
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	host = fds[0];
	d.dev = net_create_on(&slot, &config, fds[1], &e);
	if (!d.dev)
		fail_msg("%s", e.text);
}

void start(uint64_t features)
{
	create();
	driver_start(&d, features, SIZE);
}

void start_all(void)
{
	create();
	driver_start(&d, d.dev->offered, SIZE);
}

const struct net_metrics *metrics(void)
{
	return net_metrics(d.dev);
}

/* ------------------------------------------------------------------ helpers */

struct virtio_net_hdr_v1 *header(void)
{
	return (void *)frame;
}

/* @len bytes of frame[] from the guest, in up to three buffers. */
void transmit_in(unsigned len, unsigned first, unsigned second)
{
	gpa_t at = driver_alloc(&d, len + 64);
	struct driver_buffer parts[3] = {{at, first, false}};
	unsigned count = 1;

	memcpy(driver_at(&d, at), frame, first);
	if (first < len) {
		if (second > len - first)
			second = len - first;
		memcpy(driver_at(&d, at + first + 16), frame + first, second);
		parts[count++] =
			(struct driver_buffer){at + first + 16, second, false};
	}
	if (first + second < len) {
		memcpy(driver_at(&d, at + first + second + 32),
		       frame + first + second, len - first - second);
		parts[count++] = (struct driver_buffer){
			at + first + second + 32, len - first - second, false};
	}
	driver_add(&d, NET_TX, parts, count);
}

void transmit(unsigned len)
{
	transmit_in(len, len, 0);
	driver_kick(&d, NET_TX);
	driver_run(&d);
}

/* What the host got: its length, or -1. */
ssize_t host_got(void)
{
	return recv(host, back, sizeof(back), MSG_DONTWAIT);
}

void assert_sent(unsigned len)
{
	assert_true(driver_used(&d, NET_TX, NULL, NULL));
	assert_int_equal(host_got(), len);
	assert_memory_equal(back + NET_HEADER, frame + NET_HEADER,
			    len - NET_HEADER);
}

void assert_refused(void)
{
	uint64_t before = metrics()->tx_malformed_frames;

	transmit(100);
	assert_true(driver_used(&d, NET_TX, NULL, NULL));
	assert_int_equal(host_got(), -1);
	assert_int_equal(metrics()->tx_malformed_frames, before + 1);
}

void host_sends(unsigned len)
{
	assert_int_equal(send(host, frame, len, 0), len);
}

gpa_t offer(uint32_t len)
{
	struct driver_buffer buffer = {driver_alloc(&d, len), len, true};

	driver_add(&d, NET_RX, &buffer, 1);
	memset(driver_at(&d, buffer.gpa), 0xee, len);
	return buffer.gpa;
}

void kick_rx(void)
{
	driver_kick(&d, NET_RX);
	driver_run(&d);
}

uint32_t received(void)
{
	uint32_t len = 0;

	assert_true(driver_used(&d, NET_RX, NULL, &len));
	return len;
}

void assert_none_received(void)
{
	assert_false(driver_used(&d, NET_RX, NULL, NULL));
}

uint16_t num_buffers(gpa_t at)
{
	struct virtio_net_hdr_v1 h;

	memcpy(&h, driver_at(&d, at), sizeof(h));
	return h.num_buffers;
}
