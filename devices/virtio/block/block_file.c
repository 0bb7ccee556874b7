/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "devices/virtio/block/block_internal.h"

/* Clients match Firecracker's wording, which ends with Rust's error format. */
static int refuse(struct err *e, const char *path, int error)
{
	return err_set(e,
		       "Virtio backend error: Error manipulating the backing "
		       "file: %s (os error %d) %s",
		       strerror(error), error, path);
}

static int lock_file(int fd, int type)
{
	struct flock lock = {.l_type = (short)type, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_SETLK, &lock) ? -errno : 0;
}

static int take_lock(int fd, const char *path, bool read_only, struct err *e)
{
	int r = lock_file(fd, read_only ? F_RDLCK : F_WRLCK);

	if (r == -EAGAIN || r == -EACCES) {
		return err_set(
			e,
			"Virtio backend error: Error manipulating the backing "
			"file: %s is in use by somebody else%s; end that "
			"first (fuser -v names it), or use a copy: a load has "
			"`drive_overrides` for that",
			path,
			read_only ? " who writes to it"
				  : " (another virtual machine, perhaps one "
				    "that is paused?)");
	}
	if (r)
		log_warn("cannot lock %s (%s): nothing will keep a second "
			 "virtual machine from writing to it",
			 path, strerror(-r));
	return 0;
}

static bool is_power_of_two(uint64_t v)
{
	return v && !(v & (v - 1));
}

/*
 * Find out the alignment of fallocate(): a file accepts any range, a block
 * device only whole logical blocks.
 */
static void measure_blocks(struct block_file *f, const struct statx *st)
{
	uint64_t block = (uint64_t)st->stx_blksize;
	int sector = 0;

	if (S_ISBLK(st->stx_mode) && ioctl(f->fd, BLKSSZGET, &sector))
		sector = 0;
	f->align = SECTOR_SIZE;
	if (sector > SECTOR_SIZE && is_power_of_two((uint64_t)sector))
		f->align = (uint64_t)sector;
	f->granularity = is_power_of_two(block) ? block : 4096;
	f->granularity = max_u64(f->granularity, f->align);
}

static int measure(struct block_file *f, const struct statx *st)
{
	uint64_t bytes = (uint64_t)st->stx_size;

	if (S_ISBLK(st->stx_mode) && ioctl(f->fd, BLKGETSIZE64, &bytes))
		return -errno;
	f->dev = makedev(st->stx_dev_major, st->stx_dev_minor);
	f->rdev = makedev(st->stx_rdev_major, st->stx_rdev_minor);
	f->ino = st->stx_ino;
	f->sectors = bytes >> SECTOR_SHIFT;
	measure_blocks(f, st);
	return 0;
}

static bool is_same(const struct block_file *a, const struct block_file *b)
{
	return a && a->fd >= 0 && a->dev == b->dev && a->ino == b->ino;
}

/*
 * Lock the file.  If @old is the same file, release its lock first, because
 * locks of two file descriptions conflict even within a process; on failure,
 * restore it.
 */
static int relock(struct block_file *f, const char *path, bool read_only,
		  const struct block_file *old, struct err *e)
{
	bool same = is_same(old, f);
	int r;

	if (same)
		lock_file(old->fd, F_UNLCK);
	r = take_lock(f->fd, path, read_only, e);
	if (r && same)
		lock_file(old->fd, read_only ? F_RDLCK : F_WRLCK);
	return r;
}

static int open_place(const struct block_place *place)
{
	/* O_NONBLOCK: do not wait for the writer of a FIFO. */
	int flags = (place->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC |
		    O_NONBLOCK | O_NOCTTY;

	return place->folder
		       ? io_open_beneath(place->path, place->folder, flags)
		       : open(place->path, flags);
}

int block_file_open(struct block_file *f, const struct block_place *place,
		    struct block_file *old, struct err *e)
{
	const char *path = place->path;
	struct statx st;
	int r;

	*f = (struct block_file){0};
	f->fd = open_place(place);
	if (f->fd < 0)
		return refuse(e, path, errno);
	r = io_look(f->fd, &st) ? -errno : 0;
	if (!r && S_ISDIR(st.stx_mode))
		r = -EISDIR;
	else if (!r && !S_ISREG(st.stx_mode) && !S_ISBLK(st.stx_mode))
		r = -ESPIPE; /* the errno of lseek() on such a file */
	if (!r) {
		io_set_blocking(f->fd);
		r = measure(f, &st);
	}
	if (r)
		refuse(e, path, -r);
	else
		r = relock(f, path, place->read_only, old, e);
	if (!r)
		return 0;
	block_file_close(f);
	return -1;
}

void block_file_close(struct block_file *f)
{
	util_close(&f->fd);
}

void block_file_id(const struct block_file *f, char id[BLOCK_ID_LEN])
{
	char text[64] = "";

	snprintf(text, sizeof(text), "%llu%llu%llu", (unsigned long long)f->dev,
		 (unsigned long long)f->rdev, (unsigned long long)f->ino);
	memcpy(id, text, BLOCK_ID_LEN); /* truncated, or padded with zeros */
}
