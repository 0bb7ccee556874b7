/* SPDX-License-Identifier: Apache-2.0 */
/* What a driver asks of a disk, by both engines: block.c, block_request.c,
 * block_async.c. */
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/util.h"
#include "devices/virtio/block/block.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_driver.h"

enum { SECTOR = 512, SECTORS = 64, SIZE = 16, DISK = SECTORS * SECTOR };
enum { UNSET = 0x77 };

static struct driver d;
static int disk_fd;
static struct block_config config;

static int begin(void **state)
{
	uint8_t image[DISK];

	for (unsigned i = 0; i < DISK; i++)
		image[i] = (uint8_t)(i / SECTOR + i * 3);
	disk_fd = testing_file(image, sizeof(image));
	driver_begin(&d);
	config = (struct block_config){
		.id = (char *)"rootfs",
		.path = (char *)testing_file_path(disk_fd),
		.writeback = true,
		.async = *state,
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
	if (block_is_async(d.dev) != config.async)
		skip(); /* no io_uring here */
	driver_start(&d, d.dev->offered, SIZE);
}

struct request {
	gpa_t header, data, status;
	uint32_t len;
};

/* Make it available. */
static struct request start(uint32_t type, uint64_t sector, uint32_t len,
			    bool in)
{
	struct request r = {driver_alloc(&d, 16), driver_alloc(&d, len + 1),
			    driver_alloc(&d, 1), len};
	struct virtio_blk_outhdr *h = driver_at(&d, r.header);
	struct driver_buffer buffers[] = {
		{r.header, 16, false}, {r.data, len, in}, {r.status, 1, true}};

	*h = (struct virtio_blk_outhdr){.type = type, .sector = sector};
	*(uint8_t *)driver_at(&d, r.status) = UNSET;
	driver_add(&d, 0, buffers, 3);
	return r;
}

static unsigned status_of(const struct request *r)
{
	return *(uint8_t *)driver_at(&d, r->status);
}

/* Wait for the next one; the bytes the device says it wrote. */
static uint32_t wait_one(void)
{
	uint32_t written = 0;

	driver_kick(&d, 0);
	assert_true(driver_wait_used(&d, 0));
	assert_true(driver_used(&d, 0, NULL, &written));
	return written;
}

static unsigned do_in(uint64_t sector, uint32_t len, void *data)
{
	struct request r = start(VIRTIO_BLK_T_IN, sector, len, true);
	uint32_t written = wait_one();

	assert_int_equal(written, status_of(&r) ? 1 : len + 1);
	if (data)
		memcpy(data, driver_at(&d, r.data), len);
	return status_of(&r);
}

static unsigned do_out(uint32_t type, uint64_t sector, uint32_t len,
		       const void *data)
{
	struct request r = start(type, sector, len, false);

	if (data)
		memcpy(driver_at(&d, r.data), data, len);
	assert_int_equal(wait_one(), 1);
	return status_of(&r);
}

#define segment(sector, sectors, flags) \
	((struct virtio_blk_discard_write_zeroes){sector, sectors, flags})

static void on_disk(uint64_t sector, void *data)
{
	assert_int_equal(pread(disk_fd, data, SECTOR, (off_t)sector * SECTOR),
			 SECTOR);
}

/* --------------------------------------------------------------- data moves */

static void reads_what_is_there(void **state)
{
	uint8_t got[2 * SECTOR], want[SECTOR];

	(void)state;
	create();
	assert_int_equal(do_in(3, sizeof(got), got), VIRTIO_BLK_S_OK);
	on_disk(3, want);
	assert_memory_equal(got, want, SECTOR);
	on_disk(4, want);
	assert_memory_equal(got + SECTOR, want, SECTOR);
	assert_int_equal(block_metrics(d.dev)->read_count, 1);
	assert_int_equal(block_metrics(d.dev)->read_bytes, 2 * SECTOR);
	assert_int_equal(driver_interrupts(&d), 1);
}

static void writes_what_is_given(void **state)
{
	uint8_t data[SECTOR], got[SECTOR];

	(void)state;
	create();
	memset(data, 0xa5, sizeof(data));
	assert_int_equal(do_out(VIRTIO_BLK_T_OUT, SECTORS - 1, SECTOR, data),
			 VIRTIO_BLK_S_OK);
	on_disk(SECTORS - 1, got);
	assert_memory_equal(got, data, SECTOR);
	assert_int_equal(block_metrics(d.dev)->write_count, 1);
	assert_int_equal(block_metrics(d.dev)->write_bytes, SECTOR);
}

static void header_data_and_status_may_be_cut_anyhow(void **state)
{
	gpa_t out = driver_alloc(&d, 16), in = driver_alloc(&d, SECTOR + 1);
	struct driver_buffer buffers[] = {
		{out, 3, false},     {out + 3, 13, false},  {in, 100, true},
		{in + 100, 0, true}, {in + 100, 412, true}, {in + 512, 1, true},
	};
	/* Status at the end of the data's buffer. */
	struct driver_buffer two[] = {{out, 16, false}, {in, SECTOR + 1, true}};
	struct virtio_blk_outhdr *h = driver_at(&d, out);
	uint8_t want[SECTOR];

	(void)state;
	create();
	on_disk(7, want);
	*h = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_IN, .sector = 7};
	driver_add(&d, 0, buffers, 6);
	assert_int_equal(wait_one(), SECTOR + 1);
	assert_memory_equal(driver_at(&d, in), want, SECTOR);
	memset(driver_at(&d, in), UNSET, SECTOR + 1);
	driver_add(&d, 0, two, 2);
	assert_int_equal(wait_one(), SECTOR + 1);
	assert_memory_equal(driver_at(&d, in), want, SECTOR);
	assert_int_equal(*(uint8_t *)driver_at(&d, in + SECTOR), 0);
}

static void many_at_once(void **state)
{
	struct request r[SIZE / 3];
	uint8_t want[SECTOR];

	(void)state;
	create();
	for (int round = 0; round < 20; round++) {
		for (unsigned i = 0; i < ARRAY_SIZE(r); i++)
			r[i] = start(VIRTIO_BLK_T_IN, i, SECTOR, true);
		for (unsigned i = 0; i < ARRAY_SIZE(r); i++)
			wait_one();
		for (unsigned i = 0; i < ARRAY_SIZE(r); i++) {
			assert_int_equal(status_of(&r[i]), VIRTIO_BLK_S_OK);
			on_disk(i, want);
			assert_memory_equal(driver_at(&d, r[i].data), want,
					    SECTOR);
		}
	}
	assert_int_equal(d.dev->inflight, 0);
}

/* More than the asynchronous engine takes, in chains of one descriptor. */
static void full_ring_of_256(void **state)
{
	static struct request r[256];

	(void)state;
	create();
	d.indirect = true;
	driver_start(&d, d.dev->offered, 256);
	for (unsigned i = 0; i < 256; i++)
		r[i] = start(VIRTIO_BLK_T_IN, i % SECTORS, SECTOR, true);
	for (unsigned i = 0; i < 256; i++)
		wait_one();
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(status_of(&r[i]), VIRTIO_BLK_S_OK);
	assert_int_equal(block_metrics(d.dev)->read_count, 256);
}

static void data_beyond_the_end_is_an_error(void **state)
{
	uint8_t before[SECTOR], after[SECTOR];

	(void)state;
	create();
	on_disk(SECTORS - 1, before);
	assert_int_equal(do_in(SECTORS, SECTOR, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(do_in(SECTORS - 1, 2 * SECTOR, NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(do_in(UINT64_MAX, SECTOR, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(do_in(UINT64_MAX / SECTOR + 1, SECTOR, NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(
		do_out(VIRTIO_BLK_T_OUT, SECTORS - 1, 2 * SECTOR, NULL),
		VIRTIO_BLK_S_IOERR);
	on_disk(SECTORS - 1, after);
	assert_memory_equal(before, after, SECTOR);
	assert_int_equal(lseek(disk_fd, 0, SEEK_END), DISK);
}

static void part_of_a_sector_is_an_error(void **state)
{
	(void)state;
	create();
	assert_int_equal(do_in(0, 511, NULL), VIRTIO_BLK_S_IOERR);
	assert_int_equal(do_out(VIRTIO_BLK_T_OUT, 0, 513, NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(do_in(0, 0, NULL), VIRTIO_BLK_S_OK);
}

static void file_that_became_shorter_is_an_error(void **state)
{
	uint8_t got[4 * SECTOR];

	(void)state;
	create();
	assert_int_equal(ftruncate(disk_fd, 10 * SECTOR), 0);
	assert_int_equal(do_in(20, SECTOR, got), VIRTIO_BLK_S_IOERR);
	/* The first half is there. */
	assert_int_equal(do_in(8, sizeof(got), got), VIRTIO_BLK_S_IOERR);
	assert_int_equal(do_in(8, 2 * SECTOR, got), VIRTIO_BLK_S_OK);
	assert_int_equal(block_metrics(d.dev)->execute_fails, 2);
}

static void read_only_disk_is_not_written_to(void **state)
{
	struct virtio_blk_discard_write_zeroes s = segment(0, 1, 0);
	uint8_t before[SECTOR], after[SECTOR];

	(void)state;
	config.read_only = true;
	create();
	assert_true(d.dev->offered >> VIRTIO_BLK_F_RO & 1);
	assert_false(d.dev->offered >> VIRTIO_BLK_F_DISCARD & 1);
	on_disk(0, before);
	assert_int_equal(do_out(VIRTIO_BLK_T_OUT, 0, SECTOR, NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(do_out(VIRTIO_BLK_T_DISCARD, 0, sizeof(s), &s),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(do_out(VIRTIO_BLK_T_WRITE_ZEROES, 0, sizeof(s), &s),
			 VIRTIO_BLK_S_IOERR);
	on_disk(0, after);
	assert_memory_equal(before, after, SECTOR);
	assert_int_equal(do_in(0, SECTOR, NULL), VIRTIO_BLK_S_OK);
}

/* ----------------------------------------------------------- other requests */

static void flush_is_answered(void **state)
{
	(void)state;
	create();
	assert_int_equal(do_out(VIRTIO_BLK_T_FLUSH, 0, 0, NULL),
			 VIRTIO_BLK_S_OK);
	assert_int_equal(block_metrics(d.dev)->flush_count, 1);
}

static void unsafe_disk_offers_no_flush_but_answers(void **state)
{
	(void)state;
	config.writeback = false;
	create();
	assert_false(d.dev->offered >> VIRTIO_BLK_F_FLUSH & 1);
	assert_int_equal(do_out(VIRTIO_BLK_T_FLUSH, 0, 0, NULL),
			 VIRTIO_BLK_S_OK);
}

static void discard_makes_holes(void **state)
{
	struct virtio_blk_discard_write_zeroes s[2] = {segment(8, 16, 0),
						       segment(32, 8, 0)};
	uint8_t got[SECTOR], zero[SECTOR] = {0};
	struct stat before, after;

	(void)state;
	create();
	fstat(disk_fd, &before);
	assert_int_equal(do_out(VIRTIO_BLK_T_DISCARD, 0, sizeof(s), s),
			 VIRTIO_BLK_S_OK);
	fstat(disk_fd, &after);
	assert_int_equal(before.st_blocks - after.st_blocks, 24);
	assert_int_equal(after.st_size, DISK);
	on_disk(32, got);
	assert_memory_equal(got, zero, SECTOR);
	on_disk(7, got);
	assert_memory_not_equal(got, zero, SECTOR);
	assert_int_equal(block_metrics(d.dev)->discard_count, 1);
}

static void zeroes_are_written(void **state)
{
	struct virtio_blk_discard_write_zeroes s = segment(1, 3, 0);
	uint8_t got[SECTOR], zero[SECTOR] = {0};

	(void)state;
	create();
	for (int unmap = 0; unmap < 2; unmap++) {
		s.flags = (uint32_t)unmap;
		s.sector = unmap ? 11 : 1;
		assert_int_equal(
			do_out(VIRTIO_BLK_T_WRITE_ZEROES, 0, sizeof(s), &s),
			VIRTIO_BLK_S_OK);
		for (unsigned i = 0; i < 3; i++) {
			on_disk(s.sector + i, got);
			assert_memory_equal(got, zero, SECTOR);
		}
		on_disk(s.sector + 3, got);
		assert_memory_not_equal(got, zero, SECTOR);
	}
}

static void impossible_ranges_are_errors(void **state)
{
	struct virtio_blk_discard_write_zeroes s[17] = {0};
	static const struct {
		uint64_t sector;
		uint32_t sectors, flags;
		unsigned status;
	} wrong[] = {
		{SECTORS, 1, 0, VIRTIO_BLK_S_IOERR},
		{SECTORS - 1, 2, 0, VIRTIO_BLK_S_IOERR},
		{UINT64_MAX, 2, 0, VIRTIO_BLK_S_IOERR},
		{0, UINT32_MAX, 0, VIRTIO_BLK_S_IOERR},
		{0, 1, 2, VIRTIO_BLK_S_UNSUPP},
		{0, 1, 0x80000000, VIRTIO_BLK_S_UNSUPP},
	};
	static const uint32_t lengths[] = {0, 1, 15, 17, sizeof(s)};

	(void)state;
	create();
	for (uint32_t type = VIRTIO_BLK_T_DISCARD;
	     type <= VIRTIO_BLK_T_WRITE_ZEROES;
	     type += VIRTIO_BLK_T_WRITE_ZEROES - VIRTIO_BLK_T_DISCARD) {
		for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
			s[0] = segment(wrong[i].sector, wrong[i].sectors,
				       wrong[i].flags);
			assert_int_equal(do_out(type, 0, sizeof(*s), s),
					 wrong[i].status);
		}
		for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++)
			assert_int_equal(do_out(type, 0, lengths[i], s),
					 VIRTIO_BLK_S_IOERR);
	}
	s[0] = segment(0, 1, 1); /* unmap is for WRITE_ZEROES */
	assert_int_equal(do_out(VIRTIO_BLK_T_DISCARD, 0, sizeof(*s), s),
			 VIRTIO_BLK_S_UNSUPP);
}

static void id_is_that_of_the_file(void **state)
{
	struct request r;
	char want[64] = "";
	struct stat st;

	(void)state;
	create();
	fstat(disk_fd, &st);
	snprintf(want, sizeof(want), "%llu%llu%llu",
		 (unsigned long long)st.st_dev, (unsigned long long)st.st_rdev,
		 (unsigned long long)st.st_ino);
	r = start(VIRTIO_BLK_T_GET_ID, 0, 20, true);
	assert_int_equal(wait_one(), 21);
	assert_int_equal(status_of(&r), VIRTIO_BLK_S_OK);
	assert_memory_equal(driver_at(&d, r.data), want, 20);
	/* Less room. */
	r = start(VIRTIO_BLK_T_GET_ID, 0, 3, true);
	wait_one();
	assert_int_equal(status_of(&r), VIRTIO_BLK_S_OK);
	assert_memory_equal(driver_at(&d, r.data), want, 3);
}

static void unknown_requests_are_unsupported(void **state)
{
	static const uint32_t types[] = {2, 3, 5, 9, 12, 14, 100, UINT32_MAX};

	(void)state;
	create();
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++)
		assert_int_equal(do_out(types[i], 0, SECTOR, NULL),
				 VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(block_metrics(d.dev)->invalid_reqs_count,
			 ARRAY_SIZE(types));
}

static void request_without_status_or_header_is_given_back(void **state)
{
	gpa_t at = driver_alloc(&d, 16);
	struct driver_buffer no_status = {at, 16, false},
			     short_header[] = {{at, 15, false}, {at, 1, true}};

	(void)state;
	create();
	driver_add(&d, 0, &no_status, 1);
	assert_int_equal(wait_one(), 0);
	driver_add(&d, 0, short_header, 2);
	assert_int_equal(wait_one(), 0);
	assert_int_equal(block_metrics(d.dev)->invalid_reqs_count, 2);
	assert_int_equal(do_in(0, SECTOR, NULL), VIRTIO_BLK_S_OK);
}

static void reset_with_requests_in_flight(void **state)
{
	(void)state;
	create();
	for (int i = 0; i < 200; i++) {
		for (unsigned j = 0; j < 5; j++)
			start(VIRTIO_BLK_T_IN, j, SECTOR, true);
		driver_kick(&d, 0);
		driver_poll(&d, 0);
		d.free = DRIVER_DATA;
		driver_set(&d, VIRTIO_MMIO_STATUS, 0);
		for (int n = 0; d.dev->resetting && n < 1000; n++)
			driver_poll(&d, 10); /* late on a busy machine */
		assert_int_equal(d.dev->inflight, 0);
		driver_start(&d, d.dev->offered, SIZE);
	}
	assert_int_equal(do_in(0, SECTOR, NULL), VIRTIO_BLK_S_OK);
}

#define BOTH(name)                                     \
	{#name " (sync)", name, begin, end, NULL},     \
	{                                              \
		#name " (async)", name, begin, end, &d \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(reads_what_is_there),
		BOTH(writes_what_is_given),
		BOTH(header_data_and_status_may_be_cut_anyhow),
		BOTH(many_at_once),
		BOTH(full_ring_of_256),
		BOTH(data_beyond_the_end_is_an_error),
		BOTH(part_of_a_sector_is_an_error),
		BOTH(file_that_became_shorter_is_an_error),
		BOTH(read_only_disk_is_not_written_to),
		BOTH(flush_is_answered),
		BOTH(unsafe_disk_offers_no_flush_but_answers),
		BOTH(discard_makes_holes),
		BOTH(zeroes_are_written),
		BOTH(impossible_ranges_are_errors),
		BOTH(id_is_that_of_the_file),
		BOTH(unknown_requests_are_unsupported),
		BOTH(request_without_status_or_header_is_given_back),
		BOTH(reset_with_requests_in_flight),
	};

	return RUN_TESTS("block", tests);
}
