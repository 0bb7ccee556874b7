/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the driver wants, section 5.2.6: a header, data, and a byte for the
 * status.  How they are cut into buffers is the driver's choice.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/uio.h>

#include "devices/virtio/block_internal.h"
#include "vmm/base/log.h"
#include "vmm/base/metrics.h"
#include "vmm/base/util.h"

enum { HEADER_SIZE = sizeof(struct virtio_blk_outhdr) };

/* ---------------------------------------------------------------- look at */

static bool is_within(const struct block *b, uint64_t sector, uint64_t sectors)
{
	return sector <= b->file.sectors && sectors <= b->file.sectors - sector;
}

static unsigned check_data(const struct block *b, struct block_request *r,
			   uint64_t sector, bool write)
{
	if (write && b->read_only)
		return VIRTIO_BLK_S_IOERR;
	if (r->len % SECTOR_SIZE || r->len > BLOCK_DATA_MAX ||
	    !is_within(b, sector, r->len >> SECTOR_SHIFT))
		return VIRTIO_BLK_S_IOERR;
	r->offset = sector << SECTOR_SHIFT;
	r->done = 0;
	return BLOCK_DATA;
}

bool block_parse(struct block *b, struct block_request *r, unsigned *status)
{
	struct virtio_blk_outhdr header;

	if (!r->chain.in_len ||
	    !virtq_read(&r->chain, 0, &header, sizeof(header)))
		return false;
	r->type = header.type;
	r->offset = r->done = r->len = 0;
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
		r->len = r->chain.in_len - 1;
		*status = check_data(b, r, header.sector, false);
		break;
	case VIRTIO_BLK_T_OUT:
		r->len = r->chain.out_len - HEADER_SIZE;
		*status = check_data(b, r, header.sector, true);
		break;
	case VIRTIO_BLK_T_FLUSH:
	case VIRTIO_BLK_T_GET_ID:
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		*status = BLOCK_DATA;
		break;
	default:
		*status = VIRTIO_BLK_S_UNSUPP;
	}
	return true;
}

void block_request_rest(struct block_request *r)
{
	const struct virtq_chain *c = &r->chain;
	uint64_t rest = r->len - r->done;

	if (r->type == VIRTIO_BLK_T_IN)
		r->iov_count = virtq_slice(c->iov + c->out_count, c->in_count,
					   r->done, rest, r->iov);
	else
		r->iov_count = virtq_slice(c->iov, c->out_count,
					   HEADER_SIZE + r->done, rest, r->iov);
}

/* -------------------------------------------------------------------- data */

unsigned block_failed(struct block *b, int error)
{
	metric_add(&b->metrics.execute_fails, 1);
	if (!b->told)
		log_warn("%s: an I/O error (%s), which the guest sees, too; no "
			 "more of them are reported here",
			 b->dev.name, strerror(error));
	b->told = true;
	return VIRTIO_BLK_S_IOERR;
}

int block_write_flags(const struct block *b)
{
	/* A driver that cannot flush expects what was written to be there. */
	return b->writeback && !virtio_has(&b->dev, VIRTIO_BLK_F_FLUSH)
		       ? RWF_DSYNC
		       : 0;
}

static unsigned move_data(struct block *b, struct block_request *r)
{
	off_t at = (off_t)r->offset;
	ssize_t n;

	while (r->done < r->len) {
		block_request_rest(r);
		if (r->type == VIRTIO_BLK_T_IN)
			n = preadv(b->file.fd, r->iov, (int)r->iov_count,
				   at + (off_t)r->done);
		else
			n = pwritev2(b->file.fd, r->iov, (int)r->iov_count,
				     at + (off_t)r->done, block_write_flags(b));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) /* zero: the file became shorter */
			return block_failed(b, n ? errno : ENODATA);
		r->done += (uint64_t)n;
	}
	return VIRTIO_BLK_S_OK;
}

unsigned block_execute(struct block *b, struct block_request *r)
{
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		return move_data(b, r);
	case VIRTIO_BLK_T_FLUSH:
		if (b->writeback && fdatasync(b->file.fd))
			return block_failed(b, errno);
		return VIRTIO_BLK_S_OK;
	default:
		return block_execute_other(b, r);
	}
}

/* ---------------------------------------------------------- everything else */

/* For file systems that cannot make zeros by themselves. */
static int write_zeros(int fd, off_t at, off_t len)
{
	/* Never written, yet not const: it takes no room in the binary. */
	static uint8_t zeros[65536];

	while (len) {
		size_t part = min_u64((uint64_t)len, sizeof(zeros));
		ssize_t n = pwrite(fd, zeros, part, at);

		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0) {
			at += n;
			len -= n;
		}
	}
	return 0;
}

static int allocate(int fd, int mode, off_t at, off_t len)
{
	int r;

	do {
		r = fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, at, len);
	} while (r && errno == EINTR);
	return r;
}

static int discard(int fd, off_t at, off_t len)
{
	int r = allocate(fd, FALLOC_FL_PUNCH_HOLE, at, len);

	/* A hint: to ignore it is allowed. */
	return r && errno == EOPNOTSUPP ? 0 : r;
}

static int zero(int fd, off_t at, off_t len, bool unmap)
{
	int r = allocate(fd,
			 unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE,
			 at, len);

	return r && errno == EOPNOTSUPP ? write_zeros(fd, at, len) : r;
}

static unsigned range(struct block *b, uint32_t type,
		      const struct virtio_blk_discard_write_zeroes *s)
{
	bool is_discard = type == VIRTIO_BLK_T_DISCARD;
	uint32_t most =
		is_discard ? BLOCK_DISCARD_SECTORS : BLOCK_WRITE_ZEROES_SECTORS;
	off_t at, len;
	int r;

	/* Sections 5.2.6.1 and .2: what is reserved, and no unmap here. */
	if (s->flags & ~(is_discard ? 0u : 1u))
		return VIRTIO_BLK_S_UNSUPP;
	if (s->num_sectors > most || !is_within(b, s->sector, s->num_sectors))
		return VIRTIO_BLK_S_IOERR;
	if (!s->num_sectors)
		return VIRTIO_BLK_S_OK;
	at = (off_t)(s->sector << SECTOR_SHIFT);
	len = (off_t)s->num_sectors << SECTOR_SHIFT;
	r = is_discard ? discard(b->file.fd, at, len)
		       : zero(b->file.fd, at, len, s->flags & 1);
	return r ? block_failed(b, errno) : VIRTIO_BLK_S_OK;
}

static unsigned ranges(struct block *b, const struct block_request *r)
{
	struct virtio_blk_discard_write_zeroes segs[BLOCK_DISCARD_SEGS];
	uint64_t len = r->chain.out_len - HEADER_SIZE;
	size_t count = len / sizeof(*segs);
	unsigned status = VIRTIO_BLK_S_OK;

	if (b->read_only)
		return VIRTIO_BLK_S_IOERR;
	if (len % sizeof(*segs) || !count ||
	    count > (r->type == VIRTIO_BLK_T_DISCARD ? BLOCK_DISCARD_SEGS : 1))
		return VIRTIO_BLK_S_IOERR;
	virtq_read(&r->chain, HEADER_SIZE, segs, len);
	for (size_t i = 0; i < count && status == VIRTIO_BLK_S_OK; i++)
		status = range(b, r->type, &segs[i]);
	return status;
}

unsigned block_execute_other(struct block *b, const struct block_request *r)
{
	char id[BLOCK_ID_LEN];

	if (r->type != VIRTIO_BLK_T_GET_ID)
		return ranges(b, r);
	block_file_id(&b->file, id);
	/* A shorter buffer gets what fits; the status is behind it. */
	virtq_write(&r->chain, 0, id, min_u64(sizeof(id), r->chain.in_len - 1));
	return VIRTIO_BLK_S_OK;
}

/* --------------------------------------------------------------- give back */

static void count(struct block_metrics *m, const struct block_request *r)
{
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
		metric_add(&m->read_count, 1);
		metric_add(&m->read_bytes, r->len);
		break;
	case VIRTIO_BLK_T_OUT:
		metric_add(&m->write_count, 1);
		metric_add(&m->write_bytes, r->len);
		break;
	case VIRTIO_BLK_T_FLUSH:
		metric_add(&m->flush_count, 1);
		break;
	case VIRTIO_BLK_T_DISCARD:
		metric_add(&m->discard_count, 1);
		break;
	case VIRTIO_BLK_T_WRITE_ZEROES:
		metric_add(&m->write_zeroes_count, 1);
		break;
	default:
		break;
	}
}

void block_finish(struct block *b, struct block_request *r, unsigned status)
{
	struct virtq_chain *c = &r->chain;
	uint8_t byte = (uint8_t)status;
	uint32_t written = 1;

	if (status == VIRTIO_BLK_S_OK) {
		count(&b->metrics, r);
		/* All of it lies before the status. */
		if (r->type == VIRTIO_BLK_T_IN ||
		    r->type == VIRTIO_BLK_T_GET_ID)
			written = (uint32_t)min_u64(c->in_len, UINT32_MAX);
	}
	c->touched = c->in_len;
	virtq_write(c, c->in_len - 1, &byte, 1);
	virtq_push(&b->dev.queue[0], c, written);
}
