/* SPDX-License-Identifier: Apache-2.0 */
/* Vsock: data, credit, the end of streams. */
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/util.h"
#include "snapshot/codec.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_vsock_ends.h"

/* ----------------------------------------------------------------- credit */

static void data_beyond_the_guests_room_waits(void **state)
{
	unsigned got = 0;
	int fd;

	(void)state;
	guest_alloc = 10000;
	start();
	fd = open_stream(0);
	assert_int_equal(send(fd, data, 30000, 0), 30000);
	while (got < 10000) {
		struct virtio_vsock_hdr h =
			expect(VIRTIO_VSOCK_OP_RW, FIRST, 52);

		assert_memory_equal(back, data + got, h.len);
		got += h.len;
	}
	assert_int_equal(got, 10000);
	expect(VIRTIO_VSOCK_OP_CREDIT_REQUEST, FIRST, 52);
	expect_nothing();
	assert_int_equal(driver_poll(&d, 0), 0); /* no busy loop */
	guest_forwarded = 10000;
	guest_alloc = 5000;
	guest(VIRTIO_VSOCK_OP_CREDIT_UPDATE, FIRST, 52);
	while (got < 15000)
		got += expect(VIRTIO_VSOCK_OP_RW, FIRST, 52).len;
	assert_int_equal(got, 15000);
	expect(VIRTIO_VSOCK_OP_CREDIT_REQUEST, FIRST, 52);
	guest_alloc = 4000; /* less than is on its way */
	guest(VIRTIO_VSOCK_OP_CREDIT_UPDATE, FIRST, 52);
	expect_nothing();
	close(fd);
}

static void guest_is_told_of_room(void **state)
{
	struct virtio_vsock_hdr h;
	int fd;

	(void)state;
	start();
	fd = open_stream(0);
	guest_data(FIRST, 52, data, VSOCK_BUFFER / 2 - 1);
	expect_nothing();
	guest_data(FIRST, 52, data, 1);
	h = expect(VIRTIO_VSOCK_OP_CREDIT_UPDATE, FIRST, 52);
	assert_int_equal(h.fwd_cnt, VSOCK_BUFFER / 2);
	assert_int_equal(h.buf_alloc, VSOCK_BUFFER);
	guest(VIRTIO_VSOCK_OP_CREDIT_REQUEST, FIRST, 52);
	h = expect(VIRTIO_VSOCK_OP_CREDIT_UPDATE, FIRST, 52);
	assert_int_equal(h.fwd_cnt, VSOCK_BUFFER / 2);
	expect_nothing();
	close(fd);
}

/* Send as a guest that keeps to its credit until the host takes no more; how
 * much that was. */
static unsigned fill_host(uint32_t *forwarded)
{
	unsigned sent = 0;

	for (;;) {
		struct virtio_vsock_hdr h;

		if (sent + 7000 > *forwarded + VSOCK_BUFFER)
			return sent;
		guest_data(FIRST, 52, data + sent % 60000, 7000);
		sent += 7000;
		guest(VIRTIO_VSOCK_OP_CREDIT_REQUEST, FIRST, 52);
		while (packet(&h))
			*forwarded = h.fwd_cnt;
	}
}

static void slow_host_gets_all_in_order(void **state)
{
	uint32_t forwarded = 0;
	unsigned sent, got = 0;
	int fd;

	(void)state;
	start();
	fd = open_stream(0);
	sent = fill_host(&forwarded);
	assert_true(sent > forwarded);
	assert_true(sent - forwarded <= VSOCK_BUFFER);
	while (got < sent) {
		unsigned at = got / 7000 * 7000 % 60000 + got % 7000;
		uint8_t some[1000];
		ssize_t n = recv(fd, some,
				 7000 - got % 7000 < 1000 ? 7000 - got % 7000
							  : 1000,
				 MSG_DONTWAIT);

		if (n < 0) {
			assert_true(driver_poll(&d, 100) > 0);
			continue;
		}
		assert_memory_equal(some, data + at, (size_t)n);
		got += (unsigned)n;
	}
	driver_run(&d);
	assert_false(is_closed(fd));
	close(fd);
}

static void guest_beyond_its_credit_is_cut_off(void **state)
{
	uint32_t forwarded = 0;
	struct virtio_vsock_hdr h = {0};
	int fd;

	(void)state;
	start();
	fd = open_stream(0);
	fill_host(&forwarded);
	guest_data(FIRST, 52, data, VSOCK_BUFFER);
	driver_run(&d);
	while (packet(&h) && h.op != VIRTIO_VSOCK_OP_RST)
		continue;
	assert_int_equal(h.op, VIRTIO_VSOCK_OP_RST);
	assert_int_equal(vsock_conn_count(d.dev), 0);
	close(fd);
}

static void packet_may_be_in_many_buffers(void **state)
{
	struct virtio_vsock_hdr h;
	struct driver_buffer parts[20];
	gpa_t at;
	int fd;

	(void)state;
	start();
	fd = open_stream(0);
	h = header_of(VIRTIO_VSOCK_OP_RW, FIRST, 52);
	h.len = 100 - HEADER;
	at = driver_alloc(&d, 100);
	memcpy(driver_at(&d, at), &h, HEADER);
	memcpy(driver_at(&d, at + HEADER), data, 100 - HEADER);
	for (unsigned i = 0; i < 20; i++)
		parts[i] = (struct driver_buffer){at + 5 * i, 5, false};
	driver_add(&d, VSOCK_TX, parts, 20);
	driver_kick(&d, VSOCK_TX);
	driver_run(&d);
	assert_int_equal(recv(fd, back, 100, MSG_DONTWAIT), 100 - HEADER);
	assert_memory_equal(back, data, 100 - HEADER);
	close(fd);
}

/* ------------------------------------------------------------------- ends */

/* No busy loop: what was kicked is seen to, and then nothing is ready. */
static void assert_quiet(void)
{
	driver_poll(&d, 0);
	driver_poll(&d, 0);
	assert_int_equal(driver_poll(&d, 0), 0);
}

static void host_may_close_one_direction(void **state)
{
	int fd;

	(void)state;
	start();
	fd = open_stream(0);
	host_says(fd, "last");
	shutdown(fd, SHUT_WR);
	assert_int_equal(expect(VIRTIO_VSOCK_OP_RW, FIRST, 52).len, 4);
	assert_int_equal(expect(VIRTIO_VSOCK_OP_SHUTDOWN, FIRST, 52).flags,
			 VIRTIO_VSOCK_SHUTDOWN_SEND);
	assert_quiet();
	guest_data(FIRST, 52, "still", 5);
	assert_host_reads(fd, "still");
	close(fd);
	assert_int_equal(expect(VIRTIO_VSOCK_OP_SHUTDOWN, FIRST, 52).flags, 3);
	assert_quiet();
	guest(VIRTIO_VSOCK_OP_RST, FIRST, 52);
	assert_int_equal(vsock_conn_count(d.dev), 0);
	expect_nothing();
}

static void host_that_leaves_closes_both(void **state)
{
	int fd;

	(void)state;
	start();
	fd = open_stream(0);
	host_says(fd, "last");
	close(fd);
	assert_int_equal(expect(VIRTIO_VSOCK_OP_RW, FIRST, 52).len, 4);
	assert_int_equal(expect(VIRTIO_VSOCK_OP_SHUTDOWN, FIRST, 52).flags, 3);
	/* The guest has two seconds to agree. */
	for (int i = 0; i < 50 && vsock_conn_count(d.dev); i++)
		driver_poll(&d, 100);
	expect(VIRTIO_VSOCK_OP_RST, FIRST, 52);
	assert_int_equal(metrics()->conns_killed, 1);
}

static void guest_may_close_one_direction(void **state)
{
	int fd;

	(void)state;
	start();
	fd = open_stream(0);
	guest_data(FIRST, 52, "last", 4);
	guest_shutdown(FIRST, 52, VIRTIO_VSOCK_SHUTDOWN_SEND);
	assert_host_reads(fd, "last");
	assert_true(is_closed(fd));
	host_says(fd, "still");
	assert_int_equal(expect(VIRTIO_VSOCK_OP_RW, FIRST, 52).len, 5);
	/* But nothing more from there. */
	guest_data(FIRST, 52, "x", 1);
	expect(VIRTIO_VSOCK_OP_RST, FIRST, 52);
	close(fd);
}

static void guest_may_stop_to_receive(void **state)
{
	int fd;

	(void)state;
	start();
	fd = open_stream(0);
	guest_shutdown(FIRST, 52, VIRTIO_VSOCK_SHUTDOWN_RCV);
	assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	expect_nothing();
	guest_data(FIRST, 52, "still", 5);
	assert_host_reads(fd, "still");
	close(fd);
}

static void guest_that_leaves_closes_both(void **state)
{
	int fd;

	(void)state;
	start();
	fd = open_stream(0);
	guest_data(FIRST, 52, "last", 4);
	guest_shutdown(FIRST, 52, 3);
	expect(VIRTIO_VSOCK_OP_RST, FIRST, 52);
	assert_host_reads(fd, "last");
	assert_true(is_closed(fd));
	assert_int_equal(vsock_conn_count(d.dev), 0);
	close(fd);
}

static void what_a_guest_that_left_had_sent_is_delivered(void **state)
{
	uint32_t forwarded = 0;
	unsigned sent, got = 0;
	int fd;

	(void)state;
	start();
	fd = open_stream(0);
	sent = fill_host(&forwarded);
	assert_true(sent > forwarded);
	guest_shutdown(FIRST, 52, 3);
	expect(VIRTIO_VSOCK_OP_RST, FIRST, 52);
	assert_int_equal(vsock_conn_count(d.dev), 1);
	for (ssize_t n; (n = recv(fd, back, 5000, MSG_DONTWAIT)) != 0;) {
		if (n < 0)
			assert_true(driver_poll(&d, 100) > 0);
		else
			got += (unsigned)n;
	}
	assert_int_equal(got, sent);
	assert_int_equal(vsock_conn_count(d.dev), 0);
	close(fd);
}

static void host_that_does_not_read_ends_it(void **state)
{
	struct virtio_vsock_hdr h = {0};
	int fd;

	(void)state;
	start();
	fd = open_stream(0);
	shutdown(fd, SHUT_RD);
	guest_data(FIRST, 52, "x", 1);
	driver_run(&d);
	assert_true(packet(&h));
	assert_int_equal(h.op, VIRTIO_VSOCK_OP_RST);
	assert_int_equal(metrics()->tx_write_fails, 1);
	close(fd);
}

/* ------------------------------------------------------------------- many */

static void hundreds_of_streams(void **state)
{
	enum { MANY = 400 };
	static int fd[MANY];

	(void)state;
	start();
	for (unsigned i = 0; i < MANY; i++)
		fd[i] = open_stream(i);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(send(fd[i], data + i, 100, 0), 100);
	for (unsigned i = 0; i < MANY; i++) {
		struct virtio_vsock_hdr h;

		driver_run(&d);
		assert_true(packet(&h));
		assert_int_equal(h.len, 100);
		assert_memory_equal(back, data + (h.src_port - FIRST), 100);
		guest_data(h.src_port, 52, back, 100);
	}
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(recv(fd[i], back, 200, MSG_DONTWAIT), 100);
		assert_memory_equal(back, data + i, 100);
		close(fd[i]);
	}
}

static void there_is_a_bound(void **state)
{
	static int fd[VSOCK_CONNS_MAX];
	int more;

	(void)state;
	start();
	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++) {
		fd[i] = host_connects();
		if (i % 100 == 99)
			driver_run(&d);
	}
	driver_run(&d);
	assert_int_equal(vsock_conn_count(d.dev), VSOCK_CONNS_MAX);
	more = host_connects();
	assert_true(is_closed(more));
	guest(VIRTIO_VSOCK_OP_REQUEST, 80, 1);
	expect(VIRTIO_VSOCK_OP_RST, 80, 1);
	close(fd[0]);
	driver_run(&d);
	assert_int_equal(vsock_conn_count(d.dev), VSOCK_CONNS_MAX - 1);
	for (unsigned i = 1; i < VSOCK_CONNS_MAX; i++)
		close(fd[i]);
	close(more);
}

static void loud_stream_leaves_others_their_turn(void **state)
{
	struct virtio_vsock_hdr h;
	unsigned others = 0;
	int loud, quiet;

	(void)state;
	create();
	driver_start(&d, d.dev->offered, SIZE);
	offer(BUFFER); /* the only one */
	driver_kick(&d, VSOCK_RX);
	loud = open_stream(0);
	quiet = open_stream(1);
	assert_int_equal(send(loud, data, 100000, 0), 100000);
	assert_int_equal(send(quiet, data, 10, 0), 10);
	for (unsigned i = 0; i < 4; i++) {
		driver_run(&d);
		assert_true(packet(&h));
		others += h.src_port == FIRST + 1;
	}
	assert_int_equal(others, 1);
	close(loud);
	close(quiet);
}

static void without_buffers_nothing_is_lost(void **state)
{
	int fd;

	(void)state;
	create();
	driver_start(&d, d.dev->offered, SIZE);
	fd = host_connects();
	host_says(fd, "CONNECT 52\n");
	for (unsigned i = 0; i < 2000; i++)
		guest(VIRTIO_VSOCK_OP_RW, 9, i); /* resets pile up */
	assert_int_equal(driver_poll(&d, 0), 0);
	for (unsigned i = 0; i < VSOCK_CONNS_MAX + 1; i++) {
		if (i % SIZE == 0)
			offer_all();
		if (i % SIZE == 0)
			driver_run(&d);
		assert_true(driver_used(&d, VSOCK_RX, NULL, NULL));
	}
	close(fd);
}

static void buffers_without_room_are_given_back(void **state)
{
	uint32_t len;

	(void)state;
	create();
	driver_start(&d, d.dev->offered, SIZE);
	offer(HEADER);
	offer(10);
	guest(VIRTIO_VSOCK_OP_RW, 9, 9);
	assert_true(driver_used(&d, VSOCK_RX, NULL, &len));
	assert_int_equal(len, 0);
	assert_true(driver_used(&d, VSOCK_RX, NULL, &len));
	assert_int_equal(len, 0);
	assert_int_equal(metrics()->rx_queue_event_fails, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(data_beyond_the_guests_room_waits),
		TEST(guest_is_told_of_room),
		TEST(slow_host_gets_all_in_order),
		TEST(guest_beyond_its_credit_is_cut_off),
		TEST(packet_may_be_in_many_buffers),
		TEST(host_may_close_one_direction),
		TEST(host_that_leaves_closes_both),
		TEST(guest_may_close_one_direction),
		TEST(guest_may_stop_to_receive),
		TEST(guest_that_leaves_closes_both),
		TEST(what_a_guest_that_left_had_sent_is_delivered),
		TEST(host_that_does_not_read_ends_it),
		TEST(hundreds_of_streams),
		TEST(there_is_a_bound),
		TEST(loud_stream_leaves_others_their_turn),
		TEST(without_buffers_nothing_is_lost),
		TEST(buffers_without_room_are_given_back),
	};

	return RUN_TESTS("vsock_data", tests);
}
