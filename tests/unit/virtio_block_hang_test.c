/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Storage that does not answer: nobody waits for it without a bound.
 * devices/virtio/block/block_async.c, virtio.c.  Requests of the ring go to a
 * pipe that is full, until the test reads from it.
 */
#include <fcntl.h>
#include <liburing.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/now.h"
#include "devices/virtio/block/block.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_block_guest.h"

enum { SECTOR = 512, SECTORS = 64, MS = 1000000 };

static const struct rate_limiter_update same;
static char path[64], other[64];
static int disk_fd, other_fd, hung[2] = {-1, -1};
static gpa_t status;
static bool at_once;    /* storage that has done all when it was asked */
static bool broken_out; /* the ring is asked for something else */

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);

int __wrap_io_uring_submit(struct io_uring *ring)
{
	int n;

	for (unsigned i = ring->sq.sqe_head;
	     broken_out && i != ring->sq.sqe_tail; i++)
		ring->sq.sqes[i & ring->sq.ring_mask].opcode = IORING_OP_NOP;
	if (at_once) {
		unsigned done = io_uring_cq_ready(ring);

		n = __real_io_uring_submit(ring);
		while (io_uring_cq_ready(ring) < done + (unsigned)n)
			usleep(100);
		return n;
	}
	for (unsigned i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++) {
		ring->sq.sqes[i & ring->sq.ring_mask].fd = hung[1];
		ring->sq.sqes[i & ring->sq.ring_mask].off = 0;
	}
	return __real_io_uring_submit(ring);
}

static int begin(void **state)
{
	static const char image[SECTORS * SECTOR];

	(void)state;
	at_once = broken_out = false;
	disk_fd = testing_file(image, sizeof(image));
	snprintf(path, sizeof(path), "%s", testing_file_path(disk_fd));
	other_fd = testing_file(image, SECTOR);
	snprintf(other, sizeof(other), "%s", testing_file_path(other_fd));
	testing_pipe(hung);
	testing_fill(hung[1]);
	assert_int_equal(fcntl(hung[1], F_SETFL, 0), 0);
	driver_begin(&d);
	config = (struct block_config){.id = (char *)"data",
				       .path = path,
				       .writeback = true,
				       .async = true};
	disk_create();
	if (!block_is_async(d.dev))
		skip();
	return 0;
}

static int end(void **state)
{
	(void)state;
	driver_end(&d);
	close(disk_fd);
	close(other_fd);
	close(hung[0]);
	close(hung[1]);
	return 0;
}

/* A write that waits for the test. */
static void hang(void)
{
	gpa_t at = driver_alloc(&d, 16 + SECTOR + 1);
	struct driver_buffer buffers[] = {{at, 16 + SECTOR, false},
					  {at + 16 + SECTOR, 1, true}};

	status = at + 16 + SECTOR;
	*(struct virtio_blk_outhdr *)driver_at(&d, at) =
		(struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_OUT};
	*(uint8_t *)driver_at(&d, status) = 0x77;
	driver_add(&d, 0, buffers, 2);
	driver_kick(&d, 0);
	driver_run(&d);
	assert_int_equal(d.dev->inflight, 1);
	assert_false(driver_used(&d, 0, NULL, NULL));
}

static void answer(void)
{
	static char buf[1 << 20];

	assert_true(testing_read_all(hung[0], buf, sizeof(buf)) > 0);
}

/* A guest that broke out has the ring, but not for other calls than ours. */
static void the_ring_does_nothing_else(void **state)
{
	gpa_t at;

	(void)state;
	at_once = true;
	for (unsigned i = 0; i < 2; i++) {
		struct driver_buffer buffers[2];

		at = driver_alloc(&d, 16 + 1);
		buffers[0] = (struct driver_buffer){at, 16, false};
		buffers[1] = (struct driver_buffer){at + 16, 1, true};
		*(struct virtio_blk_outhdr *)driver_at(&d, at) =
			(struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_FLUSH};
		broken_out = i == 1;
		driver_add(&d, 0, buffers, 2);
		driver_kick(&d, 0);
		driver_run(&d);
		assert_true(driver_used(&d, 0, NULL, NULL));
		assert_int_equal(*(uint8_t *)driver_at(&d, at + 16),
				 i ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
	}
}

/* More requests than can be in flight, of storage that never makes one wait: no
 * completion is left that would run the queue for the rest. */
static void more_than_fit_are_all_done(void **state)
{
	enum { REQUESTS = 250 };
	unsigned done = 0;

	(void)state;
	_Static_assert(REQUESTS > 128, "BLOCK_INFLIGHT_MAX");
	at_once = true;
	driver_start(&d, d.dev->offered, 256);
	d.indirect = true;
	for (unsigned i = 0; i < REQUESTS; i++) {
		gpa_t at = driver_alloc(&d, 16 + SECTOR + 1);
		struct driver_buffer buffers[] = {{at, 16 + SECTOR, false},
						  {at + 16 + SECTOR, 1, true}};

		*(struct virtio_blk_outhdr *)driver_at(&d, at) =
			(struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_OUT,
						   .sector = i % SECTORS};
		driver_add(&d, 0, buffers, 2);
	}
	driver_kick(&d, 0);
	driver_run(&d);
	while (driver_used(&d, 0, NULL, NULL))
		done++;
	assert_int_equal(done, REQUESTS);
	assert_int_equal(d.dev->inflight, 0);
}

static uint64_t now_ms(void)
{
	return clock_now_ns(CLOCK_MONOTONIC) / MS;
}

static void pause_does_not_wait_for_ever(void **state)
{
	uint64_t before = now_ms();

	(void)state;
	hang();
	assert_false(virtio_quiesce(d.dev, (before + 50) * MS));
	assert_in_range(now_ms() - before, 49, 5000);
	assert_false(virtio_quiesce(d.dev, 0));
	virtio_resume(d.dev);
	answer();
	assert_true(driver_wait_used(&d, 0));
	assert_int_equal(*(uint8_t *)driver_at(&d, status), 0);
	assert_true(virtio_quiesce(d.dev, 0));
}

/* What ends later ends on the loop, and the next look finds it. */
static void pause_can_be_waited_for_on_the_loop(void **state)
{
	(void)state;
	hang();
	assert_false(virtio_quiesce(d.dev, 0));
	answer();
	assert_true(driver_wait_used(&d, 0));
	assert_true(virtio_quiesce(d.dev, 0));
	virtio_resume(d.dev);
}

static void *reset(void *arg)
{
	(void)arg;
	driver_set(&d, VIRTIO_MMIO_STATUS, 0);
	return NULL;
}

/* A vCPU that resets the device waits for the main thread, which does not wait
 * for the storage. */
static void reset_holds_nobody_else(void **state)
{
	pthread_t vcpu;
	uint64_t before = now_ms();

	(void)state;
	hang();
	assert_int_equal(pthread_create(&vcpu, NULL, reset, NULL), 0);
	while (now_ms() - before < 50)
		assert_int_not_equal(driver_get(&d, VIRTIO_MMIO_STATUS), 0);
	answer();
	while (driver_get(&d, VIRTIO_MMIO_STATUS) && now_ms() - before < 5000)
		driver_run(&d);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_STATUS), 0);
	assert_int_equal(pthread_join(vcpu, NULL), 0);
	assert_int_equal(d.dev->inflight, 0);
	assert_int_equal(d.dev->resetting, 0);
}

static void end_waits_for_half_a_second(void **state)
{
	uint64_t before;
	pthread_t vcpu;

	(void)state;
	hang();
	assert_int_equal(pthread_create(&vcpu, NULL, reset, NULL), 0);
	usleep(20000);
	before = now_ms();
	virtio_abandon(d.dev);
	assert_int_equal(pthread_join(vcpu, NULL), 0);
	assert_int_equal(d.dev->inflight, 1);
	assert_in_range(now_ms() - before, 0, 400);
	d.dev->abandoned = false;
	virtio_destroy(d.dev);
	d.dev = NULL;
	assert_in_range(now_ms() - before, 490, 5000);
}

static void another_file_does_not_wait_for_ever(void **state)
{
	struct err e;

	(void)state;
	hang();
	assert_err(block_patch(d.dev, other, &same, &e), e,
		   "its storage has not answered for 500 ms, and 1 requests");
	assert_int_equal(driver_config(&d, 0, 8), SECTORS);
	answer();
	assert_true(driver_wait_used(&d, 0));
	assert_ok(block_patch(d.dev, other, &same, &e), e);
	assert_int_equal(driver_config(&d, 0, 8), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pause_does_not_wait_for_ever),
		TEST(pause_can_be_waited_for_on_the_loop),
		TEST(reset_holds_nobody_else),
		TEST(end_waits_for_half_a_second),
		TEST(another_file_does_not_wait_for_ever),
		TEST(the_ring_does_nothing_else),
		TEST(more_than_fit_are_all_done),
	};

	return RUN_TESTS("block_hang", tests);
}
