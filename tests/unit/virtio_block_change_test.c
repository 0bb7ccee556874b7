/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another file takes a disk's place in the middle of a request, which the Sync
 * engine leaves when its turn is over: devices/virtio/block/block.c.
 */
#include <linux/virtio_blk.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/util.h"
#include "devices/virtio/block/block.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_block_guest.h"

enum { LEN = 6 << 20 }; /* three steps */

int __wrap_clock_gettime(clockid_t clock, struct timespec *t);

/* A turn is over at the second look at the clock. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
	static uint64_t ms;

	(void)clock;
	ms += 3;
	*t = (struct timespec){.tv_sec = (time_t)(ms / 1000),
			       .tv_nsec = (long)(ms % 1000) * 1000000};
	return 0;
}

static int make_disk(void)
{
	int fd = testing_file("", 0);

	assert_int_equal(ftruncate(fd, LEN), 0);
	return fd;
}

static char byte_at(int fd, uint64_t at)
{
	char c = 0;

	assert_int_equal(pread(fd, &c, 1, (off_t)at), 1);
	return c;
}

static void half_a_request_is_done_again_in_the_new_file(void **state)
{
	static const struct rate_limiter_update same;
	AUTO_CLOSE int old = make_disk();
	AUTO_CLOSE int new = make_disk();
	gpa_t header, data = DRIVER_RAM + (2 << 20);
	struct err e;

	(void)state;
	driver_begin(&d);
	config = (struct block_config){.id = (char *)"data",
				       .path = (char *)testing_file_path(old),
				       .writeback = true};
	disk_create();
	header = driver_alloc(&d, 32);
	memset(driver_at(&d, data), 'x', LEN);
	*(struct virtio_blk_outhdr *)driver_at(&d, header) =
		(struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_OUT};
	driver_add(&d, 0,
		   (struct driver_buffer[]){{header, 16, false},
					    {data, LEN, false},
					    {header + 16, 1, true}},
		   3);
	driver_kick(&d, 0);
	driver_poll(&d, 0);
	assert_int_equal(d.dev->inflight, 1);
	assert_int_equal(byte_at(old, 0), 'x');
	assert_int_equal(byte_at(old, LEN - 1), 0);
	assert_ok(block_patch(d.dev, testing_file_path(new), &same, &e), e);
	driver_run(&d);
	assert_true(driver_used(&d, 0, NULL, NULL));
	assert_int_equal(*(uint8_t *)driver_at(&d, header + 16), 0);
	assert_int_equal(byte_at(new, 0), 'x');
	assert_int_equal(byte_at(new, LEN - 1), 'x');
	assert_int_equal(byte_at(old, LEN - 1), 0);
	driver_end(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(half_a_request_is_done_again_in_the_new_file),
	};

	return RUN_TESTS("block_change", tests);
}
