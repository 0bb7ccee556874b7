/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a ring may answer, and in which order: devices/virtio/block/
 * block_async.c on an io_uring that does as the test says.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/util.h"
#include "devices/virtio/block/block.h"
#include "tests/fake/uring_fake.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_block_guest.h"

enum { SECTOR = 512, SECTORS = 64, UNSET = 0x77 };

static int disk_fd;
static char path[64];
static gpa_t status;

static int begin(void **state)
{
	static const char image[SECTORS * SECTOR];

	(void)state;
	uring_fake_reset();
	disk_fd = testing_file(image, sizeof(image));
	snprintf(path, sizeof(path), "%s", testing_file_path(disk_fd));
	driver_begin(&d);
	config = (struct block_config){.id = (char *)"data",
				       .path = path,
				       .writeback = true,
				       .async = true};
	disk_create();
	status = driver_alloc(&d, 64);
	memset(driver_at(&d, status), UNSET, 64);
	uring_fake.hold = true;
	return 0;
}

static int end(void **state)
{
	(void)state;
	driver_end(&d);
	close(disk_fd);
	return 0;
}

static unsigned status_of(unsigned i)
{
	return ((uint8_t *)driver_at(&d, status))[i];
}

/* The @i-th: write so many sectors of this letter. */
static void add_write(unsigned i, uint64_t sector, unsigned sectors, char c)
{
	gpa_t at = driver_alloc(&d, 16 + sectors * SECTOR);
	struct driver_buffer buffers[] = {{at, 16 + sectors * SECTOR, false},
					  {status + i, 1, true}};

	*(struct virtio_blk_outhdr *)driver_at(&d, at) =
		(struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_OUT,
					   .sector = sector};
	memset((char *)driver_at(&d, at) + 16, c, sectors * SECTOR);
	driver_add(&d, 0, buffers, 2);
}

static void go(void)
{
	driver_kick(&d, 0);
	driver_run(&d);
}

static char on_disk(uint64_t sector)
{
	char c = 0;

	assert_int_equal(pread(disk_fd, &c, 1, (off_t)(sector * SECTOR)), 1);
	return c;
}

static void each_is_answered_when_it_is_done(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		add_write(i, i, 1, (char)('a' + i));
	go();
	assert_int_equal(uring_fake.waiting, 3);
	assert_int_equal(d.dev->inflight, 3);
	for (unsigned left = 3; left; left--) {
		uring_fake_complete(left - 1, URING_FAKE_DO, false);
		driver_run(&d);
		assert_int_equal(status_of(left - 1), VIRTIO_BLK_S_OK);
		assert_int_equal(on_disk(left - 1), 'a' + (int)left - 1);
		assert_int_equal(d.dev->inflight, left - 1);
		for (unsigned i = 0; i < left - 1; i++)
			assert_int_equal(status_of(i), UNSET);
	}
}

/* As the kernel gives it when it has no memory for a step. */
static void what_was_not_even_begun_is_repeated(void **state)
{
	(void)state;
	add_write(0, 5, 2, 'x');
	go();
	for (unsigned i = 0; i < 5; i++) {
		uring_fake_complete(0, i % 2 ? -EINTR : -EAGAIN, false);
		driver_run(&d);
		assert_int_equal(status_of(0), UNSET);
		assert_int_equal(uring_fake.waiting, 1);
	}
	uring_fake_complete(0, URING_FAKE_DO, false);
	driver_run(&d);
	assert_int_equal(status_of(0), VIRTIO_BLK_S_OK);
	assert_int_equal(on_disk(6), 'x');
}

static void half_of_it_is_followed_by_the_rest(void **state)
{
	(void)state;
	add_write(0, 8, 3, 'y');
	go();
	for (unsigned i = 0; i < 2; i++) {
		uring_fake_complete(0, URING_FAKE_DO, true);
		driver_run(&d);
		assert_int_equal(status_of(0), UNSET);
		assert_int_equal(on_disk(8 + i), 'y');
		assert_int_equal(on_disk(9 + i), 0);
	}
	uring_fake_complete(0, URING_FAKE_DO, false);
	driver_run(&d);
	assert_int_equal(status_of(0), VIRTIO_BLK_S_OK);
	assert_int_equal(on_disk(10), 'y');
	assert_int_equal(on_disk(11), 0);
}

static void an_error_is_the_guests(void **state)
{
	(void)state;
	add_write(0, 0, 1, 'z');
	add_write(1, 1, 1, 'z');
	go();
	uring_fake_complete(0, -EIO, false);
	uring_fake_complete(0, URING_FAKE_DO, false);
	driver_run(&d);
	assert_int_equal(status_of(0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(status_of(1), VIRTIO_BLK_S_OK);
	assert_int_equal(d.dev->inflight, 0);
	assert_int_equal(block_metrics(d.dev)->execute_fails, 1);
}

/* Without its being asked again. */
static void a_ring_that_takes_nothing_is_tried_again(void **state)
{
	(void)state;
	uring_fake.refuse_submit = EBUSY;
	add_write(0, 3, 1, 'b');
	driver_kick(&d, 0);
	driver_poll(&d, 0);
	assert_int_equal(uring_fake.waiting, 0);
	uring_fake.refuse_submit = 0;
	driver_run(&d);
	assert_int_equal(uring_fake.waiting, 1);
	uring_fake_complete(0, URING_FAKE_DO, false);
	driver_run(&d);
	assert_int_equal(status_of(0), VIRTIO_BLK_S_OK);
}

static void another_file_waits_for_what_is_in_flight(void **state)
{
	static const struct rate_limiter_update same;
	static const char image[SECTOR];
	AUTO_CLOSE int other = testing_file(image, sizeof(image));
	struct err e;

	(void)state;
	add_write(0, 2, 1, 'c');
	go();
	assert_err(block_patch(d.dev, testing_file_path(other), &same, &e), e,
		   "its storage has not answered for 500 ms, and 1 requests");
	uring_fake_complete(0, URING_FAKE_DO, false);
	assert_ok(block_patch(d.dev, testing_file_path(other), &same, &e), e);
	assert_int_equal(status_of(0), VIRTIO_BLK_S_OK);
	assert_int_equal(on_disk(2), 'c');
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_is_answered_when_it_is_done),
		TEST(what_was_not_even_begun_is_repeated),
		TEST(half_of_it_is_followed_by_the_rest),
		TEST(an_error_is_the_guests),
		TEST(a_ring_that_takes_nothing_is_tried_again),
		TEST(another_file_waits_for_what_is_in_flight),
	};

	return RUN_TESTS("block_async", tests);
}
