/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk: a raw file or a block device of the host (Virtual I/O Device 1.2,
 * section 5.2).
 *
 * One queue.  BLOCK_SYNC does a request at a time, on the main thread;
 * BLOCK_ASYNC gives them to io_uring and completes them on the main thread.
 * Where the host does not allow io_uring, a warning says so and the disk is
 * BLOCK_SYNC.
 *
 * A file that is written to is locked against every other user, and one that
 * is read against writers (an open file description lock; block devices too).
 *
 * What the host cannot do (no space, I/O error, a file that became shorter)
 * the guest sees as VIRTIO_BLK_S_IOERR.
 *
 * All functions: main thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/rate_limiter.h"
#include "devices/virtio/virtio.h"

struct err;

enum block_engine { BLOCK_SYNC, BLOCK_ASYNC };

struct block_config {
	const char *id; /* for the log; copied */
	const char *path;
	bool read_only;
	bool writeback; /* offer FLUSH, and mean it */
	enum block_engine engine;
	struct rate_limiter_config limiter;
};

/* Firecracker's names.  Counted with metric_add(). */
struct block_metrics {
	uint64_t activate_fails;
	uint64_t cfg_fails;
	uint64_t no_avail_buffer;
	uint64_t event_fails;
	uint64_t execute_fails;
	uint64_t invalid_reqs_count;
	uint64_t flush_count;
	uint64_t queue_event_count;
	uint64_t rate_limiter_event_count;
	uint64_t update_count;
	uint64_t update_fails;
	uint64_t read_bytes;
	uint64_t write_bytes;
	uint64_t read_count;
	uint64_t write_count;
	uint64_t rate_limiter_throttled_events;
	uint64_t io_engine_throttled_events;
	uint64_t remaining_reqs_count;
	/* Not Firecracker's. */
	uint64_t discard_count;
	uint64_t write_zeroes_count;
};

/*
 * Could block_create() open this, now?  For a client that asks before there is
 * a machine.  Words as Firecracker's, from "Virtio backend error: " on.
 */
int block_check(const struct block_config *config, struct err *e);

extern const struct virtio_kind block_kind;

/* NULL on failure.  virtio_destroy() ends it. */
struct virtio_device *block_create(const struct virtio_slot *slot,
				   const struct block_config *config,
				   struct err *e);

/*
 * Other limits, and, unless @path is NULL, from now on @path: another file, or
 * the same one, which may have grown.  Requests in flight end first, and the
 * driver is told that its configuration changed.  On failure nothing is
 * changed.
 */
int block_patch(struct virtio_device *dev, const char *path,
		const struct rate_limiter_update *limits, struct err *e);

/*
 * What the file behind a disk is, for a snapshot.  Its bytes, what the host's
 * file system says of it, and hashes of some of its blocks; a hash of 0 is not
 * known, and a time of birth of 0 neither.
 */
enum { BLOCK_SAMPLES = 16 };
struct block_identity {
	uint64_t size, device, inode;
	uint64_t mtime_sec, mtime_ns, birth_sec, birth_ns;
	bool has_samples; /* snapshots before format 1.2 have none */
	struct {
		uint64_t at, hash;
	} sample[BLOCK_SAMPLES];
};

/*
 * Of the file that is open now; nothing may be in flight.  Reads what is in the
 * page cache and nothing else.
 */
int block_identity_get(const struct virtio_device *dev,
		       struct block_identity *id, struct err *e);
/*
 * Is that the disk that is open now?  -1, and why not, without its name.  Reads
 * from it only if it is another file than then.
 */
int block_identity_check(const struct virtio_device *dev,
			 const struct block_identity *then, struct err *e);

/* What it is now: BLOCK_SYNC if io_uring was not allowed. */
enum block_engine block_engine(const struct virtio_device *dev);

static inline const struct block_metrics *
block_metrics(const struct virtio_device *dev)
{
	return virtio_counters(dev);
}
