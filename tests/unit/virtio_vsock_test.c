/* SPDX-License-Identifier: Apache-2.0 */
/* Vsock: who reaches whom, and packets that must not be. */
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/util.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_vsock_ends.h"

static void config_space_has_the_cid(void **state)
{
	(void)state;
	create();
	assert_int_equal(driver_config(&d, 0, 4), CID);
	assert_int_equal(driver_config(&d, 4, 4), 0);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_DEVICE_ID), 19);
	assert_int_equal(virtio_queue_count(d.dev), 3);
}

static void host_reaches_the_guest(void **state)
{
	struct virtio_vsock_hdr h;
	int fd;

	(void)state;
	start();
	fd = host_connects();
	host_says(fd, "CONNECT 52\nearly");
	h = expect(VIRTIO_VSOCK_OP_REQUEST, 1073741824, 52);
	assert_int_equal(h.buf_alloc, VSOCK_BUFFER);
	assert_int_equal(h.fwd_cnt, 0);
	assert_int_equal(h.len, 0);
	expect_nothing();
	guest(VIRTIO_VSOCK_OP_RESPONSE, 1073741824, 52);
	assert_host_reads(fd, "OK 1073741824\n");
	h = expect(VIRTIO_VSOCK_OP_RW, 1073741824, 52);
	assert_int_equal(h.len, 5);
	assert_memory_equal(back, "early", 5);
	guest_data(1073741824, 52, "answer", 6);
	assert_host_reads(fd, "answer");
	assert_int_equal(metrics()->rx_bytes_count, 5);
	assert_int_equal(metrics()->tx_bytes_count, 6);
	close(fd);
}

static void line_may_come_in_parts_and_forms(void **state)
{
	static const char *const right[] = {"connect 52\n", "CONNECT 52 x\n",
					    "  CoNnEcT   52\r\n"};
	int fd[ARRAY_SIZE(right)];

	(void)state;
	start();
	for (unsigned i = 0; i < ARRAY_SIZE(right); i++) {
		fd[i] = host_connects();
		for (const char *p = right[i]; *p; p++) {
			const char one[] = {*p, '\0'};

			host_says(fd[i], one);
		}
		expect(VIRTIO_VSOCK_OP_REQUEST, FIRST + i, 52);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(right); i++)
		close(fd[i]);
}

static void wrong_lines_end_the_stream(void **state)
{
	static const char *const wrong[] = {
		"\n",
		"CONNECT\n",
		"CONNECT \n",
		"CONNECT x\n",
		"CONNECT -1\n",
		"CONNECT 5x\n",
		"CONNECT 4294967296\n",
		"CONNECT 99999999999999999\n",
		"CONNECT52\n",
		"DISCONNECT 52\n",
		"GET / HTTP/1.1\r\n",
		"CONNECT 00000000000000000000000052\n",
	};

	(void)state;
	start();
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		int fd = host_connects();

		host_says(fd, wrong[i]);
		expect_nothing();
		errno = 0;
		/* Unread bytes make it a reset. */
		assert_true(is_closed(fd) || errno == ECONNRESET);
		close(fd);
	}
	assert_int_equal(vsock_conn_count(d.dev), 0);
}

static void host_may_leave_before_it_asks(void **state)
{
	int fd;

	(void)state;
	start();
	fd = host_connects();
	host_says(fd, "CONN");
	assert_int_equal(vsock_conn_count(d.dev), 1);
	close(fd);
	expect_nothing();
	assert_int_equal(vsock_conn_count(d.dev), 0);
}

static void refusal_ends_the_stream(void **state)
{
	int fd;

	(void)state;
	start();
	fd = host_connects();
	host_says(fd, "CONNECT 52\n");
	expect(VIRTIO_VSOCK_OP_REQUEST, FIRST, 52);
	guest(VIRTIO_VSOCK_OP_RST, FIRST, 52);
	assert_true(is_closed(fd));
	expect_nothing();
	close(fd);
}

static void guest_that_does_not_answer_is_given_up(void **state)
{
	int fd;

	(void)state;
	start();
	fd = host_connects();
	host_says(fd, "CONNECT 52\n");
	expect(VIRTIO_VSOCK_OP_REQUEST, FIRST, 52);
	for (int i = 0; i < 50 && vsock_conn_count(d.dev); i++)
		driver_poll(&d, 100);
	assert_true(is_closed(fd));
	expect(VIRTIO_VSOCK_OP_RST, FIRST, 52);
	assert_int_equal(metrics()->conns_killed, 1);
	close(fd);
}

static void guest_reaches_the_host(void **state)
{
	int listener, fd;
	char path[80];

	(void)state;
	start();
	listener = host_listens(80, path, sizeof(path));
	guest(VIRTIO_VSOCK_OP_REQUEST, 80, 5000);
	expect(VIRTIO_VSOCK_OP_RESPONSE, 80, 5000);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	guest_data(80, 5000, "hello", 5);
	assert_host_reads(fd, "hello");
	host_says(fd, "welcome");
	assert_int_equal(expect(VIRTIO_VSOCK_OP_RW, 80, 5000).len, 7);
	assert_memory_equal(back, "welcome", 7);
	close(fd);
	close(listener);
	unlink(path);
}

static void nobody_listens(void **state)
{
	(void)state;
	start();
	guest(VIRTIO_VSOCK_OP_REQUEST, 80, 5000);
	expect(VIRTIO_VSOCK_OP_RST, 80, 5000);
	assert_int_equal(vsock_conn_count(d.dev), 0);
}

static void unknown_connections_are_reset(void **state)
{
	static const uint16_t ops[] = {
		VIRTIO_VSOCK_OP_INVALID,
		VIRTIO_VSOCK_OP_RESPONSE,
		VIRTIO_VSOCK_OP_SHUTDOWN,
		VIRTIO_VSOCK_OP_RW,
		VIRTIO_VSOCK_OP_CREDIT_UPDATE,
		VIRTIO_VSOCK_OP_CREDIT_REQUEST,
		77,
	};

	(void)state;
	start();
	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
		guest(ops[i], 80 + i, 5000);
		expect(VIRTIO_VSOCK_OP_RST, 80 + i, 5000);
	}
	guest(VIRTIO_VSOCK_OP_RST, 80, 5000);
	expect_nothing();
}

static void other_types_are_reset(void **state)
{
	struct virtio_vsock_hdr h = header_of(VIRTIO_VSOCK_OP_REQUEST, 80, 1);

	(void)state;
	start();
	h.buf_alloc = 1;
	h.type = 2;
	send_header(&h, NULL, 0);
	expect(VIRTIO_VSOCK_OP_RST, 80, 1);
}

static void foreign_cids_are_ignored(void **state)
{
	struct virtio_vsock_hdr h = header_of(VIRTIO_VSOCK_OP_RW, 80, 1);

	(void)state;
	start();
	h.src_cid = CID + 1;
	send_header(&h, NULL, 0);
	h.src_cid = CID;
	h.dst_cid = 3;
	send_header(&h, NULL, 0);
	h.dst_cid = 2ull + (1ull << 32);
	send_header(&h, NULL, 0);
	expect_nothing();
	assert_int_equal(metrics()->tx_queue_event_fails, 3);
}

static void wrong_lengths_are_ignored(void **state)
{
	struct virtio_vsock_hdr h;
	struct driver_buffer small = {DRIVER_DATA, HEADER - 1, false};
	int fd;

	(void)state;
	start();
	fd = open_stream(0);
	h = header_of(VIRTIO_VSOCK_OP_RW, FIRST, 52);
	h.len = 11;
	send_header(&h, data, 10);
	h.len = UINT32_MAX;
	send_header(&h, data, 10);
	driver_add(&d, VSOCK_TX, &small, 1);
	small.write = true;
	small.len = 100;
	driver_add(&d, VSOCK_TX, &small, 1);
	driver_kick(&d, VSOCK_TX);
	driver_run(&d);
	assert_true(driver_used(&d, VSOCK_TX, NULL, NULL));
	assert_true(driver_used(&d, VSOCK_TX, NULL, NULL));
	assert_int_equal(metrics()->tx_queue_event_fails, 4);
	expect_nothing();
	/* Less than is there is fine. */
	h.len = 3;
	send_header(&h, "abcdef", 6);
	assert_host_reads(fd, "abc");
	close(fd);
}

static void impossible_packets_kill_the_connection(void **state)
{
	static const uint16_t ops[] = {VIRTIO_VSOCK_OP_REQUEST,
				       VIRTIO_VSOCK_OP_RESPONSE,
				       VIRTIO_VSOCK_OP_INVALID, 99};

	(void)state;
	start();
	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
		int fd = open_stream(i);

		guest(ops[i], FIRST + i, 52);
		expect(VIRTIO_VSOCK_OP_RST, FIRST + i, 52);
		assert_true(is_closed(fd));
		close(fd);
	}
	assert_int_equal(metrics()->conns_killed, ARRAY_SIZE(ops));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(config_space_has_the_cid),
		TEST(host_reaches_the_guest),
		TEST(line_may_come_in_parts_and_forms),
		TEST(wrong_lines_end_the_stream),
		TEST(host_may_leave_before_it_asks),
		TEST(refusal_ends_the_stream),
		TEST(guest_that_does_not_answer_is_given_up),
		TEST(guest_reaches_the_host),
		TEST(nobody_listens),
		TEST(unknown_connections_are_reset),
		TEST(other_types_are_reset),
		TEST(foreign_cids_are_ignored),
		TEST(wrong_lengths_are_ignored),
		TEST(impossible_packets_kill_the_connection),
	};

	return RUN_TESTS("vsock", tests);
}
