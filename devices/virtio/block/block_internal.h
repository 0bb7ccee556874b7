/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the block device share.  block.c: the device; block_file.c:
 * what is behind it; block_identity.c: whether that is what it was;
 * block_request.c: what the driver wants; block_step.c: the system calls that
 * does it with; block_async.c: io_uring.
 */
#pragma once

#include <linux/virtio_blk.h>

#include "devices/virtio/block/block.h"

enum {
	SECTOR_SHIFT = 9,
	SECTOR_SIZE = 1 << SECTOR_SHIFT,
	BLOCK_ID_LEN = VIRTIO_BLK_ID_BYTES,
	BLOCK_INFLIGHT_MAX = 128,  /* of the asynchronous engine */
	BLOCK_DATA_MAX = 64 << 20, /* bytes of one request */
	BLOCK_SEGMENTS_MAX = 16,   /* of DISCARD; WRITE_ZEROES has one */
	/*
	 * What a segment may have.  The driver is told of less for DISCARD, so
	 * that a bandwidth limit, to which the whole range is charged, does not
	 * hold back other requests for long.
	 */
	BLOCK_DISCARD_SECTORS = 1 << 21,      /* 1 GiB */
	BLOCK_DISCARD_SECTORS_TOLD = 1 << 17, /* 64 MiB */
	BLOCK_WRITE_ZEROES_SECTORS = 1 << 15, /* 16 MiB */
	/*
	 * What one system call may do, in bytes: about a millisecond of work
	 * if no storage has to be waited for.
	 */
	BLOCK_STEP_DATA = 2 << 20,
	BLOCK_STEP_ZEROS = 1 << 20,     /* written, not allocated */
	BLOCK_STEP_ALLOCATE = 16 << 20, /* fallocate() */
};

struct block_file {
	int fd; /* owned; -1 if none */
	uint64_t dev, rdev, ino;
	uint64_t sectors;
	uint64_t granularity; /* bytes, a power of two; worth discarding */
	uint64_t align;       /* bytes, a power of two; of fallocate() */
	bool always_waits;    /* knows no RWF_NOWAIT */
	bool no_punch, no_zero_range; /* fallocate() does not have that */
};

/*
 * Open, check, and lock.  @old is the file that is to be replaced, or NULL: if
 * it is the same one, its lock is given up.
 */
int block_file_open(struct block_file *f, const char *path, bool read_only,
		    struct block_file *old, struct err *e);
void block_file_close(struct block_file *f);
void block_file_id(const struct block_file *f, char id[BLOCK_ID_LEN]);

/* What one system call does for a request. */
enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_ALLOCATE, BLOCK_DATASYNC };

struct block_step {
	enum block_op op;
	int mode;         /* of BLOCK_ALLOCATE: FALLOC_FL_* */
	uint64_t at, len; /* in the file, in bytes */
};

/*
 * A request that was taken and not yet given back: a sequence of steps, of
 * which one is made at a time.
 */
struct block_request {
	struct virtq_chain chain;
	uint32_t type;   /* VIRTIO_BLK_T_* */
	uint64_t offset; /* in the file; of IN and OUT */
	uint64_t len;    /* bytes: of data, or of all ranges */
	uint64_t done;   /* of it */
	/* DISCARD and WRITE_ZEROES: what remains of the ranges. */
	struct virtio_blk_discard_write_zeroes seg[BLOCK_SEGMENTS_MAX];
	unsigned seg_next, seg_count;
	struct block_step step;
	unsigned iov_count;
	struct iovec iov[VIRTQ_CHAIN_MAX]; /* of the step */
};

struct block_async;

struct block {
	struct virtio_device dev;
	struct virtio_blk_config config;
	struct block_file file;
	bool read_only, writeback;
	bool told;            /* of an I/O error */
	uint64_t bytes_there; /* in the file; 0: this kick has not looked */
	struct rate_limiter limiter;
	struct block_metrics metrics;
	/* The one of the synchronous engine; in flight: it is half done. */
	struct block_request *sync;
	struct block_async *async; /* NULL: synchronous */
};

/* A status that no driver sees: there is (more) to be done. */
enum { BLOCK_MORE = 0x100 };

/*
 * Look at what is in @r->chain, once.  False if there is nowhere to put a
 * status; otherwise *status is what to answer now, or BLOCK_MORE.
 */
bool block_parse(struct block *b, struct block_request *r, unsigned *status);
/* BLOCK_MORE, but nothing that takes a system call?  Then it is done now. */
bool block_needs_steps(const struct block *b, const struct block_request *r);

/* Set @r->step to what is next, and @r->iov for BLOCK_READ and BLOCK_WRITE. */
void block_step_next(struct block *b, struct block_request *r);
/* Make the step now.  What the system call returned, or -errno. */
ssize_t block_step_do(struct block *b, const struct block_request *r);
/*
 * The step was made, with that result.  BLOCK_MORE: there is another; else the
 * VIRTIO_BLK_S_* of the request.
 */
unsigned block_step_done(struct block *b, struct block_request *r,
			 ssize_t result);
/* RWF_* for writes. */
int block_write_flags(const struct block *b);
/* Store the status, count, and give the chain back. */
void block_finish(struct block *b, struct block_request *r, unsigned status);
/* The host failed with this errno (ENODATA: the file is too short): the status
 * for that. */
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
/* As the drain hook. */
bool block_async_drain(struct block *b, uint64_t deadline_ns);
