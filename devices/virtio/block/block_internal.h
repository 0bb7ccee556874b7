/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the files of the block device:
 *
 *   block.c            the device
 *   block_file.c       the backing file
 *   block_identity.c   whether it is the file of a snapshot
 *   block_request.c    a request: parse, check, finish
 *   block_step.c       a request as a sequence of system calls
 *   block_async.c      io_uring
 *
 * The life of a request:
 *
 *   virtq_pop() --> block_parse() --> rate_limiter_take()
 *                                            |
 *                  +-------------------------+
 *                  v
 *           block_step_next() --> system call: block_step_do() or io_uring
 *                  ^                         |
 *                  | BLOCK_MORE              v
 *                  +------------------ block_step_done()
 *                                            | VIRTIO_BLK_S_*
 *                                            v
 *                                      block_finish() --> virtq_push()
 */
#pragma once

#include <linux/virtio_blk.h>

#include "devices/virtio/block/block.h"

enum {
	SECTOR_SHIFT = 9,
	BLOCK_HEADER_SIZE = sizeof(struct virtio_blk_outhdr),
	SECTOR_SIZE = 1 << SECTOR_SHIFT,
	BLOCK_ID_LEN = VIRTIO_BLK_ID_BYTES,
	BLOCK_INFLIGHT_MAX = 128,  /* requests of an async disk */
	BLOCK_DATA_MAX = 64 << 20, /* bytes of one request */
	BLOCK_SEGMENTS_MAX = 16,   /* of DISCARD; WRITE_ZEROES takes one */
	/*
	 * Accepted length of a segment, in sectors.  DISCARD advertises less,
	 * so that a bandwidth limit, which is charged for the whole range, does
	 * not hold back other requests for long.
	 */
	BLOCK_DISCARD_SECTORS = 1 << 21,      /* 1 GiB */
	BLOCK_DISCARD_SECTORS_TOLD = 1 << 17, /* 64 MiB */
	BLOCK_WRITE_ZEROES_SECTORS = 1 << 15, /* 16 MiB */
	/*
	 * Bound of one system call, in bytes: about 1 ms of work if it need not
	 * wait for storage.
	 */
	BLOCK_STEP_DATA = 2 << 20,
	BLOCK_STEP_ZEROS = 1 << 20,     /* written, not allocated */
	BLOCK_STEP_ALLOCATE = 16 << 20, /* fallocate() */
};

struct block_file {
	int fd; /* owned; -1 if none */
	uint64_t dev, rdev, ino;
	uint64_t sectors;
	uint64_t granularity; /* bytes, a power of two: good DISCARD unit */
	uint64_t align;    /* bytes, a power of two: required by fallocate() */
	bool always_waits; /* does not support RWF_NOWAIT */
	bool no_punch, no_zero_range; /* by fallocate() */
};

/* Where a file is: see struct block_config. */
struct block_place {
	const char *path;
	size_t folder;
	bool read_only;
};

/*
 * Open, check, and lock the file at @place.  @old is the file that it will
 * replace, or NULL; if it is the same file, the lock of @old is released.
 * Returns 0 or -1.
 */
int block_file_open(struct block_file *f, const struct block_place *place,
		    struct block_file *old, struct err *e);
void block_file_close(struct block_file *f);
/* The serial number that GET_ID returns: from device and inode numbers. */
void block_file_id(const struct block_file *f, char id[BLOCK_ID_LEN]);

/* What one system call does for a request. */
enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_ALLOCATE, BLOCK_DATASYNC };

struct block_step {
	enum block_op op;
	int mode;         /* FALLOC_FL_*, for BLOCK_ALLOCATE */
	uint64_t at, len; /* in the file, in bytes */
};

/*
 * A request from virtq_pop() to virtq_push(): a sequence of steps, of which one
 * is executed at a time.
 */
struct block_request {
	struct virtq_chain chain;
	uint32_t type;   /* VIRTIO_BLK_T_* */
	uint64_t offset; /* byte in the file, for IN and OUT */
	uint64_t len;    /* bytes of data, or of all ranges */
	uint64_t done;   /* bytes of @len that are done */
	uint64_t began;  /* metric_clock() */
	/* DISCARD and WRITE_ZEROES: the remaining ranges. */
	struct virtio_blk_discard_write_zeroes seg[BLOCK_SEGMENTS_MAX];
	unsigned seg_next, seg_count;
	struct block_step step;
	unsigned iov_count;
	struct iovec iov[VIRTQ_CHAIN_MAX]; /* data of @step */
};

struct block_async;

struct block {
	struct virtio_device dev;
	struct virtio_blk_config config;
	struct block_file file;
	bool read_only, writeback;
	bool told;            /* logged an I/O error */
	uint64_t bytes_there; /* file size; 0: not read in this kick */
	struct rate_limiter limiter;
	struct block_metrics metrics;
	/* The synchronous engine's only request; half done if in flight. */
	struct block_request *sync;
	struct block_async *async; /* NULL: synchronous */
};

static inline struct block *block_of(struct virtio_device *dev)
{
	return container_of(dev, struct block, dev);
}

/* Internal status: the request has (more) steps to execute. */
enum { BLOCK_MORE = 0x100 };

/*
 * Parse @r->chain, reading it once.  Returns false if it has no room for a
 * status; otherwise sets *status to the final status, or to BLOCK_MORE.
 */
bool block_parse(struct block *b, struct block_request *r, unsigned *status);
/*
 * Called if block_parse() set BLOCK_MORE.  Returns false if the request needs
 * no system call; then it is done.
 */
bool block_needs_steps(const struct block *b, const struct block_request *r);

/* Set @r->step to the next step, and @r->iov for BLOCK_READ and BLOCK_WRITE. */
void block_step_next(struct block *b, struct block_request *r);
/*
 * Execute the step synchronously.  Returns the system call's result, or -errno.
 */
ssize_t block_step_do(struct block *b, const struct block_request *r)
	REQUIRES(device_lock);
/*
 * Account for the step's result.  Returns BLOCK_MORE if there is another step,
 * or the final VIRTIO_BLK_S_*.
 */
unsigned block_step_done(struct block *b, struct block_request *r,
			 ssize_t result);
/* The RWF_* flags that writes need. */
int block_write_flags(const struct block *b) REQUIRES(device_lock);
/* Store the status, count the request, and return its chain to the driver. */
void block_finish(struct block *b, struct block_request *r, unsigned status)
	REQUIRES(device_lock);
/*
 * Count and log a host error (an errno; ENODATA: the file is too short).
 * Returns the VIRTIO_BLK_S_* for it.
 */
unsigned block_failed(struct block *b, int error);

/* Returns 0 or -errno. */
int block_async_create(struct block *b);
void block_async_destroy(struct block *b);
/* Returns a free request, or NULL if BLOCK_INFLIGHT_MAX are in flight. */
struct block_request *block_async_get(struct block_async *a);
/* Free a request that is not in flight. */
void block_async_put(struct block_async *a, struct block_request *r);
/* Start a request; block_async_submit() must follow. */
void block_async_queue(struct block *b, struct block_request *r)
	REQUIRES(device_lock);
/* Submit what was queued, and finish requests that are done. */
void block_async_submit(struct block *b) REQUIRES(device_lock);
/* Implements virtio_ops.drain. */
bool block_async_drain(struct block *b, uint64_t deadline_ns)
	REQUIRES(device_lock);
