/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver on a vCPU's thread, the device on the main one: resets at any
 * moment, and the barriers between the two.  Meant for ThreadSanitizer.
 */
#include <fcntl.h>
#include <liburing.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/virtio/block/block.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_driver.h"

enum { SECTOR = 512, SECTORS = 64, SIZE = 16, ROUNDS = 400, EACH = 4 };

static struct driver d;
static int disk_fd;
static atomic_bool done;
static unsigned wrong, answered;
static bool by_workers;

int __wrap_io_uring_register_restrictions(struct io_uring *ring,
					  struct io_uring_restriction *allowed,
					  unsigned count);

/* They would not allow IOSQE_ASYNC. */
int __wrap_io_uring_register_restrictions(struct io_uring *ring,
					  struct io_uring_restriction *allowed,
					  unsigned count)
{
	(void)ring;
	(void)allowed;
	(void)count;
	return 0;
}

/* Nothing is done at once by the kernel: threads of its own do it, later. */
static void mark(struct io_uring *ring)
{
	for (unsigned i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++)
		ring->sq.sqes[i & ring->sq.ring_mask].flags |=
			by_workers ? IOSQE_ASYNC : 0;
}

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);

int __wrap_io_uring_submit(struct io_uring *ring)
{
	mark(ring);
	return __real_io_uring_submit(ring);
}

static int begin(void **state)
{
	static char image[SECTORS * SECTOR];
	struct block_config config = {.id = (char *)"x"};
	struct virtio_slot slot;
	struct err e;

	for (unsigned i = 0; i < sizeof(image); i++)
		image[i] = (char)(i / SECTOR + 1);
	disk_fd = testing_file(image, sizeof(image));
	driver_begin(&d);
	slot = driver_slot(&d);
	config.path = (char *)testing_file_path(disk_fd);
	by_workers = *state == &by_workers;
	config.async = *state;
	d.dev = block_create(&slot, &config, &e);
	if (!d.dev)
		fail_msg("%s", e.text);
	done = false;
	wrong = answered = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	driver_end(&d);
	close(disk_fd);
	return 0;
}

static gpa_t ask(unsigned sector)
{
	gpa_t at = driver_alloc(&d, 16 + SECTOR + 1);
	struct virtio_blk_outhdr *h = driver_at(&d, at);
	struct driver_buffer buffers[] = {{at, 16, false},
					  {at + 16, SECTOR + 1, true}};

	*h = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_IN,
					.sector = sector};
	driver_add(&d, 0, buffers, 2);
	driver_kick(&d, 0);
	return at + 16;
}

static void check(gpa_t data, unsigned sector)
{
	const char *p = driver_at(&d, data);

	answered++;
	if (p[0] != (char)(sector + 1) || p[SECTOR - 1] != p[0] || p[SECTOR])
		wrong++;
}

static void *drive(void *arg)
{
	(void)arg;
	for (unsigned round = 0; round < ROUNDS; round++) {
		gpa_t data[EACH];

		d.free = DRIVER_DATA;
		driver_negotiate(&d, d.dev->offered);
		driver_set_queue(&d, 0, SIZE);
		driver_go(&d);
		for (unsigned i = 0; i < EACH; i++)
			data[i] = ask((round + i) % SECTORS);
		/* Every other time, reset with all of it on its way. */
		for (unsigned i = 0; round % 2 && i < EACH; i++) {
			uint32_t head;

			while (!driver_used(&d, 0, &head, NULL))
				usleep(10);
			check(data[head / 2], (round + head / 2) % SECTORS);
		}
		driver_set(&d, VIRTIO_MMIO_INTERRUPT_ACK, 3);
		driver_set(&d, VIRTIO_MMIO_STATUS, 0);
		/* The memory is the driver's again: nobody else writes here. */
		memset(driver_at(&d, DRIVER_DATA), 0, d.free - DRIVER_DATA);
	}
	done = true;
	return NULL;
}

static void driver_resets_at_any_moment(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, drive, NULL), 0);
	while (!done)
		driver_poll(&d, 5);
	pthread_join(thread, NULL);
	assert_int_equal(wrong, 0);
	assert_int_equal(answered, ROUNDS / 2 * EACH);
	assert_int_equal(d.dev->inflight, 0);
}

/* Put a pipe in the place of the disk: what is read from it is in flight until
 * somebody writes. */
static void replace_disk(int fd)
{
	struct stat disk, st;

	assert_int_equal(fstat(disk_fd, &disk), 0);
	for (int i = 0; i < 256; i++) {
		if (i != disk_fd && !fstat(i, &st) &&
		    st.st_ino == disk.st_ino && st.st_dev == disk.st_dev)
			assert_int_equal(dup2(fd, i), i);
	}
}

static void *reset(void *arg)
{
	(void)arg;
	driver_set(&d, VIRTIO_MMIO_STATUS, 0);
	done = true;
	return NULL;
}

static void reset_waits_for_the_disk(void **state)
{
	char sector[SECTOR] = "late";
	pthread_t thread;
	int fds[2];
	gpa_t data;

	(void)state;
	if (!block_is_async(d.dev))
		skip();
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	replace_disk(fds[0]);
	driver_start(&d, d.dev->offered, SIZE);
	data = ask(0);
	driver_run(&d);
	assert_int_equal(d.dev->inflight, 1);
	assert_int_equal(pthread_create(&thread, NULL, reset, NULL), 0);
	for (int i = 0; i < 20; i++) {
		usleep(1000);
		assert_false(done);
	}
	assert_int_equal(write(fds[1], sector, SECTOR), SECTOR);
	while (!done)
		driver_poll(&d, 5);
	pthread_join(thread, NULL);
	assert_int_equal(d.dev->inflight, 0);
	assert_string_equal(driver_at(&d, data), "late");
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"sync", driver_resets_at_any_moment, begin, end, NULL},
		{"async", driver_resets_at_any_moment, begin, end, &d},
		{"reset waits", reset_waits_for_the_disk, begin, end, &d},
		{"by workers", driver_resets_at_any_moment, begin, end,
		 &by_workers},
	};

	return RUN_TESTS("virtio_thread", tests);
}
