/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host does with a disk's requests, and what may go wrong there:
 * devices/virtio/block/block_step.c, block_async.c.  Some of libc fails when
 * told to.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/util.h"
#include "devices/virtio/block/block.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_block_guest.h"

enum { SECTOR = 512, SECTORS = 64 };

static char dir[64], path[96];
static const struct rate_limiter_update same;
static int fail_with; /* errno of what is wrapped */
static bool short_reads;
static int write_flags;
/* What the page cache has: bytes, or -errno. */
static ssize_t cached;
static unsigned cache_reads;

ssize_t __real_pwritev64v2(int fd, const struct iovec *iov, int n, off_t at,
			   int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *iov, int n, off_t at,
			   int flags);
ssize_t __real_preadv64v2(int fd, const struct iovec *iov, int n, off_t at,
			  int flags);
ssize_t __wrap_preadv64v2(int fd, const struct iovec *iov, int n, off_t at,
			  int flags);
int __real_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_io_uring_queue_init(unsigned n, struct io_uring *ring,
			       unsigned flags);
int __wrap_io_uring_queue_init(unsigned n, struct io_uring *ring,
			       unsigned flags);

static bool fails(void)
{
	errno = fail_with;
	return fail_with;
}

ssize_t __wrap_pwritev64v2(int fd, const struct iovec *iov, int n, off_t at,
			   int flags)
{
	write_flags = flags;
	return fails() ? -1 : __real_pwritev64v2(fd, iov, n, at, flags);
}

static ssize_t read_disk(int fd, const struct iovec *iov, int n, off_t at)
{
	struct iovec first = {iov[0].iov_base, min_u64(iov[0].iov_len, 100)};

	if (fails())
		return -1;
	return short_reads ? __real_preadv64v2(fd, &first, 1, at, 0)
			   : __real_preadv64v2(fd, iov, n, at, 0);
}

/* From the page cache: the whole of it, a part, or nothing. */
ssize_t __wrap_preadv64v2(int fd, const struct iovec *iov, int n, off_t at,
			  int flags)
{
	struct iovec part = {iov[0].iov_base,
			     min_u64(iov[0].iov_len, (uint64_t)cached)};

	if (!flags)
		return read_disk(fd, iov, n, at);
	assert_int_equal(flags, RWF_NOWAIT);
	assert_int_equal(n, 1);
	cache_reads++;
	if (cached <= 0) {
		errno = (int)-cached;
		return cached ? -1 : 0;
	}
	return __real_preadv64v2(fd, &part, 1, at, 0);
}

int __wrap_timerfd_create(int clock, int flags)
{
	return fails() ? -1 : __real_timerfd_create(clock, flags);
}

int __wrap_fdatasync(int fd)
{
	return fails() ? -1 : __real_fdatasync(fd);
}

int __wrap_io_uring_queue_init(unsigned n, struct io_uring *ring,
			       unsigned flags)
{
	return fail_with ? -fail_with
			 : __real_io_uring_queue_init(n, ring, flags);
}

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
	fail_with = 0;
	short_reads = false;
	return 0;
}

static int end(void **state)
{
	(void)state;
	fail_with = 0;
	driver_end(&d);
	unlink(path);
	rmdir(dir);
	return 0;
}

/* ------------------------------------------------------- what the host does */

static void full_disk_is_an_error_of_one_request(void **state)
{
	char data[SECTOR] = "new";

	(void)state;
	disk_create();
	fail_with = ENOSPC;
	assert_int_equal(disk_request(VIRTIO_BLK_T_OUT, 0, SECTOR, data),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(disk_request(VIRTIO_BLK_T_FLUSH, 0, 0, NULL),
			 VIRTIO_BLK_S_IOERR);
	fail_with = EIO;
	assert_int_equal(disk_request(VIRTIO_BLK_T_IN, 0, SECTOR, NULL),
			 VIRTIO_BLK_S_IOERR);
	fail_with = 0;
	assert_int_equal(disk_request(VIRTIO_BLK_T_OUT, 0, SECTOR, data), 0);
	assert_int_equal(block_metrics(d.dev)->execute_fails, 3);
	assert_int_equal(block_metrics(d.dev)->write_count, 1);
}

static void short_reads_go_on(void **state)
{
	char data[3 * SECTOR], want[3 * SECTOR];

	(void)state;
	disk_create();
	short_reads = true;
	memset(want, 'a', sizeof(want));
	assert_int_equal(disk_request(VIRTIO_BLK_T_IN, 1, sizeof(data), data),
			 0);
	assert_memory_equal(data, want, sizeof(want));
}

/* The ring reads the rest, also where nothing can be read without waiting. */
static void what_is_cached_is_read_at_once(void **state)
{
	static const struct {
		ssize_t cached;
		unsigned asked; /* in two requests */
	} cases[] = {{3 * SECTOR, 2}, {100, 2},  {1, 2}, {-EAGAIN, 2},
		     {-EINTR, 2},     {-EIO, 2}, {0, 2}, {-EOPNOTSUPP, 1}};
	char data[3 * SECTOR], want[3 * SECTOR];

	(void)state;
	config.async = true;
	disk_create();
	if (!block_is_async(d.dev)) {
		print_message("this machine allows no io_uring\n");
		skip();
	}
	memset(want, 'a', sizeof(want));
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		cached = cases[i].cached;
		cache_reads = 0;
		for (unsigned k = 0; k < 2; k++) {
			memset(data, 0, sizeof(data));
			assert_int_equal(disk_request(VIRTIO_BLK_T_IN, 1,
						      sizeof(data), data),
					 0);
			assert_memory_equal(data, want, sizeof(want));
		}
		assert_int_equal(cache_reads, cases[i].asked);
	}
	assert_int_equal(d.dev->inflight, 0);
	assert_int_equal(block_metrics(d.dev)->read_count, 16);

	/* Another file may know how. */
	config.path = path;
	cached = 3 * SECTOR;
	assert_int_equal(block_patch(d.dev, path, &same, &(struct err){0}), 0);
	cache_reads = 0;
	assert_int_equal(disk_request(VIRTIO_BLK_T_IN, 1, sizeof(data), data),
			 0);
	assert_int_equal(cache_reads, 1);
}

static void driver_without_flush_gets_writes_through(void **state)
{
	char data[SECTOR] = "";

	(void)state;
	disk_create();
	assert_int_equal(disk_request(VIRTIO_BLK_T_OUT, 0, SECTOR, data), 0);
	assert_int_equal(write_flags, 0);
	driver_start(&d, 0, DISK_RING);
	assert_int_equal(disk_request(VIRTIO_BLK_T_OUT, 0, SECTOR, data), 0);
	assert_int_equal(write_flags, RWF_DSYNC);
}

static void without_io_uring_it_is_synchronous(void **state)
{
	unsigned fds;

	(void)state;
	fail_with = EPERM;
	config.async = true;
	disk_create();
	fds = testing_count_fds();
	assert_false(block_is_async(d.dev));
	fail_with = 0;
	assert_int_equal(disk_request(VIRTIO_BLK_T_IN, 0, SECTOR, NULL), 0);
	assert_int_equal(testing_count_fds(), fds);
}

/* A file without its limit, or the reverse, would be half a change. */
static void half_a_change_is_none(void **state)
{
	const struct token_bucket_config one = {1, 1000000, 0};
	const struct rate_limiter_update limits = {NULL, &one};
	char other[96], data[SECTOR];
	struct err e;

	(void)state;
	snprintf(other, sizeof(other), "%s/other", dir);
	make_file(other, 7, 'b');
	disk_create();
	fail_with = EMFILE;
	assert_err(block_patch(d.dev, other, &limits, &e), e,
		   "cannot create a timer");
	fail_with = 0;
	assert_err(block_patch(d.dev, "/nonexistent", &limits, &e), e,
		   "(os error 2)");
	assert_int_equal(driver_config(&d, 0, 8), SECTORS);
	assert_int_equal(driver_interrupts(&d), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(disk_request(VIRTIO_BLK_T_IN, 0, SECTOR, data),
				 0);
	assert_int_equal(data[0], 'a');
	assert_err(block_check(&config, &e), e, "in use by somebody else");
	config.path = other;
	assert_ok(block_check(&config, &e), e);

	assert_ok(block_patch(d.dev, other, &limits, &e), e);
	assert_int_equal(disk_request(VIRTIO_BLK_T_IN, 0, SECTOR, data), 0);
	assert_int_equal(data[0], 'b');
	assert_int_equal(block_metrics(d.dev)->update_count, 1);
	assert_int_equal(block_metrics(d.dev)->update_fails, 2);
	unlink(other);
}

/* -------------------------------------------- files that fail while in use */

/* As begin(), with an image whose writes the kernel refuses when told to. */
static int seal_fd = -1;

static int begin_sealable(void **state)
{
	bool is_async = *state;

	begin(state);
	seal_fd = memfd_create("disk", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(seal_fd >= 0);
	assert_int_equal(ftruncate(seal_fd, SECTORS * SECTOR), 0);
	config.path = (char *)testing_file_path(seal_fd);
	config.async = is_async;
	cached = -EAGAIN;
	disk_create();
	if (block_is_async(d.dev) != config.async)
		skip();
	return 0;
}

static int end_sealable(void **state)
{
	end(state);
	close(seal_fd);
	return 0;
}

static unsigned zeroes(uint64_t sector, uint32_t sectors)
{
	struct virtio_blk_discard_write_zeroes s = {sector, sectors, 0};

	return disk_request(VIRTIO_BLK_T_WRITE_ZEROES, 0, sizeof(s),
			    (char *)&s);
}

/* Every request is answered, and what fails leaves nothing behind. */
static void errors_lose_and_keep_nothing(void **state)
{
	unsigned fds = testing_count_fds();

	(void)state;
	assert_int_equal(fcntl(seal_fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	for (unsigned i = 0; i < 300; i++) {
		d.free = DRIVER_DATA;
		assert_int_equal(disk_request(VIRTIO_BLK_T_OUT, i % SECTORS,
					      SECTOR, NULL),
				 VIRTIO_BLK_S_IOERR);
		assert_int_equal(zeroes(i % SECTORS, 1), VIRTIO_BLK_S_IOERR);
		assert_int_equal(disk_request(VIRTIO_BLK_T_IN, i % SECTORS,
					      SECTOR, NULL),
				 VIRTIO_BLK_S_OK);
	}
	assert_int_equal(d.dev->inflight, 0);
	assert_int_equal(block_metrics(d.dev)->execute_fails, 600);
	assert_int_equal(block_metrics(d.dev)->read_count, 300);
	assert_int_equal(block_metrics(d.dev)->write_count, 0);
	assert_int_equal(testing_count_fds(), fds);
	assert_int_equal(lseek(seal_fd, 0, SEEK_END), SECTORS * SECTOR);
}

/* What the host cut off is an I/O error, and does not come back by writing. */
static void file_cut_short_does_not_grow(void **state)
{
	(void)state;
	assert_int_equal(ftruncate(seal_fd, 10 * SECTOR), 0);
	for (unsigned sector = 9; sector < SECTORS; sector += 11) {
		unsigned want =
			sector == 9 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;

		assert_int_equal(
			disk_request(VIRTIO_BLK_T_OUT, sector, SECTOR, NULL),
			want);
		assert_int_equal(
			disk_request(VIRTIO_BLK_T_IN, sector, SECTOR, NULL),
			want);
		assert_int_equal(zeroes(sector, 1), want);
		assert_int_equal(disk_request(VIRTIO_BLK_T_OUT, sector,
					      2 * SECTOR, NULL),
				 VIRTIO_BLK_S_IOERR);
	}
	assert_int_equal(lseek(seal_fd, 0, SEEK_END), 10 * SECTOR);
	assert_int_equal(ftruncate(seal_fd, SECTORS * SECTOR), 0);
	assert_int_equal(
		disk_request(VIRTIO_BLK_T_OUT, SECTORS - 1, SECTOR, NULL),
		VIRTIO_BLK_S_OK);
	assert_int_equal(d.dev->inflight, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
#define BOTH(name)                                                       \
	{#name " (sync)", name, begin_sealable, end_sealable, NULL},     \
	{                                                                \
		#name " (async)", name, begin_sealable, end_sealable, &d \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(full_disk_is_an_error_of_one_request),
		TEST(short_reads_go_on),
		TEST(what_is_cached_is_read_at_once),
		TEST(driver_without_flush_gets_writes_through),
		TEST(without_io_uring_it_is_synchronous),
		TEST(half_a_change_is_none),
		BOTH(errors_lose_and_keep_nothing),
		BOTH(file_cut_short_does_not_grow),
	};

	return RUN_TESTS("block_host", tests);
}
