/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk backed by a raw file or a block device of the host (Virtual I/O Device
 * 1.2, section 5.2).
 *
 * One queue.  Requests are executed one at a time on the main thread; those of
 * an async disk are submitted to io_uring, and completed on the main thread.
 * Where the host does not allow io_uring, the log warns and the disk is not
 * async.
 *
 * A writable backing file is locked against all other users, a read-only one
 * against writers (open file description locks; block devices too).
 *
 * Host errors (no space, I/O error, a file that was truncated) are reported to
 * the guest as VIRTIO_BLK_S_IOERR.
 *
 * All functions: main thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/metrics.h"
#include "devices/virtio/rate_limiter.h"
#include "devices/virtio/virtio.h"

struct err;

/* Strings are the caller's, and copied. */
struct block_config {
	char *id; /* for the log */
	char *path;
	/* So many bytes of .path name a folder whose content is not trusted
	 * (io_open_beneath()); 0: .path is. */
	size_t folder;
	bool read_only;
	bool writeback; /* offer FLUSH, and execute it */
	bool async;     /* use io_uring, if this host allows it */
	struct rate_limiter_config limiter;
};

/* Firecracker's metric names.  Updated with metric_add(). */
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
	/* Of requests, from their start to their end. */
	struct metric_latency read_agg, write_agg;
	/* Not Firecracker's. */
	uint64_t discard_count;
	uint64_t write_zeroes_count;
};

/*
 * Check whether block_create() could open the backing file now, for clients
 * that ask before there is a machine.  Returns 0 or -1.  The error's wording is
 * Firecracker's, starting with "Virtio backend error: ".
 */
int block_check(const struct block_config *config, struct err *e);

extern const struct virtio_kind block_kind;

/* Returns NULL on failure.  virtio_destroy() frees the device. */
struct virtio_device *block_create(const struct virtio_slot *slot,
				   const struct block_config *config,
				   struct err *e);

/*
 * Change the rate limits and, unless @path is NULL, the backing file: to
 * another file, or to the same one, which may have grown.  A new file waits at
 * most 500 ms for requests in flight, and the driver is notified that its
 * configuration changed.  Returns 0, or -1 with nothing changed.
 */
int block_patch(struct virtio_device *dev, const char *path,
		const struct rate_limiter_update *limits, struct err *e);

/*
 * Identity of a backing file, for a snapshot: size in bytes, file system
 * metadata, and hashes of some blocks.  A hash or a birth time of 0 is unknown.
 */
enum { BLOCK_SAMPLES = 16 };
struct block_identity {
	uint64_t size, device, inode;
	uint64_t mtime_sec, mtime_ns, birth_sec, birth_ns;
	bool has_samples; /* false in snapshots before format 1.2 */
	struct {
		uint64_t at, hash;
	} sample[BLOCK_SAMPLES];
};

/*
 * Get the identity of the open file while nothing is in flight.  Samples only
 * what is in the page cache, because storage may hang.  Returns 0 or -1.
 */
int block_identity_get(const struct virtio_device *dev,
		       struct block_identity *id, struct err *e);
/*
 * Check that the open file is the disk that @then describes.  Reads from the
 * file only if it is not the same file.  Returns 0, or -1 with the reason,
 * which does not name the disk.
 */
int block_identity_check(const struct virtio_device *dev,
			 const struct block_identity *then, struct err *e);

/* Is io_uring in use?  False if it was not allowed. */
bool block_is_async(const struct virtio_device *dev);

/* The device's live counters; valid as long as the device. */
static inline const struct block_metrics *
block_metrics(const struct virtio_device *dev)
{
	return virtio_counters(dev);
}
