/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/memory_world.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/io.h"

struct world world;

const uint64_t places[PLACES] = {
	0,
	2 * PIECE,
	MEMORY_FILE_CHUNK - PIECE,
	MEMORY_FILE_CHUNK,
	SIZE_0 - PIECE,
	SIZE_0,
	SIZE_0 + 5 * PIECE,
	SIZE - PIECE,
};

/* ------------------------------------------------------------- file systems */

off_t __real_lseek64(int fd, off_t at, int whence);
off_t __wrap_lseek64(int fd, off_t at, int whence);

static bool block_is_data(int fd, off_t at)
{
	off_t data = __real_lseek64(fd, at, SEEK_DATA);

	return data >= 0 && data < at + (off_t)world.block;
}

/* Where a page brings its block with it. */
static off_t seek_block(int fd, off_t at, int whence)
{
	off_t size = __real_lseek64(fd, 0, SEEK_END);
	off_t b = (off_t)align_down((uint64_t)at, world.block);

	while (b < size && block_is_data(fd, b) != (whence == SEEK_DATA))
		b += (off_t)world.block;
	if (b < size)
		return b > at ? b : at;
	if (whence == SEEK_HOLE)
		return size;
	errno = ENXIO;
	return -1;
}

off_t __wrap_lseek64(int fd, off_t at, int whence)
{
	off_t r;

	if (world.block && whence != SEEK_END)
		return seek_block(fd, at, whence);
	r = __real_lseek64(fd, at, whence);
	if (whence == SEEK_DATA && r >= 0 && r == world.eats_at)
		r = __real_lseek64(fd, r + (off_t)world.page, SEEK_DATA);
	return r;
}

ssize_t __real_pwrite64(int fd, const void *buf, size_t len, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off_t at);

/* A thread may have written the files of a test that is over: reading this
 * orders what it saw of `world` before the next test. */
static atomic_uint writes;

ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off_t at)
{
	off_t room = world.fails_at - at;
	bool fits = world.fails_at < 0 || (off_t)len <= room;

	if (world.write_ms)
		usleep(world.write_ms * 1000);
	atomic_fetch_add(&writes, 1);
	if (fits)
		return __real_pwrite64(fd, buf, len, at);
	if (room > 0)
		return __real_pwrite64(fd, buf, (size_t)room, at);
	errno = world.fails_with;
	return -1;
}

int __real_open64(const char *path, int flags, unsigned mode);
int __wrap_open64(const char *path, int flags, unsigned mode);

int __wrap_open64(const char *path, int flags, unsigned mode)
{
	if (!world.no_pagemap || !strstr(path, "pagemap"))
		return __real_open64(path, flags, mode);
	errno = ENOENT;
	return -1;
}

int __real_ioctl(int fd, unsigned long request, long arg);
int __wrap_ioctl(int fd, unsigned long request, long arg);

int __wrap_ioctl(int fd, unsigned long request, long arg)
{
	if (request == PAGEMAP_SCAN) {
		world.scans++;
		errno = ENOTTY;
		return world.no_scan ? -1 : __real_ioctl(fd, request, arg);
	}
	assert_int_equal(request, FICLONE);
	world.cloned_from = (int)arg;
	errno = EOPNOTSUPP;
	return world.can_clone ? 0 : -1;
}

/* ---------------------------------------------------------------- guest RAM */

int create_mem(struct guest_mem *m)
{
	const struct guest_mem_region regions[] = {
		{.gpa = LOW, .size = SIZE_0},
		{.gpa = HIGH, .size = SIZE_1},
	};
	struct err e;

	return guest_mem_create(m, regions, 2, &e);
}

int world_create(void **state)
{
	(void)state;
	(void)atomic_load(&writes);
	world = (struct world){
		.page = (uint64_t)sysconf(_SC_PAGESIZE),
		.eats_at = -1,
		.fails_at = -1,
		.cloned_from = -1,
	};
	return create_mem(&world.mem);
}

int world_destroy(void **state)
{
	(void)state;
	guest_mem_destroy(&world.mem);
	return 0;
}

uint8_t *ram_of(const struct guest_mem *m, uint64_t offset)
{
	return offset < SIZE_0 ? m->region[0].host + offset
			       : m->region[1].host + (offset - SIZE_0);
}

uint8_t *ram(uint64_t offset)
{
	return ram_of(&world.mem, offset);
}

void touch_places(uint8_t value)
{
	for (unsigned i = 0; i < PLACES; i++)
		memset(ram(places[i]), value + (int)i, PIECE);
}

unsigned resident(const uint8_t *host, uint64_t len)
{
	AUTO_FREE unsigned char *vec = malloc(len / world.page);
	unsigned count = 0;

	assert_int_equal(mincore((void *)host, len, vec), 0);
	for (uint64_t i = 0; i < len / world.page; i++)
		count += vec[i] & 1;
	return count;
}

/* -------------------------------------------------------------------- files */

int sparse_file(void)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	return fd;
}

uint64_t bytes_taken(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

bool is_data(int fd, uint64_t offset)
{
	return __real_lseek64(fd, (off_t)offset, SEEK_DATA) == (off_t)offset;
}

uint8_t byte_at(int fd, uint64_t offset)
{
	uint8_t byte = 0xee;

	assert_int_equal(io_pread(fd, &byte, 1, offset), 1);
	return byte;
}

void assert_file_is_ram(int fd, const struct guest_mem *m)
{
	AUTO_FREE uint8_t *bytes = malloc(SIZE + 1);

	assert_int_equal(io_pread(fd, bytes, SIZE + 1, 0), SIZE);
	assert_memory_equal(bytes, m->region[0].host, SIZE_0);
	assert_memory_equal(bytes + SIZE_0, m->region[1].host, SIZE_1);
}

struct memory_save save_to(int fd)
{
	return (struct memory_save){.mem = &world.mem, .fd = fd};
}

int full(struct err *e)
{
	int fd = sparse_file();
	struct memory_save s = save_to(fd);

	assert_ok(memory_file_save(&s, e), *e);
	return fd;
}

struct dirty *no_dirty(void)
{
	static struct dirty d;

	d = (struct dirty){.region = {d.low, d.high}};
	return &d;
}

void set_dirty(struct dirty *d, uint64_t offset)
{
	bool low = offset < SIZE_0;
	uint64_t i = (offset - (low ? 0 : SIZE_0)) / world.page;

	(low ? d->low : d->high)[i / 64] |= 1ull << i % 64;
}
