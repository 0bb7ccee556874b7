/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/block/block.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/metrics.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "devices/virtio/block/block_internal.h"
#include "snapshot/codec.h"

/* block_patch() waits at most this long for requests to the old file. */
enum { PATCH_MS = 500 };

/* ------------------------------------------------------------ the data path */

static struct block_request *get_request(struct block *b)
{
	return b->async ? block_async_get(b->async) : b->sync;
}

static void put_request(struct block *b, struct block_request *r)
{
	if (b->async)
		block_async_put(b->async, r);
}

/*
 * Execute a request with the synchronous engine.  Returns false if its turn is
 * over; the rest waits for the next one.
 */
static bool work_on(struct block *b, struct block_request *r)
	REQUIRES(device_lock)
{
	unsigned status;

	for (;;) {
		block_step_next(b, r);
		status = block_step_done(b, r, block_step_do(b, r));
		if (status != BLOCK_MORE)
			break;
		if (virtio_turn_is_over(&b->dev)) {
			b->dev.inflight = 1;
			b->dev.queue[0].starved = true;
			return false;
		}
	}
	b->dev.inflight = 0;
	/* A flush may be slow: at most one per turn. */
	if (r->type == VIRTIO_BLK_T_FLUSH)
		b->dev.queue[0].budget = 0;
	block_finish(b, r, status);
	return true;
}

/*
 * Execute a checked request, or queue it for io_uring.  Returns false if the
 * next request has to wait.
 */
static bool carry_out(struct block *b, struct block_request *r)
	REQUIRES(device_lock)
{
	if (block_needs_steps(b, r)) {
		if (!b->async)
			return work_on(b, r);
		block_async_queue(b, r);
		return true;
	}
	block_finish(b, r, VIRTIO_BLK_S_OK);
	put_request(b, r);
	return true;
}

/*
 * Handle a request that was taken from the ring.  Returns false if it, or the
 * next one, has to wait.
 */
static bool handle(struct block *b, struct block_request *r)
	REQUIRES(device_lock)
{
	unsigned status;

	if (!block_parse(b, r, &status)) {
		metric_add(&b->metrics.invalid_reqs_count, 1);
		virtio_mistake(&b->dev, "sent a request without header or "
					"status");
		virtq_push(&b->dev.queue[0], &r->chain, 0);
		put_request(b, r);
		return true;
	}
	if (status != BLOCK_MORE) {
		metric_add(&b->metrics.invalid_reqs_count, 1);
		block_finish(b, r, status);
		put_request(b, r);
		return true;
	}
	/*
	 * DISCARD and WRITE_ZEROES are charged for the whole range: the cost to
	 * storage, not the size of the request.
	 */
	if (!rate_limiter_take(&b->limiter, r->len)) {
		metric_add(&b->metrics.rate_limiter_throttled_events, 1);
		virtq_unpop(&b->dev.queue[0]);
		put_request(b, r);
		return false;
	}
	return carry_out(b, r);
}

static void run(struct block *b) REQUIRES(device_lock)
{
	struct virtq *vq = &b->dev.queue[0];
	struct block_request *r;

	for (;;) {
		r = get_request(b);
		if (!r) {
			/* A completion runs the queue again. */
			metric_add(&b->metrics.io_engine_throttled_events, 1);
			return;
		}
		if (!virtq_pop(vq, &r->chain)) {
			put_request(b, r);
			return;
		}
		if (!handle(b, r))
			return;
		/*
		 * Most kicks bring one request: do not read the clock for it.
		 */
		if (vq->seen_avail != vq->next_avail)
			virtio_turn_is_over(&b->dev);
	}
}

static void block_kick(struct virtio_device *dev, unsigned queue)
	REQUIRES(device_lock)
{
	struct block *b = block_of(dev);
	uint16_t before = dev->queue[queue].next_avail;
	bool half_done = !b->async && dev->inflight;

	metric_add(&b->metrics.queue_event_count, 1);
	b->bytes_there = 0;
	if (half_done)
		virtio_turn_is_over(dev); /* measure this turn from here */
	if (!b->limiter.throttled && (!half_done || work_on(b, b->sync)))
		run(b);
	if (dev->queue[queue].next_avail == before && !half_done)
		metric_add(&b->metrics.no_avail_buffer, 1);
	if (b->async)
		block_async_submit(b);
}

static void limiter_ready(struct virtio_device *dev) REQUIRES(device_lock)
{
	metric_add(&block_of(dev)->metrics.rate_limiter_event_count, 1);
	virtio_run_queue(dev, 0);
}

/* -------------------------------------------------------------- the device */

static bool block_drain(struct virtio_device *dev, uint64_t deadline_ns)
	REQUIRES(device_lock)
{
	struct block *b = block_of(dev);

	if (b->async)
		return block_async_drain(b, deadline_ns);
	/*
	 * A half-done request can be repeated from the start, because the
	 * driver has not seen a status.
	 */
	virtq_unpop(&dev->queue[0]);
	dev->inflight = 0;
	return true;
}

static void block_state(struct virtio_device *dev, struct snap *s)
	REQUIRES(device_lock)
{
	struct block *b = block_of(dev);
	uint64_t sectors = b->file.sectors;
	char smaller[VIRTIO_NAME_MAX + 160];

	snap_u64(s, &sectors);
	snprintf(smaller, sizeof(smaller),
		 "%s has %llu bytes, and had %llu when the snapshot was taken; "
		 "give the disk as it was then, or one that grew",
		 dev->name, (unsigned long long)b->file.sectors << SECTOR_SHIFT,
		 (unsigned long long)sectors << SECTOR_SHIFT);
	snap_require(s, sectors <= b->file.sectors, smaller);
	if (sectors < b->file.sectors && !snap_failed(s))
		virtio_config_changed(dev);
	rate_limiter_state(&b->limiter, dev, s);
}

static void block_destroy(struct virtio_device *dev)
{
	struct block *b = block_of(dev);

	block_async_destroy(b);
	rate_limiter_fini(&b->limiter);
	virtio_fini(dev);
	block_file_close(&b->file);
	free(b->sync);
	free(b);
}

static const struct metric metric_table[] = {
	METRIC(struct block_metrics, activate_fails),
	METRIC(struct block_metrics, cfg_fails),
	METRIC(struct block_metrics, no_avail_buffer),
	METRIC(struct block_metrics, event_fails),
	METRIC(struct block_metrics, execute_fails),
	METRIC(struct block_metrics, invalid_reqs_count),
	METRIC(struct block_metrics, flush_count),
	METRIC(struct block_metrics, queue_event_count),
	METRIC(struct block_metrics, rate_limiter_event_count),
	METRIC(struct block_metrics, update_count),
	METRIC(struct block_metrics, update_fails),
	METRIC(struct block_metrics, read_bytes),
	METRIC(struct block_metrics, write_bytes),
	METRIC(struct block_metrics, read_count),
	METRIC(struct block_metrics, write_count),
	METRIC(struct block_metrics, rate_limiter_throttled_events),
	METRIC(struct block_metrics, io_engine_throttled_events),
	METRIC(struct block_metrics, remaining_reqs_count),
	LATENCY(struct block_metrics, read_agg),
	LATENCY(struct block_metrics, write_agg),
	EXTRA(struct block_metrics, discard_count),
	EXTRA(struct block_metrics, write_zeroes_count),
};

const struct virtio_kind block_kind = {
	.device_id = VIRTIO_ID_BLOCK,
	.name = "block",
	.many = true,
	VIRTIO_METRICS(struct block, metric_table),
};

static const struct virtio_ops block_ops = {
	.kind = &block_kind,
	.queue_count = 1,
	.kick = block_kick,
	.drain = block_drain,
	.state = block_state,
	.destroy = block_destroy,
};

static uint64_t features(const struct block_config *config)
{
	uint64_t f = BIT(VIRTIO_BLK_F_SEG_MAX);

	if (config->writeback)
		f |= BIT(VIRTIO_BLK_F_FLUSH);
	if (config->read_only)
		return f | BIT(VIRTIO_BLK_F_RO);
	return f | BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES);
}

static void describe(struct block *b)
{
	b->config.capacity = b->file.sectors;
	/* Two descriptors are for header and status. */
	b->config.seg_max = VIRTQ_CHAIN_MAX - 2;
	b->config.max_discard_sectors = BLOCK_DISCARD_SECTORS_TOLD;
	b->config.max_discard_seg = BLOCK_SEGMENTS_MAX;
	b->config.discard_sector_alignment =
		(uint32_t)(b->file.granularity >> SECTOR_SHIFT);
	b->config.max_write_zeroes_sectors = BLOCK_WRITE_ZEROES_SECTORS;
	b->config.max_write_zeroes_seg = 1;
	b->config.write_zeroes_may_unmap = 1;
}

static int set_engine(struct block *b, const struct block_config *config,
		      struct err *e)
{
	int r = -1;

	if (config->async) {
		r = block_async_create(b);
		if (r)
			log_warn("%s: this host does not allow io_uring (%s; "
				 "see sysctl kernel.io_uring_disabled, seccomp "
				 "filters, ulimit -l); the drive uses the Sync "
				 "engine",
				 b->dev.name, strerror(-r));
	}
	if (!r)
		return 0;
	b->sync = calloc(1, sizeof(*b->sync));
	return b->sync ? 0 : err_set(e, "no memory for a drive");
}

static struct block_place place_of(const struct block_config *config)
{
	return (struct block_place){config->path, config->folder,
				    config->read_only};
}

static int build(struct block *b, const struct virtio_slot *slot,
		 const struct block_config *config, struct err *e)
{
	const struct block_place place = place_of(config);
	char name[VIRTIO_NAME_MAX];

	snprintf(name, sizeof(name), "drive %s", config->id);
	if (virtio_init(&b->dev, &block_ops, slot, features(config), name, e))
		return -1;
	b->dev.config = &b->config;
	b->dev.config_len = sizeof(b->config);
	if (block_file_open(&b->file, &place, NULL, e))
		return -1;
	describe(b);
	if (rate_limiter_init(&b->limiter, &b->dev, &config->limiter,
			      limiter_ready, e))
		return -1;
	return set_engine(b, config, e);
}

struct virtio_device *block_create(const struct virtio_slot *slot,
				   const struct block_config *config,
				   struct err *e)
{
	struct block *b = calloc(1, sizeof(*b));

	if (!b) {
		err_set(e, "no memory for a drive");
		return NULL;
	}
	b->file.fd = -1;
	b->read_only = config->read_only;
	b->writeback = config->writeback;
	if (build(b, slot, config, e)) {
		block_destroy(&b->dev);
		return NULL;
	}
	return &b->dev;
}

/* ----------------------------------------------------------- for the client */

int block_check(const struct block_config *config, struct err *e)
{
	const struct block_place place = place_of(config);
	struct block_file f = {.fd = -1};

	if (block_file_open(&f, &place, NULL, e))
		return -1;
	block_file_close(&f);
	return 0;
}

static void replace_file(struct block *b, const struct block_file *new)
	REQUIRES(device_lock)
{
	block_file_close(&b->file);
	b->file = *new;
	b->told = false;
	describe(b);
	virtio_config_changed(&b->dev);
}

/* Do all that can fail before any change. */
static int patch(struct block *b, const char *path,
		 const struct rate_limiter_update *limits, struct err *e)
	REQUIRES(device_lock)
{
	const uint64_t deadline =
		clock_now_ns(CLOCK_MONOTONIC) + PATCH_MS * (NS_PER_S / 1000);
	const struct block_place place = {path, 0, b->read_only};
	struct block_file new;

	if (rate_limiter_reserve(&b->limiter, &b->dev, limits, e))
		return -1;
	if (path && b->dev.inflight && !block_drain(&b->dev, deadline))
		return err_set(e,
			       "its storage has not answered for %d ms, and "
			       "%u requests wait for it; try again",
			       PATCH_MS, b->dev.inflight);
	/*
	 * Requests that wait for a free one need a kick: the drain has taken
	 * all completions.
	 */
	b->dev.queue[0].starved = path;
	if (path && block_file_open(&new, &place, &b->file, e))
		return -1;
	if (path)
		replace_file(b, &new);
	rate_limiter_apply(&b->limiter, &b->dev, limits);
	return 0;
}

int block_patch(struct virtio_device *dev, const char *path,
		const struct rate_limiter_update *limits, struct err *e)
{
	struct block *b = block_of(dev);
	int r;

	virtio_enter(dev);
	r = patch(b, path, limits, e);
	if (path)
		metric_add(r ? &b->metrics.update_fails
			     : &b->metrics.update_count,
			   1);
	virtio_leave(dev);
	return r;
}

bool block_is_async(const struct virtio_device *dev)
{
	const struct block *b = container_of(dev, struct block, dev);

	return b->async;
}
