/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks whether a disk is the one that a snapshot was taken with.  The open
 * file is compared, never its name.
 *
 * The same file (device, inode and birth time, because file systems reuse inode
 * numbers) is the same disk if it was not modified.  Another file is a copy,
 * whose times prove nothing: it is the same disk if samples of its content are
 * equal.  The few samples detect another disk, and a disk whose file system has
 * since written to its superblock; they do not detect every change.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/vfs.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "devices/virtio/block/block_internal.h"

enum { SAMPLE = 4096, SPREAD = 9 };

/* Offsets of partition tables and of file systems' superblocks. */
static const uint64_t chosen[] = {
	0, 4096, 64 << 10, 1 << 20, (1 << 20) + 4096, (1 << 20) + (64 << 10)};

_Static_assert(ARRAY_SIZE(chosen) + SPREAD + 1 == BLOCK_SAMPLES,
	       "all samples have a place");

/* Never returns 0, which means unknown. */
static uint64_t hash(const uint64_t *words, size_t count)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < count; i++) {
		h = (h ^ words[i]) * 0x9e3779b97f4a7c15;
		h ^= h >> 32;
	}
	return h ? h : 1;
}

/* A file of these is in memory, if it is not swapped out. */
static bool is_in_memory(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) &&
	       (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* Hash SAMPLE bytes at @at.  Returns 0 if they cannot be read with @flags. */
static uint64_t sample(const struct block *b, uint64_t at, int flags)
{
	uint64_t buf[SAMPLE / sizeof(uint64_t)];
	struct iovec iov = {buf, sizeof(buf)};
	ssize_t n = preadv2(b->file.fd, &iov, 1, (off_t)at, flags);

	/* Some file systems do not support RWF_NOWAIT.  Of them, network ones
	 * may hang. */
	if (n < 0 && errno == EOPNOTSUPP && is_in_memory(b->file.fd))
		n = preadv2(b->file.fd, &iov, 1, (off_t)at, 0);
	return n == sizeof(buf) ? hash(buf, ARRAY_SIZE(buf)) : 0;
}

static void choose_places(struct block_identity *id)
{
	uint64_t end = align_down(id->size, SAMPLE);
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(chosen); i++)
		id->sample[n++].at = chosen[i];
	for (unsigned i = 1; i <= SPREAD; i++)
		id->sample[n++].at = align_down(end / (SPREAD + 1) * i, SAMPLE);
	id->sample[n].at = end ? end - SAMPLE : 0;
}

static int look(const struct block *b, struct block_identity *id, bool *is_file,
		struct err *e)
{
	struct statx st;

	if (io_look(b->file.fd, &st))
		return err_errno(e, "cannot look at its file");
	*is_file = S_ISREG(st.stx_mode);
	*id = (struct block_identity){
		.size = *is_file ? st.stx_size
				 : b->file.sectors << SECTOR_SHIFT,
		.device = makedev(st.stx_dev_major, st.stx_dev_minor),
		.inode = st.stx_ino,
		.mtime_sec = (uint64_t)st.stx_mtime.tv_sec,
		.mtime_ns = st.stx_mtime.tv_nsec,
	};
	if (st.stx_mask & STATX_BTIME) {
		id->birth_sec = (uint64_t)st.stx_btime.tv_sec;
		id->birth_ns = st.stx_btime.tv_nsec;
	}
	return 0;
}

int block_identity_get(const struct virtio_device *dev,
		       struct block_identity *id, struct err *e)
{
	const struct block *b = container_of(dev, struct block, dev);
	bool is_file;

	if (look(b, id, &is_file, e))
		return -1;
	id->has_samples = true;
	choose_places(id);
	/* Only from the page cache, because storage may hang. */
	for (unsigned i = 0; i < BLOCK_SAMPLES; i++)
		id->sample[i].hash = sample(b, id->sample[i].at, RWF_NOWAIT);
	return 0;
}

static bool is_same_file(const struct block_identity *a,
			 const struct block_identity *b)
{
	if (a->device != b->device || a->inode != b->inode)
		return false;
	/* 0: unknown to the file system, or to an older snapshot. */
	return !a->birth_sec || !b->birth_sec ||
	       (a->birth_sec == b->birth_sec && a->birth_ns == b->birth_ns);
}

static int check_samples(const struct block *b,
			 const struct block_identity *then, struct err *e)
{
	for (unsigned i = 0; i < BLOCK_SAMPLES; i++) {
		uint64_t at = then->sample[i].at;

		if (then->sample[i].hash &&
		    sample(b, at, 0) != then->sample[i].hash)
			return err_set(e,
				       "it is not the disk that it was when "
				       "the snapshot was taken: what is at "
				       "byte %llu differs; give that disk, or "
				       "a copy from then: --disk ID=FILE "
				       "(`drive_overrides`)",
				       (unsigned long long)at);
	}
	return 0;
}

int block_identity_check(const struct virtio_device *dev,
			 const struct block_identity *then, struct err *e)
{
	const struct block *b = container_of(dev, struct block, dev);
	struct block_identity now = {0};
	bool is_file = false;

	if (look(b, &now, &is_file, e))
		return -1;
	/*
	 * A file that grew was modified; a block device has no modification
	 * time.
	 */
	if (then->has_samples &&
	    (!is_file || now.size != then->size || !is_same_file(&now, then)))
		return check_samples(b, then, e);
	if (!is_same_file(&now, then) || (now.mtime_sec == then->mtime_sec &&
					  now.mtime_ns == then->mtime_ns))
		return 0;
	return err_set(e, "it was written to since the snapshot was taken, so "
			  "the guest's file systems would be damaged; give a "
			  "copy from then: --disk ID=FILE "
			  "(`drive_overrides`)");
}
