/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is behind a disk: devices/virtio/block/block.c, block_file.c.
 */
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/log.h"
#include "devices/virtio/block/block.h"
#include "snapshot/codec.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_block_guest.h"

enum { SECTOR = 512, SECTORS = 64 };

static char dir[64], path[96];
static const struct rate_limiter_update same;
static void make_file(const char *name, uint64_t sectors, char fill)
{
	char block[SECTOR];
	int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	memset(block, fill, sizeof(block));
	for (uint64_t i = 0; i < sectors; i++)
		assert_int_equal(write(fd, block, SECTOR), SECTOR);
	close(fd);
}

static int begin(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/block_file_test.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/disk", dir);
	make_file(path, SECTORS, 'a');
	driver_begin(&d);
	config = (struct block_config){
		.id = (char *)"data", .path = path, .writeback = true};
	return 0;
}

static int end(void **state)
{
	(void)state;
	driver_end(&d);
	unlink(path);
	rmdir(dir);
	return 0;
}

static struct virtio_device *make(struct err *e)
{
	struct virtio_slot slot = driver_slot(&d);

	return block_create(&slot, &config, e);
}

/* --------------------------------------------------------- what is refused */

static void refused(const char *part)
{
	unsigned before = testing_count_fds();
	struct err e;

	assert_err(block_check(&config, &e), e, part);
	assert_null(make(&e));
	assert_contains(e.text, part);
	assert_contains(e.text, "Virtio backend error: Error manipulating the "
				"backing file: ");
	assert_int_equal(testing_count_fds(), before);
}

static void what_is_no_disk_is_refused(void **state)
{
	char fifo[96];

	(void)state;
	config.path = (char *)"/nonexistent/disk";
	refused("No such file or directory (os error 2) /nonexistent/disk");
	config.path = dir;
	refused("Is a directory (os error 21) /tmp/");
	config.read_only = true;
	refused("Is a directory (os error 21) /tmp/");
	config.path = (char *)"/dev/null";
	refused("Illegal seek (os error 29) /dev/null");
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	config.path = fifo;
	refused("Illegal seek (os error 29)");
	unlink(fifo);
}

static void file_without_permission_is_refused(void **state)
{
	const uid_t nobody = 65534;

	(void)state;
	chmod(path, 0400);
	/* To root nothing is forbidden; as another file system user, it is. */
	setfsuid(geteuid() ? geteuid() : nobody);
	refused("Permission denied (os error 13)");
	setfsuid(geteuid());
}

static void second_writer_is_refused(void **state)
{
	(void)state;
	disk_create();
	refused("in use by somebody else (another virtual machine, perhaps");
	config.read_only = true;
	refused("in use by somebody else who writes to it");
}

static void readers_share(void **state)
{
	struct virtio_device *other;
	struct err e;

	(void)state;
	config.read_only = true;
	disk_create();
	other = make(&e);
	assert_non_null(other);
	virtio_destroy(other);
	config.read_only = false;
	refused("in use by somebody else");
}

/* Else io_uring would wait for it within the submitting call. */
static void image_may_wait(void **state)
{
	struct stat st, disk;
	unsigned found = 0;

	(void)state;
	disk_create();
	assert_int_equal(stat(path, &disk), 0);
	for (int fd = 3; fd < 100; fd++) {
		if (fstat(fd, &st) || st.st_ino != disk.st_ino ||
		    st.st_dev != disk.st_dev)
			continue;
		found++;
		assert_int_equal(fcntl(fd, F_GETFL) & (O_NONBLOCK | O_ACCMODE),
				 O_RDWR);
	}
	assert_int_equal(found, 1);
}

static void lock_ends_with_the_device(void **state)
{
	struct err e;

	(void)state;
	disk_create();
	virtio_destroy(d.dev);
	d.dev = NULL;
	assert_ok(block_check(&config, &e), e);
}

static void nothing_is_left_open(void **state)
{
	unsigned before = testing_count_fds();

	(void)state;
	config.limiter.ops = (struct token_bucket_config){10, 100, 0};
	config.async = true;
	disk_create();
	virtio_destroy(d.dev);
	d.dev = NULL;
	assert_int_equal(testing_count_fds(), before);
}

/* ------------------------------------------------------------------ changes */

static void configuration_tells_size_and_limits(void **state)
{
	(void)state;
	disk_create();
	assert_int_equal(driver_config(&d, 0, 8), SECTORS);
	assert_int_equal(
		driver_config(&d, offsetof(struct virtio_blk_config, seg_max),
			      4),
		254);
}

static void another_file_takes_its_place(void **state)
{
	char other[96], data[SECTOR];
	struct err e;

	(void)state;
	disk_create();
	snprintf(other, sizeof(other), "%s/other", dir);
	make_file(other, 7, 'b');
	assert_ok(block_patch(d.dev, other, &same, &e), e);
	assert_int_equal(driver_config(&d, 0, 8), 7);
	assert_int_equal(driver_interrupts(&d), 1);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS),
			 VIRTIO_MMIO_INT_CONFIG);
	assert_int_equal(disk_request(VIRTIO_BLK_T_IN, 6, SECTOR, data), 0);
	assert_int_equal(data[0], 'b');
	assert_int_equal(disk_request(VIRTIO_BLK_T_IN, 7, SECTOR, data), 1);
	/* The first one is free again. */
	assert_ok(block_check(&config, &e), e);
	unlink(other);
}

static void file_may_grow(void **state)
{
	char data[SECTOR] = "";
	struct err e;

	(void)state;
	disk_create();
	assert_int_equal(disk_request(VIRTIO_BLK_T_IN, SECTORS, SECTOR, data),
			 1);
	assert_int_equal(truncate(path, 2 * SECTORS * SECTOR), 0);
	assert_ok(block_patch(d.dev, path, &same, &e), e);
	assert_int_equal(driver_config(&d, 0, 8), 2 * SECTORS);
	assert_int_equal(disk_request(VIRTIO_BLK_T_IN, SECTORS, SECTOR, data),
			 0);
	/* And is still locked. */
	refused("in use by somebody else");
}

static void failed_change_changes_nothing(void **state)
{
	char data[SECTOR];
	struct err e;

	(void)state;
	disk_create();
	assert_err(block_patch(d.dev, "/nonexistent", &same, &e), e,
		   "(os error 2)");
	assert_int_equal(driver_interrupts(&d), 0);
	assert_int_equal(disk_request(VIRTIO_BLK_T_IN, 0, SECTOR, data), 0);
	assert_int_equal(data[0], 'a');
	assert_int_equal(block_metrics(d.dev)->update_fails, 1);
	refused("in use by somebody else");
}

/* -------------------------------------------------------------------- state */

static void save(struct snap *s)
{
	struct err e;

	virtio_quiesce(d.dev, UINT64_MAX);
	snap_save(s, 1);
	virtio_state(d.dev, s);
	assert_ok(snap_finish(s, &e), e);
	virtio_destroy(d.dev);
}

/* Into a device of the file as it is now. */
static int load(const struct snap *s, struct err *e)
{
	struct snap in;
	size_t len;
	const void *data = snap_data(s, &len);

	d.dev = make(e);
	assert_non_null(d.dev);
	snap_load(&in, data, len, 1);
	virtio_state(d.dev, &in);
	return snap_finish(&in, e);
}

static void loaded_disk_goes_on(void **state)
{
	struct snap s;
	struct err e;

	(void)state;
	config.limiter.ops = (struct token_bucket_config){7, 1000000, 0};
	disk_create();
	assert_int_equal(disk_request(VIRTIO_BLK_T_IN, 0, SECTOR, NULL), 0);
	save(&s);
	config.limiter = (struct rate_limiter_config){0};
	assert_ok(load(&s, &e), e);
	driver_interrupts(&d);
	virtio_resume(d.dev);
	/* What it had seen before has not changed. */
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS) &
				 VIRTIO_MMIO_INT_CONFIG,
			 0);
	for (int i = 0; i < 6; i++)
		assert_int_equal(disk_request(VIRTIO_BLK_T_IN, 0, SECTOR, NULL),
				 0);
	snap_fini(&s);
}

/* The guest is told of a larger one as soon as it runs. */
static void loaded_disk_may_have_grown_but_not_shrunk(void **state)
{
	struct snap s;
	struct err e;
	uint32_t generation;

	(void)state;
	disk_create();
	generation = driver_get(&d, VIRTIO_MMIO_CONFIG_GENERATION);
	save(&s);
	assert_int_equal(truncate(path, 2 * SECTORS * SECTOR), 0);
	assert_ok(load(&s, &e), e);
	driver_interrupts(&d); /* lost: the interrupt controller comes later */
	virtio_resume(d.dev);
	assert_true(driver_interrupts(&d) > 0);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_INTERRUPT_STATUS) &
				 VIRTIO_MMIO_INT_CONFIG,
			 VIRTIO_MMIO_INT_CONFIG);
	assert_int_not_equal(driver_get(&d, VIRTIO_MMIO_CONFIG_GENERATION),
			     generation);
	assert_int_equal(driver_config(&d, 0, 8), 2 * SECTORS);
	assert_int_equal(
		disk_request(VIRTIO_BLK_T_IN, 2 * SECTORS - 1, SECTOR, NULL),
		0);
	virtio_destroy(d.dev);

	assert_int_equal(truncate(path, SECTOR), 0);
	assert_err(load(&s, &e), e,
		   "drive data has 512 bytes, and had 32768 when the snapshot "
		   "was taken");
	snap_fini(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_no_disk_is_refused),
		TEST(file_without_permission_is_refused),
		TEST(second_writer_is_refused),
		TEST(readers_share),
		TEST(image_may_wait),
		TEST(lock_ends_with_the_device),
		TEST(nothing_is_left_open),
		TEST(configuration_tells_size_and_limits),
		TEST(another_file_takes_its_place),
		TEST(file_may_grow),
		TEST(failed_change_changes_nothing),
		TEST(loaded_disk_goes_on),
		TEST(loaded_disk_may_have_grown_but_not_shrunk),
	};

	return RUN_TESTS("block_file", tests);
}
