/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/balloon/balloon.h"

#include <linux/virtio_balloon.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/metrics.h"
#include "devices/virtio/balloon/balloon_internal.h"
#include "snapshot/codec.h"

/* Inflate and deflate. */
enum { QUEUES_MIN = 2 };

bool balloon_give_back(struct balloon *b, struct virtq *vq, void *host,
		       uint64_t len)
{
	int r = guest_mem_discard(b->dev.slot.mem, host, len);

	/* A discard takes about as long as a request. */
	vq->budget -= vq->budget > 0;
	if (!r)
		return true;
	log_limited(&b->trouble,
		    "%s: the host does not take memory back (%s); the guest "
		    "keeps it",
		    b->dev.name, strerror(-r));
	return false;
}

void balloon_mistake(struct balloon *b, const char *what)
{
	metric_add(&b->metrics.event_fails, 1);
	virtio_mistake(&b->dev, what);
}

int balloon_check_active(const struct balloon *b, struct err *e)
{
	if (b->dev.status & VIRTIO_CONFIG_S_DRIVER_OK)
		return 0;
	return err_set(e, "Device is inactive, check if balloon driver is "
			  "enabled in guest kernel.");
}

uint64_t balloon_ram(const struct balloon *b)
{
	return guest_mem_size(b->dev.slot.mem);
}

/* ------------------------------------------------------------------- hooks */

/* Optional queues: those that the driver accepted follow in this order. */
static const struct {
	unsigned feature;
	void (*kick)(struct balloon *b, struct virtq *vq);
} optional[] = {
	{VIRTIO_BALLOON_F_STATS_VQ, balloon_stats_kick},
	{VIRTIO_BALLOON_F_FREE_PAGE_HINT, balloon_hint_kick},
	{VIRTIO_BALLOON_F_REPORTING, balloon_report_kick},
};

static void balloon_kick(struct virtio_device *dev, unsigned queue)
	REQUIRES(device_lock)
{
	struct balloon *b = balloon_of(dev);
	struct virtq *vq = &dev->queue[queue];
	unsigned next = QUEUES_MIN;

	if (queue == 0)
		balloon_inflate(b, vq);
	if (queue == 1)
		balloon_deflate(b, vq);
	for (unsigned i = 0; i < ARRAY_SIZE(optional); i++) {
		if (virtio_has(dev, optional[i].feature) && next++ == queue)
			optional[i].kick(b, vq);
	}
}

/* A driver that starts again has no pages in the balloon. */
static void balloon_reset(struct virtio_device *dev)
{
	struct balloon *b = balloon_of(dev);

	b->config.actual = 0;
	balloon_pages_reset(b);
	balloon_stats_reset(b);
	balloon_hint_reset(b);
}

/*
 * Not saved: the statistics, which are soon outdated, and which parts of a
 * large host page are in the balloon; without those, fewer pages are returned
 * to the host.
 */
static void balloon_state(struct virtio_device *dev, struct snap *s)
	REQUIRES(device_lock)
{
	struct balloon *b = balloon_of(dev);
	bool has_stats = b->stats_interval_s;

	snap_u32(s, &b->config.num_pages);
	snap_require(s, b->config.num_pages <= balloon_ram(b) / BALLOON_PAGE,
		     "a balloon's target is more than RAM");
	snap_u32(s, &b->config.actual);
	snap_u32(s, &b->config.free_page_hint_cmd_id);
	snap_u32(s, &b->last_run);
	snap_bool(s, &b->acknowledge_on_stop);
	snap_bool(s, &b->has_guest_cmd);
	snap_u32(s, &b->guest_cmd);
	snap_u16(s, &b->stats_interval_s);
	snap_require(s, has_stats == !!b->stats_interval_s,
		     "a balloon's statistics were switched on or off");
	snap_bool(s, &b->stats_held);
	snap_u16(s, &b->stats_head);
	snap_require(
		s, !b->stats_held || virtio_has(dev, VIRTIO_BALLOON_F_STATS_VQ),
		"a balloon has statistics that it should not have");
}

static void balloon_destroy(struct virtio_device *dev)
{
	struct balloon *b = balloon_of(dev);

	balloon_stats_fini(b);
	balloon_pages_fini(b);
	virtio_fini(dev);
	free(b);
}

static const struct metric metric_table[] = {
	METRIC(struct balloon_metrics, activate_fails),
	METRIC(struct balloon_metrics, cfg_fails),
	METRIC(struct balloon_metrics, inflate_count),
	METRIC(struct balloon_metrics, stats_updates_count),
	METRIC(struct balloon_metrics, stats_update_fails),
	METRIC(struct balloon_metrics, deflate_count),
	METRIC(struct balloon_metrics, event_fails),
	METRIC(struct balloon_metrics, free_page_report_count),
	METRIC(struct balloon_metrics, free_page_report_freed),
	METRIC(struct balloon_metrics, free_page_report_fails),
	METRIC(struct balloon_metrics, free_page_hint_count),
	METRIC(struct balloon_metrics, free_page_hint_freed),
	METRIC(struct balloon_metrics, free_page_hint_fails),
};

const struct virtio_kind balloon_kind = {
	.device_id = VIRTIO_ID_BALLOON,
	.name = "balloon",
	VIRTIO_METRICS(struct balloon, metric_table),
};

#define OPS(queues)                                                            \
	{                                                                      \
		.kind = &balloon_kind,                                         \
		.queue_count = (queues),                                       \
		.writable_at = offsetof(struct virtio_balloon_config, actual), \
		.writable_len = sizeof(uint32_t),                              \
		.kick = balloon_kick,                                          \
		.reset = balloon_reset,                                        \
		.state = balloon_state,                                        \
		.destroy = balloon_destroy,                                    \
	}

/*
 * One table for each number of queues, because an eventfd for an unused queue
 * would cost more.
 */
static const struct virtio_ops balloon_ops[] = {OPS(2), OPS(3), OPS(4), OPS(5)};

/* --------------------------------------------------------------- life cycle */

static int check_target(uint32_t amount_mib, uint64_t ram_mib, struct err *e)
{
	if (amount_mib <= ram_mib &&
	    amount_mib <= UINT32_MAX / BALLOON_PAGES_MIB)
		return 0;
	return err_set(e, "Amount of pages requested is too large.");
}

int balloon_check(const struct balloon_config *config, uint64_t ram_mib,
		  struct err *e)
{
	return check_target(config->amount_mib, ram_mib, e);
}

static uint64_t features(const struct balloon *b,
			 const struct balloon_config *config)
{
	uint64_t bits = 0;

	if (b->host_page > BALLOON_PAGE)
		bits |= BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST);
	if (config->deflate_on_oom)
		bits |= BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM);
	if (config->stats_polling_interval_s)
		bits |= BIT(VIRTIO_BALLOON_F_STATS_VQ);
	if (config->free_page_hinting)
		bits |= BIT(VIRTIO_BALLOON_F_FREE_PAGE_HINT);
	if (config->free_page_reporting)
		bits |= BIT(VIRTIO_BALLOON_F_REPORTING);
	return bits;
}

static int init(struct balloon *b, const struct virtio_slot *slot,
		const struct balloon_config *config, struct err *e)
{
	uint64_t bits = features(b, config);
	unsigned extra = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(optional); i++)
		extra += bits >> optional[i].feature & 1;
	if (virtio_init(&b->dev, &balloon_ops[extra], slot, bits, "balloon", e))
		return -1;
	if (check_target(config->amount_mib, balloon_ram(b) >> 20, e) ||
	    balloon_pages_init(b, e) || balloon_stats_init(b, e))
		return err_prefix(e, "balloon");
	b->config.num_pages = config->amount_mib * BALLOON_PAGES_MIB;
	b->dev.config = &b->config;
	/*
	 * The fields from poison_val on belong to features that are not
	 * offered.
	 */
	b->dev.config_len = offsetof(struct virtio_balloon_config, poison_val);
	return 0;
}

struct virtio_device *balloon_create(const struct virtio_slot *slot,
				     const struct balloon_config *config,
				     struct err *e)
{
	struct balloon *b = calloc(1, sizeof(*b));

	if (!b) {
		err_set(e, "no memory for the balloon");
		return NULL;
	}
	b->timer_fd = -1;
	b->host_page = max_u64((uint64_t)sysconf(_SC_PAGESIZE),
			       guest_mem_page(slot->mem));
	b->stats_interval_s = config->stats_polling_interval_s;
	if (!init(b, slot, config, e))
		return &b->dev;
	balloon_destroy(&b->dev);
	return NULL;
}

/* ---------------------------------------------------------------- the API */

void balloon_config_get(const struct virtio_device *dev,
			struct balloon_config *config)
{
	const struct balloon *b = container_of(dev, struct balloon, dev);
	uint64_t bits = dev->offered;

	*config = (struct balloon_config){
		.amount_mib = b->config.num_pages / BALLOON_PAGES_MIB,
		.deflate_on_oom = bits & BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM),
		.stats_polling_interval_s = b->stats_interval_s,
		.free_page_hinting =
			bits & BIT(VIRTIO_BALLOON_F_FREE_PAGE_HINT),
		.free_page_reporting = bits & BIT(VIRTIO_BALLOON_F_REPORTING),
	};
}

int balloon_set_target(struct virtio_device *dev, uint32_t amount_mib,
		       struct err *e)
{
	struct balloon *b = balloon_of(dev);
	int r;

	virtio_enter(dev);
	r = balloon_check_active(b, e);
	if (!r)
		r = check_target(amount_mib, balloon_ram(b) >> 20, e);
	if (!r) {
		b->config.num_pages = amount_mib * BALLOON_PAGES_MIB;
		virtio_config_changed(dev);
	}
	virtio_leave(dev);
	return r;
}
