/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a disk may hold the main loop, and what of its work is charged:
 * devices/virtio/block/block.c, block_step.c.  Storage is this test's: each of
 * its calls takes as long as it says, on a clock that stands still otherwise.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/now.h"
#include "core/base/util.h"
#include "devices/virtio/block/block.h"
#include "snapshot/codec.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_block_guest.h"

enum { SECTOR = 512, RING = 256, CHAIN = 66, STATUS_UNSET = 0x77 };
enum { DISK = 64 << 20, DISK_SECTORS = DISK / SECTOR };

static int disk_fd;
static gpa_t status_at;
static unsigned calls;
static struct {
	uint64_t ns_per_mib, ns_per_sync, ns_per_call;
	int allocate_fails;     /* with this errno; EINVAL: what is unaligned */
	uint64_t zero, punched; /* bytes */
	bool is_real;
} storage;

ssize_t __real_pwritev64v2(int fd, const struct iovec *iov, int n, off_t at,
			   int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *iov, int n, off_t at,
			   int flags);
ssize_t __wrap_preadv64v2(int fd, const struct iovec *iov, int n, off_t at,
			  int flags);
int __real_fallocate64(int fd, int mode, off_t at, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t at, off_t len);
int __wrap_fdatasync(int fd);

static void spend(uint64_t ns)
{
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC) + ns + storage.ns_per_call;

	calls++;
	fake_clock_set((int64_t)(now / NS_PER_S), (long)(now % NS_PER_S));
}

static ssize_t move(const struct iovec *iov, int n)
{
	uint64_t len = 0;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	spend(len * storage.ns_per_mib >> 20);
	return (ssize_t)len;
}

ssize_t __wrap_pwritev64v2(int fd, const struct iovec *iov, int n, off_t at,
			   int flags)
{
	ssize_t len = move(iov, n);

	storage.zero += (uint64_t)len;
	return storage.is_real ? __real_pwritev64v2(fd, iov, n, at, flags)
			       : len;
}

ssize_t __wrap_preadv64v2(int fd, const struct iovec *iov, int n, off_t at,
			  int flags)
{
	(void)(fd + at + flags);
	return move(iov, n);
}

int __wrap_fallocate64(int fd, int mode, off_t at, off_t len)
{
	int error = storage.allocate_fails;

	assert_true(mode & FALLOC_FL_KEEP_SIZE);
	if (error == EINVAL && !((at | len) % 4096))
		error = 0;
	errno = error;
	spend(error ? 0 : (uint64_t)len * storage.ns_per_mib >> 24);
	if (error)
		return -1;
	storage.punched += (uint64_t)len;
	return storage.is_real ? __real_fallocate64(fd, mode, at, len) : 0;
}

int __wrap_fdatasync(int fd)
{
	(void)fd;
	spend(storage.ns_per_sync);
	return 0;
}

static int begin(void **state)
{
	(void)state;
	disk_fd = testing_file("", 0);
	assert_int_equal(ftruncate(disk_fd, DISK), 0);
	driver_begin(&d);
	d.indirect = true;
	memset(&storage, 0, sizeof(storage));
	storage.ns_per_mib = 1000000;
	storage.ns_per_sync = 5000000;
	config = (struct block_config){
		.id = (char *)"data",
		.path = (char *)testing_file_path(disk_fd),
		.writeback = true,
	};
	return 0;
}

static int end(void **state)
{
	(void)state;
	driver_end(&d);
	close(disk_fd);
	return 0;
}

static void create(void)
{
	struct virtio_slot slot = driver_slot(&d);
	struct err e;

	d.dev = block_create(&slot, &config, &e);
	if (!d.dev)
		fail_msg("%s", e.text);
	driver_start(&d, d.dev->offered, RING);
	status_at = driver_alloc(&d, RING);
	memset(driver_at(&d, status_at), STATUS_UNSET, RING);
	calls = 0;
}

/* The status of the @i-th request that was added. */
static unsigned status_of(unsigned i)
{
	return ((uint8_t *)driver_at(&d, status_at))[i];
}

/* The same MiB over and over again, which has to be somewhere. */
static void add_data(uint32_t type, unsigned mib, unsigned i)
{
	bool in = type == VIRTIO_BLK_T_IN;
	gpa_t header = driver_alloc(&d, 16);
	struct driver_buffer buffers[CHAIN] = {{header, 16, false}};

	*(struct virtio_blk_outhdr *)driver_at(&d, header) =
		(struct virtio_blk_outhdr){.type = type};
	for (unsigned k = 1; k <= mib; k++)
		buffers[k] = (struct driver_buffer){DRIVER_RAM + (6 << 20),
						    1 << 20, in};
	buffers[mib + 1] = (struct driver_buffer){status_at + i, 1, true};
	driver_add(&d, 0, buffers, mib + 2);
}

static void add_range(uint32_t type, uint64_t sector, uint32_t sectors,
		      uint32_t flags, unsigned i)
{
	gpa_t at = driver_alloc(&d, 32);
	struct driver_buffer buffers[] = {{at, 32, false},
					  {status_at + i, 1, true}};

	*(struct virtio_blk_outhdr *)driver_at(&d, at) =
		(struct virtio_blk_outhdr){.type = type};
	*(struct virtio_blk_discard_write_zeroes *)driver_at(&d, at + 16) =
		(struct virtio_blk_discard_write_zeroes){sector, sectors,
							 flags};
	driver_add(&d, 0, buffers, 2);
}

static unsigned take_used(void)
{
	unsigned count = 0;

	while (driver_used(&d, 0, NULL, NULL))
		count++;
	return count;
}

/* --------------------------------------------------------- the loop is free */

struct load {
	const char *name;
	uint32_t type;
	unsigned count;
	uint32_t sectors; /* of a range; MiB of data */
	int allocate_fails;
	uint64_t bound_ns; /* of one dispatch */
};

static void make_load(const struct load *l)
{
	storage.allocate_fails = l->allocate_fails;
	for (unsigned i = 0; i < l->count; i++) {
		if (l->type == VIRTIO_BLK_T_DISCARD ||
		    l->type == VIRTIO_BLK_T_WRITE_ZEROES)
			add_range(l->type, 0, l->sectors, 0, i);
		else
			add_data(l->type, l->sectors, i);
	}
	driver_kick(&d, 0);
}

/* However much one kick asks for, each dispatch takes a few milliseconds. */
static void long_work_leaves_the_loop_in_between(void **state)
{
	static const struct load loads[] = {
		{"zeros by fallocate", VIRTIO_BLK_T_WRITE_ZEROES, 250, 1 << 15,
		 0, 4000000},
		{"zeros by hand", VIRTIO_BLK_T_WRITE_ZEROES, 20, 1 << 15,
		 EOPNOTSUPP, 4000000},
		{"discard", VIRTIO_BLK_T_DISCARD, 250, DISK_SECTORS, 0,
		 4000000},
		{"flush", VIRTIO_BLK_T_FLUSH, 250, 0, 0, 5000000},
		{"read", VIRTIO_BLK_T_IN, 4, 64, 0, 4000000},
		{"write", VIRTIO_BLK_T_OUT, 4, 64, 0, 4000000},
		{"small reads", VIRTIO_BLK_T_IN, 250, 1, 0, 4000000},
	};

	(void)state;
	for (unsigned k = 0; k < ARRAY_SIZE(loads); k++) {
		const struct load *l = &loads[k];
		unsigned done = 0, polls = 0;
		uint64_t before;

		d.free = DRIVER_DATA;
		create();
		make_load(l);
		do {
			before = clock_now_ns(CLOCK_MONOTONIC);
			polls++;
			if (!driver_poll(&d, 0))
				break;
			done += take_used();
			if (clock_now_ns(CLOCK_MONOTONIC) - before >
			    l->bound_ns)
				fail_msg("%s: the loop was held", l->name);
		} while (done < l->count);
		assert_int_equal(done, l->count);
		assert_in_range(polls, 10, 3000);
		for (unsigned i = 0; i < l->count; i++)
			assert_int_equal(status_of(i), VIRTIO_BLK_S_OK);
		assert_int_equal(d.dev->inflight, 0);
		driver_run(&d);
		virtio_destroy(d.dev);
		d.dev = NULL;
	}
}

/* What was done of a request before a pause is done again after it. */
static void half_a_request_is_given_back(void **state)
{
	struct snap s;
	struct err e;

	(void)state;
	create();
	storage.allocate_fails = EOPNOTSUPP;
	add_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1 << 15, 0, 0);
	driver_kick(&d, 0);
	driver_poll(&d, 0);
	assert_in_range(storage.zero, 1, 15 << 20);
	assert_int_equal(d.dev->inflight, 1);
	virtio_quiesce(d.dev, UINT64_MAX);
	assert_int_equal(d.dev->inflight, 0);
	snap_save(&s, 1);
	virtio_state(d.dev, &s);
	assert_ok(snap_finish(&s, &e), e);
	snap_fini(&s);
	driver_run(&d);
	assert_int_equal(take_used(), 0);
	storage.zero = 0;
	virtio_resume(d.dev);
	driver_run(&d);
	assert_int_equal(take_used(), 1);
	assert_int_equal(status_of(0), VIRTIO_BLK_S_OK);
	assert_int_equal(storage.zero, 16 << 20);
}

static void reset_forgets_half_a_request(void **state)
{
	(void)state;
	create();
	storage.allocate_fails = EOPNOTSUPP;
	add_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 1 << 15, 0, 0);
	driver_kick(&d, 0);
	driver_poll(&d, 0);
	assert_int_equal(d.dev->inflight, 1);
	driver_set(&d, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(d.dev->inflight, 0);
	driver_start(&d, d.dev->offered, RING);
	assert_int_equal(take_used(), 0);
	add_data(VIRTIO_BLK_T_IN, 1, 1);
	driver_kick(&d, 0);
	driver_run(&d);
	assert_int_equal(take_used(), 1);
	assert_int_equal(status_of(0), STATUS_UNSET);
	assert_int_equal(status_of(1), VIRTIO_BLK_S_OK);
}

/* The same steps, by io_uring: its calls are the kernel's, not this test's. */
static void steps_go_through_the_ring(void **state)
{
	static const uint8_t filled[4096] = {[0 ... 4095] = 0xa5};
	uint8_t got[4096], zeros[4096] = {0};

	(void)state;
	config.async = true;
	create();
	if (!block_is_async(d.dev))
		skip();
	for (unsigned mib = 0; mib < 64; mib++)
		assert_int_equal(
			pwrite(disk_fd, filled, sizeof(filled), mib << 20),
			sizeof(filled));
	memset(driver_at(&d, DRIVER_RAM + (6 << 20)), 0x3c, 1 << 20);
	add_range(VIRTIO_BLK_T_WRITE_ZEROES, (16 << 20) / SECTOR, 1 << 15, 0,
		  0);
	add_range(VIRTIO_BLK_T_DISCARD, (32 << 20) / SECTOR, 1 << 16, 0, 1);
	add_data(VIRTIO_BLK_T_OUT, 9, 2);
	add_data(VIRTIO_BLK_T_FLUSH, 0, 3);
	driver_kick(&d, 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(driver_wait_used(&d, 0));
		driver_used(&d, 0, NULL, NULL);
	}
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(status_of(i), VIRTIO_BLK_S_OK);
	for (unsigned mib = 0; mib < 64; mib++) {
		assert_int_equal(pread(disk_fd, got, sizeof(got), mib << 20),
				 sizeof(got));
		if (mib >= 16)
			assert_memory_equal(got, zeros, sizeof(got));
		else
			assert_int_equal(got[0], mib < 9 ? 0x3c : 0xa5);
	}
	add_data(VIRTIO_BLK_T_IN, 9, 4);
	driver_kick(&d, 0);
	assert_true(driver_wait_used(&d, 0));
	assert_int_equal(status_of(4), VIRTIO_BLK_S_OK);
	assert_int_equal(block_metrics(d.dev)->read_bytes, 9 << 20);
}

/* -------------------------------------------------------------- is charged */

static void ranges_are_charged_as_data(void **state)
{
	static const struct {
		uint32_t type;
		unsigned done; /* of 8, before the limiter holds them back */
	} cases[] = {
		{VIRTIO_BLK_T_WRITE_ZEROES, 3}, {VIRTIO_BLK_T_DISCARD, 3},
		{VIRTIO_BLK_T_OUT, 3},          {VIRTIO_BLK_T_IN, 3},
		{VIRTIO_BLK_T_FLUSH, 6}, /* an operation without bytes */
	};

	(void)state;
	/* Three MiB at once, and the fourth after a third of the time. */
	config.limiter.bandwidth =
		(struct token_bucket_config){3 << 20, 3000000, 0};
	config.limiter.ops = (struct token_bucket_config){6, 1000000, 0};
	for (unsigned k = 0; k < ARRAY_SIZE(cases); k++) {
		struct load l = {.type = cases[k].type, .count = 8};
		bool is_range = l.type == VIRTIO_BLK_T_WRITE_ZEROES ||
				l.type == VIRTIO_BLK_T_DISCARD;

		if (l.type != VIRTIO_BLK_T_FLUSH)
			l.sectors = is_range ? (1 << 20) / SECTOR : 1;
		d.free = DRIVER_DATA;
		create();
		make_load(&l);
		driver_run(&d);
		assert_int_equal(take_used(), cases[k].done);
		assert_int_equal(
			block_metrics(d.dev)->rate_limiter_throttled_events, 1);
		virtio_destroy(d.dev);
		d.dev = NULL;
	}
}

/* ------------------------------------------------- what storage cannot do */

static void check_bytes(uint64_t from, uint64_t to, uint8_t want)
{
	uint8_t got;

	for (uint64_t at = from; at < to; at++) {
		assert_int_equal(pread(disk_fd, &got, 1, (off_t)at), 1);
		if (got != want)
			fail_msg("byte %llu is %u", (unsigned long long)at,
				 got);
	}
}

/* Sectors of 4 KiB below: head and tail by hand, a hole in between. */
static void unaligned_zeros_are_written_by_hand(void **state)
{
	uint8_t data[16 * SECTOR * 4];

	(void)state;
	memset(data, 0xa5, sizeof(data));
	assert_int_equal(pwrite(disk_fd, data, sizeof(data), 0), sizeof(data));
	storage.is_real = true;
	storage.allocate_fails = EINVAL;
	create();
	add_range(VIRTIO_BLK_T_WRITE_ZEROES, 3, 37, 1, 0);
	driver_kick(&d, 0);
	driver_run(&d);
	assert_int_equal(status_of(0), VIRTIO_BLK_S_OK);
	check_bytes(0, 3 * SECTOR, 0xa5);
	check_bytes(3 * SECTOR, 40 * SECTOR, 0);
	check_bytes(40 * SECTOR, sizeof(data), 0xa5);
	assert_int_equal(storage.punched, 32 * SECTOR);
	assert_int_equal(storage.zero, 5 * SECTOR);
	/* Less than any of its sectors. */
	add_range(VIRTIO_BLK_T_WRITE_ZEROES, 41, 2, 1, 1);
	driver_kick(&d, 0);
	driver_run(&d);
	assert_int_equal(status_of(1), VIRTIO_BLK_S_OK);
	check_bytes(41 * SECTOR, 43 * SECTOR, 0);
	check_bytes(43 * SECTOR, sizeof(data), 0xa5);
}

/* Ignored at first, then done as far as it is possible. */
static void unaligned_discard_is_no_error(void **state)
{
	(void)state;
	storage.allocate_fails = EINVAL;
	create();
	for (unsigned i = 0; i < 3; i++) {
		/* The third is less than a sector of what is below. */
		add_range(VIRTIO_BLK_T_DISCARD, 3, i == 2 ? 2 : 37, 0, i);
		driver_kick(&d, 0);
		driver_run(&d);
		assert_int_equal(status_of(i), VIRTIO_BLK_S_OK);
		assert_int_equal(storage.punched, i ? 32 * SECTOR : 0);
	}
	assert_int_equal(block_metrics(d.dev)->execute_fails, 0);
}

static void failed_range_is_an_error(void **state)
{
	(void)state;
	storage.allocate_fails = EIO;
	create();
	add_range(VIRTIO_BLK_T_DISCARD, 0, 8, 0, 0);
	add_range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0, 1);
	driver_kick(&d, 0);
	driver_run(&d);
	assert_int_equal(take_used(), 2);
	assert_int_equal(status_of(0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(status_of(1), VIRTIO_BLK_S_IOERR);
	assert_int_equal(block_metrics(d.dev)->execute_fails, 2);
}

/* What most kicks bring costs one system call and two looks at the clock. */
static void one_request_is_timed(void **state)
{
	unsigned reads;

	(void)state;
	create();
	add_data(VIRTIO_BLK_T_IN, 1, 0);
	driver_kick(&d, 0);
	reads = fake_clock_reads();
	driver_run(&d);
	assert_int_equal(take_used(), 1);
	assert_int_equal(calls, 1);
	assert_int_equal(fake_clock_reads() - reads,
			 3); /* one is storage's own */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(long_work_leaves_the_loop_in_between),
		TEST(half_a_request_is_given_back),
		TEST(reset_forgets_half_a_request),
		TEST(steps_go_through_the_ring),
		TEST(ranges_are_charged_as_data),
		TEST(unaligned_zeros_are_written_by_hand),
		TEST(unaligned_discard_is_no_error),
		TEST(failed_range_is_an_error),
		TEST(one_request_is_timed),
	};

	return RUN_TESTS("block_turn", tests);
}
