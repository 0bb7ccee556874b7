/* SPDX-License-Identifier: Apache-2.0 */
/* Vsock: what happens to the device. */
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/util.h"
#include "snapshot/codec.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_vsock_ends.h"

/* ------------------------------------------------------------- the device */

static void before_the_driver_nobody_is_lost(void **state)
{
	int fd;

	(void)state;
	create();
	fd = host_connects();
	assert_int_equal(send(fd, "CONNECT 52\n", 11, 0), 11);
	driver_run(&d);
	driver_start(&d, d.dev->offered, SIZE);
	offer_all();
	expect(VIRTIO_VSOCK_OP_REQUEST, FIRST, 52);
	close(fd);
}

static void pause_keeps_streams(void **state)
{
	int fd;

	(void)state;
	start();
	fd = open_stream(0);
	virtio_quiesce(d.dev, UINT64_MAX);
	host_says(fd, "meanwhile");
	close(host_connects());
	driver_run(&d);
	assert_int_equal(driver_poll(&d, 0), 0); /* no busy loop */
	virtio_resume(d.dev);
	assert_int_equal(expect(VIRTIO_VSOCK_OP_RW, FIRST, 52).len, 9);
	guest_data(FIRST, 52, "x", 1);
	assert_host_reads(fd, "x");
	close(fd);
}

static void a_program_wakes_a_guest_that_sleeps(void **state)
{
	int fd, old;

	(void)state;
	start();
	old = open_stream(0);
	virtio_quiesce(d.dev, UINT64_MAX);
	virtio_await_wake(d.dev);
	driver_run(&d);
	assert_false(d.knocked);
	fd = host_connects();
	driver_run(&d);
	assert_true(d.knocked);
	d.knocked = false;
	virtio_await_wake(d.dev);
	driver_run(&d);
	assert_true(d.knocked);
	d.knocked = false;
	host_says(old, "wake up");
	driver_run(&d);
	assert_true(d.knocked);
	virtio_resume(d.dev);
	assert_int_equal(expect(VIRTIO_VSOCK_OP_RW, FIRST, 52).len, 7);
	close(fd);
	close(old);
}

static void reset_ends_streams(void **state)
{
	int fd, half;

	(void)state;
	start();
	fd = open_stream(0);
	half = host_connects();
	host_says(half, "CONN");
	driver_set(&d, VIRTIO_MMIO_STATUS, 0);
	assert_true(is_closed(fd));
	assert_int_equal(driver_poll(&d, 0), 0);
	close(fd);
	driver_start(&d, d.dev->offered, SIZE);
	offer_all();
	expect_nothing();
	assert_int_equal(vsock_conn_count(d.dev), 0);
	close(open_stream(1));
	close(half);
}

static void after_a_restore_the_guest_is_told(void **state)
{
	struct virtio_vsock_event event;
	struct driver_buffer b = {driver_alloc(&d, 16), 16, true};
	struct snap out, in;
	const void *bytes;
	uint32_t n;
	struct err e;
	size_t len;
	int fd;

	(void)state;
	start();
	driver_add(&d, VSOCK_EVENT, &b, 1);
	driver_kick(&d, VSOCK_EVENT);
	driver_run(&d);
	fd = open_stream(0);
	virtio_quiesce(d.dev, UINT64_MAX);
	snap_save(&out, 1);
	virtio_state(d.dev, &out);
	assert_ok(snap_finish(&out, &e), e);
	bytes = snap_data(&out, &len);
	virtio_destroy(d.dev);
	create();
	virtio_quiesce(d.dev, UINT64_MAX);
	snap_load(&in, bytes, len, 1);
	virtio_state(d.dev, &in);
	assert_ok(snap_finish(&in, &e), e);
	snap_fini(&out);
	assert_false(driver_used(&d, VSOCK_EVENT, NULL, NULL));
	virtio_resume(d.dev);
	driver_run(&d);
	assert_true(driver_used(&d, VSOCK_EVENT, NULL, &n));
	assert_int_equal(n, 4);
	memcpy(&event, driver_at(&d, b.gpa), sizeof(event));
	assert_int_equal(event.id, VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
	assert_true(is_closed(fd));
	close(fd);
	close(open_stream(1)); /* another port than before */
}

static void assert_refused(const char *path, uint32_t cid, const char *words)
{
	const struct vsock_config wrong = {cid, (char *)path, NULL};
	struct virtio_slot slot = driver_slot(&d);
	unsigned before = testing_count_fds();
	struct err e;

	assert_err(vsock_check(&wrong, &e), e, words);
	assert_null(vsock_create(&slot, &wrong, &e));
	assert_contains(e.text, words);
	assert_int_equal(testing_count_fds(), before);
}

static void wrong_paths_and_cids_are_refused(void **state)
{
	char longest[200];
	struct err e;

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[VSOCK_PATH_MAX + 1] = '\0';
	assert_ok(vsock_check(&config, &e), e);
	assert_int_not_equal(access(uds, F_OK), 0); /* no side effect */
	assert_refused(uds, 2, "The guest CID 2 is reserved");
	assert_refused(uds, UINT32_MAX, "is reserved");
	assert_refused("", 3, "an empty path");
	assert_refused(longest, 3, "File name too long (os error 36)");
	assert_refused(longest, 3, "has 98 characters, and at most 97 leave");
	assert_refused("/nowhere/x", 3,
		       "No such file or directory (os error 2)");
	assert_refused("/tmp", 3, "Address already in use (os error 98)");
	create();
	assert_refused(uds, 3,
		       "Cannot create backend for vsock device: Error binding "
		       "to the host-side Unix socket: Address already in use");
}

static int listen_at(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	memcpy(a.sun_path, path, strlen(path)); /* it may fill it */
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) ||
	    listen(fd, 1))
		fail_msg("cannot listen at %s", path);
	return fd;
}

static void the_longest_path_has_all_ports(void **state)
{
	char path[VSOCK_PATH_MAX + 1], port[120];
	int fd;

	(void)state;
	memset(path, 'v', sizeof(path));
	memcpy(path, uds, strlen(uds));
	path[VSOCK_PATH_MAX] = '\0';
	config.uds_path = path;
	start();
	config.uds_path = uds;
	snprintf(port, sizeof(port), "%s_%u", path, UINT32_MAX);
	fd = listen_at(port);
	guest(VIRTIO_VSOCK_OP_REQUEST, UINT32_MAX, 7);
	expect(VIRTIO_VSOCK_OP_RESPONSE, UINT32_MAX, 7);
	close(fd);
	unlink(port);
}

static void destroying_leaves_no_descriptor(void **state)
{
	unsigned before = testing_count_fds();
	int fd;

	(void)state;
	start();
	fd = open_stream(0);
	virtio_destroy(d.dev);
	d.dev = NULL;
	assert_true(is_closed(fd));
	close(fd);
	assert_int_equal(testing_count_fds(), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(before_the_driver_nobody_is_lost),
		TEST(pause_keeps_streams),
		TEST(a_program_wakes_a_guest_that_sleeps),
		TEST(reset_ends_streams),
		TEST(after_a_restore_the_guest_is_told),
		TEST(wrong_paths_and_cids_are_refused),
		TEST(the_longest_path_has_all_ports),
		TEST(destroying_leaves_no_descriptor),
	};

	return RUN_TESTS("vsock_life", tests);
}
