/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request as a sequence of system calls, each of a bounded amount of work, so
 * that the main thread can serve other sources in between:
 *
 *   IN, OUT         BLOCK_READ, BLOCK_WRITE of at most BLOCK_STEP_DATA
 *   FLUSH           BLOCK_DATASYNC
 *   DISCARD         BLOCK_ALLOCATE, which punches a hole
 *   WRITE_ZEROES    BLOCK_ALLOCATE; BLOCK_WRITE if the file system does not
 *                   support that, and for parts that are not aligned
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/metrics.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "devices/virtio/block/block_internal.h"

/* Never written, but not const: .bss takes no space in the binary. */
static uint8_t zeros[65536];

_Static_assert(BLOCK_STEP_ZEROS / sizeof(zeros) <= VIRTQ_CHAIN_MAX,
	       "a step of zeros needs more buffers than there are");

/* -------------------------------------------------------------------- data */

static void next_data(struct block_request *r)
{
	const struct virtq_chain *c = &r->chain;
	uint64_t len = min_u64(r->len - r->done, BLOCK_STEP_DATA);
	bool in = r->type == VIRTIO_BLK_T_IN;

	r->step = (struct block_step){in ? BLOCK_READ : BLOCK_WRITE, 0,
				      r->offset + r->done, len};
	if (in)
		r->iov_count = virtq_slice(c->iov + c->out_count, c->in_count,
					   r->done, len, r->iov);
	else
		r->iov_count =
			virtq_slice(c->iov, c->out_count,
				    BLOCK_HEADER_SIZE + r->done, len, r->iov);
}

/* ------------------------------------------------------------------ ranges */

static void next_zeros(struct block_request *r, uint64_t at, uint64_t len)
{
	len = min_u64(len, BLOCK_STEP_ZEROS);
	r->step = (struct block_step){BLOCK_WRITE, 0, at, len};
	r->iov_count = 0;
	for (uint64_t part; len; len -= part) {
		part = min_u64(len, sizeof(zeros));
		r->iov[r->iov_count++] = (struct iovec){zeros, part};
	}
}

static bool can_allocate(const struct block_file *f, int mode)
{
	return mode & FALLOC_FL_PUNCH_HOLE ? !f->no_punch : !f->no_zero_range;
}

static void next_range(struct block *b, struct block_request *r)
{
	const struct virtio_blk_discard_write_zeroes *s;
	const uint64_t align = b->file.align;
	uint64_t at, end, stop;
	bool is_discard = r->type == VIRTIO_BLK_T_DISCARD;
	int mode;

	while (!r->seg[r->seg_next].num_sectors)
		r->seg_next++; /* ends, because r->done < r->len */
	s = &r->seg[r->seg_next];
	at = s->sector << SECTOR_SHIFT;
	end = at + ((uint64_t)s->num_sectors << SECTOR_SHIFT);
	mode = is_discard || (s->flags & 1 && !b->file.no_punch)
		       ? FALLOC_FL_PUNCH_HOLE
		       : FALLOC_FL_ZERO_RANGE;
	if (at % align && !is_discard) {
		next_zeros(r, at, min_u64(end, align_up(at, align)) - at);
		return;
	}
	/*
	 * End at a multiple of BLOCK_STEP_ALLOCATE, so that the next step is
	 * aligned as well.
	 */
	stop = min_u64(end, align_down(at, BLOCK_STEP_ALLOCATE) +
				    BLOCK_STEP_ALLOCATE);
	if (!is_discard)
		stop = align_down(stop, align);
	if (is_discard || (can_allocate(&b->file, mode) && stop > at))
		r->step = (struct block_step){BLOCK_ALLOCATE,
					      mode | FALLOC_FL_KEEP_SIZE, at,
					      stop - at};
	else
		next_zeros(r, at, end - at);
}

static void advance(struct block_request *r, uint64_t bytes)
{
	r->done += bytes;
	if (!r->seg_count)
		return;
	r->seg[r->seg_next].sector += bytes >> SECTOR_SHIFT;
	r->seg[r->seg_next].num_sectors -= (uint32_t)(bytes >> SECTOR_SHIFT);
}

/*
 * fallocate() rejected @step: raise the alignment if the range was not aligned
 * to the granularity, which may be the reason; otherwise do not try that mode
 * again.
 */
static void remember_limit(struct block_file *f, const struct block_step *step)
{
	if ((step->at | step->len) % f->granularity &&
	    f->align < f->granularity)
		f->align = f->granularity;
	else if (step->mode & FALLOC_FL_PUNCH_HOLE)
		f->no_punch = true;
	else
		f->no_zero_range = true;
}

static unsigned allocated(struct block *b, struct block_request *r, int error)
{
	bool impossible = error == EOPNOTSUPP || error == EINVAL;

	if (!error) {
		advance(r, r->step.len);
	} else if (impossible) {
		remember_limit(&b->file, &r->step);
		if (r->type == VIRTIO_BLK_T_DISCARD)
			r->done = r->len; /* only a hint */
	} else {
		return block_failed(b, error);
	}
	return r->done < r->len ? BLOCK_MORE : VIRTIO_BLK_S_OK;
}

/* ------------------------------------------------------------------- steps */

void block_step_next(struct block *b, struct block_request *r)
{
	if (r->type == VIRTIO_BLK_T_FLUSH)
		r->step = (struct block_step){.op = BLOCK_DATASYNC};
	else if (r->seg_count)
		next_range(b, r);
	else
		next_data(r);
}

int block_write_flags(const struct block *b)
{
	/* A driver without FLUSH expects that completed writes are on disk. */
	return b->writeback && !virtio_has(&b->dev, VIRTIO_BLK_F_FLUSH)
		       ? RWF_DSYNC
		       : 0;
}

ssize_t block_step_do(struct block *b, const struct block_request *r)
{
	const struct block_step *s = &r->step;
	off_t at = (off_t)s->at;
	ssize_t n = -1;

	switch (s->op) {
	case BLOCK_READ:
		n = preadv2(b->file.fd, r->iov, (int)r->iov_count, at, 0);
		break;
	case BLOCK_WRITE:
		n = pwritev2(b->file.fd, r->iov, (int)r->iov_count, at,
			     block_write_flags(b));
		break;
	case BLOCK_ALLOCATE:
		n = fallocate(b->file.fd, s->mode, at, (off_t)s->len);
		break;
	case BLOCK_DATASYNC:
		n = fdatasync(b->file.fd);
		break;
	}
	return n < 0 ? -errno : n;
}

unsigned block_step_done(struct block *b, struct block_request *r,
			 ssize_t result)
{
	if (result == -EINTR)
		return BLOCK_MORE;
	if (r->step.op == BLOCK_ALLOCATE)
		return allocated(b, r, (int)-result);
	if (result < 0)
		return block_failed(b, (int)-result);
	if (r->step.op == BLOCK_DATASYNC)
		return VIRTIO_BLK_S_OK;
	if (r->seg_count)
		result = (ssize_t)align_down((uint64_t)result, SECTOR_SIZE);
	if (!result) /* the file was truncated */
		return block_failed(b, ENODATA);
	advance(r, (uint64_t)result);
	return r->done < r->len ? BLOCK_MORE : VIRTIO_BLK_S_OK;
}

unsigned block_failed(struct block *b, int error)
{
	metric_add(&b->metrics.execute_fails, 1);
	if (!b->told)
		log_warn("%s: an I/O error (%s), which the guest sees, too; no "
			 "more of them are reported here",
			 b->dev.name,
			 error == ENODATA ? "its file is shorter than it was"
					  : strerror(error));
	b->told = true;
	return VIRTIO_BLK_S_IOERR;
}
