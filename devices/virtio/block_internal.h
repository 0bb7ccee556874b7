/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the block device share.  block.c: the device; block_file.c:
 * what is behind it; block_request.c: what the driver wants; block_async.c:
 * io_uring.
 */
#pragma once

#include <linux/virtio_blk.h>

#include "devices/virtio/block.h"

enum {
	SECTOR_SHIFT = 9,
	SECTOR_SIZE = 1 << SECTOR_SHIFT,
	BLOCK_ID_LEN = VIRTIO_BLK_ID_BYTES,
	BLOCK_INFLIGHT_MAX = 128, /* of the asynchronous engine */
	/* Of one request.  Bounds how long others wait for it. */
	BLOCK_DATA_MAX = 64 << 20,
	BLOCK_DISCARD_SEGS = 16,
	BLOCK_DISCARD_SECTORS = 1 << 21,      /* 1 GiB per segment */
	BLOCK_WRITE_ZEROES_SECTORS = 1 << 15, /* 16 MiB */
};

struct block_file {
	int fd; /* owned; -1 if none */
	uint64_t dev, rdev, ino;
	uint64_t sectors;
	uint64_t granularity; /* bytes; what is worth discarding */
	bool always_waits;    /* knows no RWF_NOWAIT */
};

/*
 * Open, check, and lock.  @old is the file that is to be replaced, or NULL: if
 * it is the same one, its lock is given up.
 */
int block_file_open(struct block_file *f, const char *path, bool read_only,
		    struct block_file *old, struct err *e);
void block_file_close(struct block_file *f);
void block_file_id(const struct block_file *f, char id[BLOCK_ID_LEN]);

/* A request that was taken and not yet given back. */
struct block_request {
	struct virtq_chain chain;
	uint32_t type;   /* VIRTIO_BLK_T_* */
	uint64_t offset; /* in the file */
	uint64_t len;    /* of data, without header and status */
	uint64_t done;   /* of it */
	unsigned iov_count;
	struct iovec iov[VIRTQ_CHAIN_MAX]; /* what remains to be done */
};

struct block_async;

struct block {
	struct virtio_device dev;
	struct virtio_blk_config config;
	struct block_file file;
	bool read_only, writeback;
	bool told; /* of an I/O error */
	struct rate_limiter limiter;
	struct block_metrics metrics;
	struct block_request *sync; /* the one of the synchronous engine */
	struct block_async *async;  /* NULL: synchronous */
};

/*
 * Look at what is in @r->chain.  False if there is nowhere to put a status;
 * otherwise *status is what to answer now, or BLOCK_DATA if data is to be
 * moved, or a flush done.
 */
enum { BLOCK_DATA = 0x100 };
bool block_parse(struct block *b, struct block_request *r, unsigned *status);
/* Set @r->iov to what remains. */
void block_request_rest(struct block_request *r);
/* Do what block_parse() left; a VIRTIO_BLK_S_*. */
unsigned block_execute(struct block *b, struct block_request *r);
/* DISCARD, WRITE_ZEROES, GET_ID: as a whole. */
unsigned block_execute_other(struct block *b, const struct block_request *r);
/* RWF_* for writes. */
int block_write_flags(const struct block *b);
/* Store the status, count, and give the chain back. */
void block_finish(struct block *b, struct block_request *r, unsigned status);
/* The host failed with this errno: the status for that. */
unsigned block_failed(struct block *b, int error);

/* 0 or -errno. */
int block_async_create(struct block *b);
void block_async_destroy(struct block *b);
/* A free request, or NULL when as many as there can be are in flight. */
struct block_request *block_async_get(struct block_async *a);
void block_async_put(struct block_async *a, struct block_request *r);
void block_async_queue(struct block *b, struct block_request *r);
/* Let the kernel see what was queued, and give back what is done. */
void block_async_submit(struct block *b);
/* Until nothing is in flight. */
void block_async_drain(struct block *b);
