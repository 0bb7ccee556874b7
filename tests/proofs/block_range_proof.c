/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request to read or write a drive, and a range to discard or to zero, that
 * passes the checks lies within the drive, whatever the guest's header says,
 * and a write never extends the file.
 *
 * Bounds: none; drives of up to 2^54 sectors, which is 2^63 bytes.
 */
#include <sys/stat.h>

#include "devices/virtio/block/block_request.c" /* nogncheck */
#include "tests/proofs/host.h"

static struct block b;

int io_look(int fd, struct statx *st)
{
	(void)fd;
	st->stx_mode = nondet_u16();
	st->stx_size = nondet_u64() >> 1;
	return nondet_bool() ? -1 : 0;
}

unsigned block_failed(struct block *block, int error)
{
	(void)block;
	(void)error;
	return VIRTIO_BLK_S_IOERR;
}

static void check_request_data(void)
{
	static struct block_request r;
	bool write = nondet_bool();

	r.len = nondet_u64();
	if (check_data(&b, &r, nondet_u64(), write) != BLOCK_MORE)
		return;
	prove(r.offset <= b.file.sectors << SECTOR_SHIFT &&
		      r.len <= (b.file.sectors << SECTOR_SHIFT) - r.offset,
	      "data is within the drive");
	prove(!write || r.offset + r.len <= b.bytes_there,
	      "a write does not extend the file");
	prove(!write || !b.read_only, "a read-only drive is not written");
}

static void check_request_range(void)
{
	struct virtio_blk_discard_write_zeroes s = {nondet_u64(), nondet_u32(),
						    nondet_u32()};
	bool is_discard = nondet_bool();
	uint64_t from = s.sector, sectors = s.num_sectors;

	if (check_range(&b, &s, is_discard) != BLOCK_MORE)
		return;
	prove(from <= b.file.sectors && sectors <= b.file.sectors - from,
	      "a range is within the drive");
	if (!is_discard) {
		prove((from + sectors) << SECTOR_SHIFT <= b.bytes_there,
		      "zeroes do not extend the file");
		return;
	}
	shrink(&b, &s);
	prove(!s.num_sectors || (s.sector >= from && s.num_sectors <= sectors &&
				 s.sector - from <= sectors - s.num_sectors),
	      "whole blocks are within the range");
}

int main(void)
{
	b.read_only = nondet_bool();
	b.bytes_there = nondet_u64();
	b.file.sectors = nondet_u64();
	b.file.align = 512ull << nondet_u8() % 8;
	assume(b.file.sectors <= 1ull << 54);
	if (nondet_bool())
		check_request_data();
	else
		check_request_range();
	return 0;
}
