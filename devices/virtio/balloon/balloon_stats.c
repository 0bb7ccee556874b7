/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <string.h>
#include <sys/timerfd.h>

#include "core/base/err.h"
#include "core/base/metrics.h"
#include "devices/virtio/balloon/balloon_internal.h"

/* Entries read from one buffer; the rest is ignored. */
enum { ENTRIES_MAX = 64 };

enum { STATS_QUEUE = 2 };

/* Indexed by tag; numeric ones are newer than the oldest host's header. */
const char *const balloon_stat_names[BALLOON_STATS] = {
	[VIRTIO_BALLOON_S_SWAP_IN] = "swap_in",
	[VIRTIO_BALLOON_S_SWAP_OUT] = "swap_out",
	[VIRTIO_BALLOON_S_MAJFLT] = "major_faults",
	[VIRTIO_BALLOON_S_MINFLT] = "minor_faults",
	[VIRTIO_BALLOON_S_MEMFREE] = "free_memory",
	[VIRTIO_BALLOON_S_MEMTOT] = "total_memory",
	[VIRTIO_BALLOON_S_AVAIL] = "available_memory",
	[VIRTIO_BALLOON_S_CACHES] = "disk_caches",
	[VIRTIO_BALLOON_S_HTLB_PGALLOC] = "hugetlb_allocations",
	[VIRTIO_BALLOON_S_HTLB_PGFAIL] = "hugetlb_failures",
	[10] = "oom_kill",
	[11] = "alloc_stall",
	[12] = "async_scan",
	[13] = "direct_scan",
	[14] = "async_reclaim",
	[15] = "direct_reclaim",
};

/* --------------------------------------------------------------- requesting */

static void arm(struct balloon *b, unsigned seconds)
{
	struct itimerspec spec = {.it_value = {.tv_sec = seconds}};

	timerfd_settime(b->timer_fd, 0, &spec, NULL);
	b->timer_armed = seconds > 0;
}

/* Return the buffer: the driver will send it again with new values. */
static void ask(struct balloon *b) REQUIRES(device_lock)
{
	if (!b->stats_held || !virtio_is_live(&b->dev, STATS_QUEUE))
		return;
	b->stats_held = false;
	arm(b, 0);
	b->chain.head = b->stats_head;
	b->chain.out_count = b->chain.in_count = 0;
	b->chain.touched = 0;
	virtq_push(&b->dev.queue[STATS_QUEUE], &b->chain, 0);
}

static void timer_ready(struct virtio_device *dev) REQUIRES(device_lock)
{
	struct balloon *b = balloon_of(dev);
	uint64_t expired;

	/* If it was disarmed or rearmed meanwhile, there is nothing to read. */
	if (read(b->timer_fd, &expired, sizeof(expired)) < 0)
		return;
	b->timer_armed = false;
	ask(b);
}

/* --------------------------------------------------------------- receiving */

static void take_entries(struct balloon *b, const uint8_t *buf, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct virtio_balloon_stat entry;

		memcpy(&entry, buf + i * sizeof(entry), sizeof(entry));
		/* Newer drivers have more. */
		if (entry.tag >= BALLOON_STATS)
			continue;
		b->stats.value[entry.tag] = entry.val;
		b->stats.known |= 1u << entry.tag;
	}
}

static void take_chain(struct balloon *b)
{
	uint8_t buf[ENTRIES_MAX * sizeof(struct virtio_balloon_stat)];
	uint64_t len = min_u64(b->chain.out_len, sizeof(buf));

	if (b->chain.out_len != len || b->chain.in_len ||
	    len % sizeof(struct virtio_balloon_stat)) {
		balloon_mistake(b, "sends no statistics, or too many");
		metric_add(&b->metrics.stats_update_fails, 1);
	}
	virtq_read(&b->chain, 0, buf, len);
	take_entries(b, buf,
		     (unsigned)(len / sizeof(struct virtio_balloon_stat)));
}

void balloon_stats_kick(struct balloon *b, struct virtq *vq)
{
	while (virtq_pop(vq, &b->chain)) {
		uint16_t head = b->chain.head;

		metric_add(&b->metrics.stats_updates_count, 1);
		take_chain(b);
		if (b->stats_held) {
			balloon_mistake(b, "has two buffers for statistics");
			ask(b); /* so that the first buffer is returned */
		}
		b->stats_head = head;
		b->stats_held = true;
	}
	/*
	 * Armed only after an answer: a driver that does not answer is not
	 * polled.
	 */
	if (b->stats_held && !b->timer_armed)
		arm(b, b->stats_interval_s);
}

/* --------------------------------------------------------------- life cycle */

int balloon_stats_init(struct balloon *b, struct err *e)
{
	int r;

	if (!b->stats_interval_s)
		return 0;
	b->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (b->timer_fd < 0)
		return err_errno(e, "cannot create a timer for statistics");
	r = virtio_watch(&b->dev, &b->timer, b->timer_fd, EPOLLIN, timer_ready);
	if (!r)
		return 0;
	errno = -r;
	return err_errno(e, "cannot watch a timer for statistics");
}

void balloon_stats_fini(struct balloon *b)
{
	virtio_unwatch(&b->dev, &b->timer);
	util_close(&b->timer_fd);
}

void balloon_stats_reset(struct balloon *b)
{
	b->stats_held = false;
	if (b->timer_fd >= 0)
		arm(b, 0);
}

int balloon_set_stats_interval(struct virtio_device *dev, uint16_t interval_s,
			       struct err *e)
{
	struct balloon *b = balloon_of(dev);

	if (!interval_s != !b->stats_interval_s)
		return err_set(e, "Cannot enable/disable the statistics after "
				  "boot.");
	if (interval_s == b->stats_interval_s)
		return 0;
	virtio_enter(dev);
	b->stats_interval_s = interval_s;
	ask(b);
	virtio_leave(dev);
	return 0;
}

int balloon_stats(struct virtio_device *dev, struct balloon_stats *stats,
		  struct err *e)
{
	struct balloon *b = balloon_of(dev);

	if (!b->stats_interval_s)
		return err_set(e, "Statistics for the balloon device are not "
				  "enabled");
	virtio_enter(dev);
	*stats = b->stats;
	stats->target_pages = b->config.num_pages;
	stats->actual_pages = b->config.actual;
	virtio_leave(dev);
	stats->target_mib = stats->target_pages / BALLOON_PAGES_MIB;
	stats->actual_mib = stats->actual_pages / BALLOON_PAGES_MIB;
	return 0;
}
