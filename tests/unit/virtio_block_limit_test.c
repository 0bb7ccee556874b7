/* SPDX-License-Identifier: Apache-2.0 */
/* A disk with limits, on the host's clock: devices/virtio/rate_limiter.c. */
#include <linux/virtio_blk.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "devices/virtio/block/block.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_block_guest.h"

enum { SECTOR = 512 };

static int disk_fd;

static int begin(void **state)
{
	static const char image[64 * SECTOR];

	(void)state;
	disk_fd = testing_file(image, sizeof(image));
	driver_begin(&d);
	config = (struct block_config){
		.id = (char *)"data",
		.path = (char *)testing_file_path(disk_fd)};
	return 0;
}

static int end(void **state)
{
	(void)state;
	driver_end(&d);
	close(disk_fd);
	return 0;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void operations_are_limited(void **state)
{
	uint64_t begun, waits;

	(void)state;
	config.limiter.ops = (struct token_bucket_config){5, 100, 0};
	disk_create();
	begun = now_ms();
	for (int i = 0; i < 15; i++) /* 5 at once, 10 at 50 per second */
		assert_int_equal(disk_request(VIRTIO_BLK_T_IN, 0, SECTOR, NULL),
				 0);
	/* How late it may be is the machine's business, which may be busy:
	 * then a wait earns more than one operation. */
	assert_in_range(now_ms() - begun, 199, 60000);
	waits = block_metrics(d.dev)->rate_limiter_throttled_events;
	assert_in_range(waits, 1, 10);
	assert_int_equal(block_metrics(d.dev)->rate_limiter_event_count, waits);
}

static void bytes_are_limited(void **state)
{
	uint64_t begun;

	(void)state;
	config.limiter.bandwidth =
		(struct token_bucket_config){4 * SECTOR, 40, 4 * SECTOR};
	disk_create();
	begun = now_ms();
	for (int i = 0; i < 14; i++) /* 8 at once, 6 in 60 ms */
		assert_int_equal(disk_request(VIRTIO_BLK_T_IN, 0, SECTOR, NULL),
				 0);
	assert_in_range(now_ms() - begun, 59, 60000);
}

static void limit_can_be_lifted_while_it_holds(void **state)
{
	const struct token_bucket_config none = {0, 0, 0};
	struct rate_limiter_update update = {NULL, &none};
	struct err e;

	(void)state;
	config.limiter.ops = (struct token_bucket_config){1, 1000000, 0};
	disk_create();
	assert_int_equal(disk_request(VIRTIO_BLK_T_IN, 0, SECTOR, NULL), 0);
	for (int i = 0; i < 2; i++) {
		gpa_t at = driver_alloc(&d, 32);
		struct driver_buffer buffers[] = {{at, 16, false},
						  {at + 16, 1, true}};

		memset(driver_at(&d, at), 0, 16);
		driver_add(&d, 0, buffers, 2);
	}
	driver_kick(&d, 0);
	driver_run(&d);
	assert_false(driver_used(&d, 0, NULL, NULL));
	assert_ok(block_patch(d.dev, NULL, &update, &e), e);
	assert_true(driver_used(&d, 0, NULL, NULL));
	assert_true(driver_used(&d, 0, NULL, NULL));
}

static void reset_while_throttled(void **state)
{
	(void)state;
	config.limiter.ops = (struct token_bucket_config){1, 50, 0};
	disk_create();
	for (int i = 0; i < 3; i++)
		assert_int_equal(disk_request(VIRTIO_BLK_T_IN, 0, SECTOR, NULL),
				 0);
	driver_set(&d, VIRTIO_MMIO_STATUS, 0);
	driver_start(&d, d.dev->offered, DISK_RING);
	assert_int_equal(disk_request(VIRTIO_BLK_T_IN, 0, SECTOR, NULL), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(operations_are_limited),
		TEST(bytes_are_limited),
		TEST(limit_can_be_lifted_while_it_holds),
		TEST(reset_while_throttled),
	};

	return RUN_TESTS("block_limit", tests);
}
