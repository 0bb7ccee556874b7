/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests (section 5.2.6): a header, data, and a byte for the status.  The
 * driver chooses how they are split into buffers.
 */
#include <errno.h>
#include <sys/stat.h>

#include "core/base/metrics.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "devices/virtio/block/block_internal.h"

/* ---------------------------------------------------------- parse and check */

static bool is_within(const struct block *b, uint64_t sector, uint64_t sectors)
{
	return sector <= b->file.sectors && sectors <= b->file.sectors - sector;
}

/*
 * False if the range ends beyond the file's end: the file was truncated while
 * in use, and a write must not extend it.  Calls statx() at most once per kick.
 */
static bool is_there(struct block *b, uint64_t sector, uint64_t sectors)
{
	struct statx st;

	if (!b->bytes_there && !io_look(b->file.fd, &st))
		b->bytes_there =
			S_ISREG(st.stx_mode) ? st.stx_size : UINT64_MAX;
	return (sector + sectors) << SECTOR_SHIFT <= b->bytes_there;
}

static unsigned check_data(struct block *b, struct block_request *r,
			   uint64_t sector, bool write)
{
	if (write && b->read_only)
		return VIRTIO_BLK_S_IOERR;
	if (r->len % SECTOR_SIZE || r->len > BLOCK_DATA_MAX ||
	    !is_within(b, sector, r->len >> SECTOR_SHIFT))
		return VIRTIO_BLK_S_IOERR;
	if (write && !is_there(b, sector, r->len >> SECTOR_SHIFT))
		return block_failed(b, ENODATA);
	r->offset = sector << SECTOR_SHIFT;
	return BLOCK_MORE;
}

/* Shrink the range to the whole blocks that the file can discard. */
static void shrink(const struct block *b,
		   struct virtio_blk_discard_write_zeroes *s)
{
	uint64_t align = b->file.align >> SECTOR_SHIFT;
	uint64_t from = align_up(s->sector, align);
	uint64_t to = align_down(s->sector + s->num_sectors, align);

	s->sector = from;
	s->num_sectors = to > from ? (uint32_t)(to - from) : 0;
}

/* Sections 5.2.6.1 and 5.2.6.2: reject reserved flags, and unmap in DISCARD. */
static unsigned check_range(struct block *b,
			    const struct virtio_blk_discard_write_zeroes *s,
			    bool is_discard)
{
	uint32_t most =
		is_discard ? BLOCK_DISCARD_SECTORS : BLOCK_WRITE_ZEROES_SECTORS;

	if (s->flags & ~(is_discard ? 0u : 1u))
		return VIRTIO_BLK_S_UNSUPP;
	if (s->num_sectors > most || !is_within(b, s->sector, s->num_sectors))
		return VIRTIO_BLK_S_IOERR;
	if (!is_discard && !is_there(b, s->sector, s->num_sectors))
		return block_failed(b, ENODATA);
	return BLOCK_MORE;
}

static unsigned check_ranges(struct block *b, struct block_request *r)
{
	bool is_discard = r->type == VIRTIO_BLK_T_DISCARD;
	uint64_t len = r->chain.out_len - BLOCK_HEADER_SIZE;
	unsigned status;

	if (b->read_only || len % sizeof(r->seg[0]) || !len ||
	    len / sizeof(r->seg[0]) > (is_discard ? BLOCK_SEGMENTS_MAX : 1))
		return VIRTIO_BLK_S_IOERR;
	r->seg_count = (unsigned)(len / sizeof(r->seg[0]));
	virtq_read(&r->chain, BLOCK_HEADER_SIZE, r->seg, len);
	for (unsigned i = 0; i < r->seg_count; i++) {
		status = check_range(b, &r->seg[i], is_discard);
		if (status != BLOCK_MORE)
			return status;
		if (is_discard)
			shrink(b, &r->seg[i]);
		r->len += (uint64_t)r->seg[i].num_sectors << SECTOR_SHIFT;
	}
	return BLOCK_MORE;
}

bool block_parse(struct block *b, struct block_request *r, unsigned *status)
{
	struct virtio_blk_outhdr header;

	if (!r->chain.in_len ||
	    !virtq_read(&r->chain, 0, &header, sizeof(header)))
		return false;
	r->type = header.type;
	r->began = metric_clock();
	r->offset = r->done = r->len = 0;
	r->seg_next = r->seg_count = 0;
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
		r->len = r->chain.in_len - 1;
		*status = check_data(b, r, header.sector, false);
		break;
	case VIRTIO_BLK_T_OUT:
		r->len = r->chain.out_len - BLOCK_HEADER_SIZE;
		*status = check_data(b, r, header.sector, true);
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		*status = check_ranges(b, r);
		break;
	case VIRTIO_BLK_T_FLUSH:
	case VIRTIO_BLK_T_GET_ID:
		*status = BLOCK_MORE;
		break;
	default:
		*status = VIRTIO_BLK_S_UNSUPP;
	}
	return true;
}

static void write_id(const struct block *b, const struct block_request *r)
{
	char id[BLOCK_ID_LEN];

	block_file_id(&b->file, id);
	/* A shorter buffer gets the part that fits before the status. */
	virtq_write(&r->chain, 0, id, min_u64(sizeof(id), r->chain.in_len - 1));
}

bool block_needs_steps(const struct block *b, const struct block_request *r)
{
	if (r->type == VIRTIO_BLK_T_GET_ID)
		write_id(b, r);
	return r->type == VIRTIO_BLK_T_FLUSH ? b->writeback : r->len > 0;
}

/* ------------------------------------------------------------------- finish */

static void count(struct block_metrics *m, const struct block_request *r)
{
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
		metric_add(&m->read_count, 1);
		metric_add(&m->read_bytes, r->len);
		metric_took(&m->read_agg, r->began);
		break;
	case VIRTIO_BLK_T_OUT:
		metric_add(&m->write_count, 1);
		metric_add(&m->write_bytes, r->len);
		metric_took(&m->write_agg, r->began);
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
		/* All buffers, up to the status byte at their end. */
		if (r->type == VIRTIO_BLK_T_IN ||
		    r->type == VIRTIO_BLK_T_GET_ID)
			written = (uint32_t)min_u64(c->in_len, UINT32_MAX);
	}
	c->touched = c->in_len;
	virtq_write(c, c->in_len - 1, &byte, 1);
	virtq_push(&b->dev.queue[0], c, written);
}
