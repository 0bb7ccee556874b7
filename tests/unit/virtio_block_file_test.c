/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is behind a disk, and what may go wrong there: devices/virtio/block.c,
 * block_file.c.  Some of libc fails when told to.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "devices/virtio/block.h"
#include "snapshot/codec.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_block_guest.h"
#include "vmm/base/log.h"
#include "vmm/base/util.h"

enum { SECTOR = 512, SECTORS = 64 };

static char dir[64], path[96];
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
ssize_t __real_preadv64(int fd, const struct iovec *iov, int n, off_t at);
ssize_t __wrap_preadv64(int fd, const struct iovec *iov, int n, off_t at);
ssize_t __real_preadv64v2(int fd, const struct iovec *iov, int n, off_t at,
			  int flags);
ssize_t __wrap_preadv64v2(int fd, const struct iovec *iov, int n, off_t at,
			  int flags);
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

ssize_t __wrap_preadv64(int fd, const struct iovec *iov, int n, off_t at)
{
	struct iovec first = {iov[0].iov_base, min_u64(iov[0].iov_len, 100)};

	if (fails())
		return -1;
	return short_reads ? __real_preadv64(fd, &first, 1, at)
			   : __real_preadv64(fd, iov, n, at);
}

/* The whole of it, a part, or nothing. */
ssize_t __wrap_preadv64v2(int fd, const struct iovec *iov, int n, off_t at,
			  int flags)
{
	struct iovec part = {iov[0].iov_base,
			     min_u64(iov[0].iov_len, (uint64_t)cached)};

	assert_int_equal(flags, RWF_NOWAIT);
	assert_int_equal(n, 1);
	cache_reads++;
	if (cached <= 0) {
		errno = (int)-cached;
		return cached ? -1 : 0;
	}
	return __real_preadv64v2(fd, &part, 1, at, 0);
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
		.id = "data", .path = path, .writeback = true};
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
	config.path = "/nonexistent/disk";
	refused("No such file or directory (os error 2) /nonexistent/disk");
	config.path = dir;
	refused("Is a directory (os error 21) /tmp/");
	config.read_only = true;
	refused("Is a directory (os error 21) /tmp/");
	config.path = "/dev/null";
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
	refused("in use by somebody else (another virtual machine?)");
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
	config.engine = BLOCK_ASYNC;
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
	assert_ok(block_reopen(d.dev, other, &e), e);
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
	assert_ok(block_reopen(d.dev, path, &e), e);
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
	assert_err(block_reopen(d.dev, "/nonexistent", &e), e, "(os error 2)");
	assert_int_equal(driver_interrupts(&d), 0);
	assert_int_equal(disk_request(VIRTIO_BLK_T_IN, 0, SECTOR, data), 0);
	assert_int_equal(data[0], 'a');
	assert_int_equal(block_metrics(d.dev)->update_fails, 1);
	refused("in use by somebody else");
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
	config.engine = BLOCK_ASYNC;
	disk_create();
	if (block_engine(d.dev) != BLOCK_ASYNC) {
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
	assert_int_equal(block_reopen(d.dev, path, &(struct err){0}), 0);
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
	config.engine = BLOCK_ASYNC;
	disk_create();
	fds = testing_count_fds();
	assert_int_equal(block_engine(d.dev), BLOCK_SYNC);
	fail_with = 0;
	assert_int_equal(disk_request(VIRTIO_BLK_T_IN, 0, SECTOR, NULL), 0);
	assert_int_equal(testing_count_fds(), fds);
}

/* -------------------------------------------------------------------- state */

static void loaded_disk_goes_on(void **state)
{
	struct snap s, in;
	struct err e;
	const void *data;
	size_t len;

	(void)state;
	config.limiter.ops = (struct token_bucket_config){7, 1000000, 0};
	disk_create();
	assert_int_equal(disk_request(VIRTIO_BLK_T_IN, 0, SECTOR, NULL), 0);
	virtio_quiesce(d.dev);
	snap_save(&s, 1);
	virtio_state(d.dev, &s);
	assert_ok(snap_finish(&s, &e), e);
	data = snap_data(&s, &len);
	virtio_destroy(d.dev);

	config.limiter = (struct rate_limiter_config){0};
	d.dev = make(&e);
	assert_non_null(d.dev);
	snap_load(&in, data, len, 1);
	virtio_state(d.dev, &in);
	assert_ok(snap_finish(&in, &e), e);
	virtio_resume(d.dev);
	for (int i = 0; i < 6; i++)
		assert_int_equal(disk_request(VIRTIO_BLK_T_IN, 0, SECTOR, NULL),
				 0);
	virtio_destroy(d.dev);

	/* Not onto a disk of another size. */
	assert_int_equal(truncate(path, SECTOR), 0);
	d.dev = make(&e);
	snap_load(&in, data, len, 1);
	virtio_state(d.dev, &in);
	assert_err(snap_finish(&in, &e), e, "another size");
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
		TEST(full_disk_is_an_error_of_one_request),
		TEST(short_reads_go_on),
		TEST(what_is_cached_is_read_at_once),
		TEST(driver_without_flush_gets_writes_through),
		TEST(without_io_uring_it_is_synchronous),
		TEST(loaded_disk_goes_on),
	};

	return RUN_TESTS("block_file", tests);
}
