/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vm/vm_metrics.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/metrics.h"
#include "core/base/util.h"
#include "devices/serial.h"
#include "devices/virtio/balloon/balloon.h"
#include "devices/virtio/block/block.h"
#include "devices/virtio/net/net.h"
#include "devices/virtio/rng/rng.h"
#include "devices/virtio/vsock/vsock.h"
#include "vmm/vm/clock_metrics.h"
#include "vmm/vm/vcpu.h"
#include "vmm/vm/virtio_slots.h"

static const struct metric balloon_table[] = {
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

static const struct metric block_table[] = {
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
	METRIC(struct block_metrics, discard_count),
	METRIC(struct block_metrics, write_zeroes_count),
};

static const struct metric net_table[] = {
	METRIC(struct net_metrics, activate_fails),
	METRIC(struct net_metrics, cfg_fails),
	METRIC(struct net_metrics, mac_address_updates),
	METRIC(struct net_metrics, no_rx_avail_buffer),
	METRIC(struct net_metrics, no_tx_avail_buffer),
	METRIC(struct net_metrics, event_fails),
	METRIC(struct net_metrics, rx_queue_event_count),
	METRIC(struct net_metrics, rx_event_rate_limiter_count),
	METRIC(struct net_metrics, rx_partial_writes),
	METRIC(struct net_metrics, rx_rate_limiter_throttled),
	METRIC(struct net_metrics, rx_tap_event_count),
	METRIC(struct net_metrics, rx_bytes_count),
	METRIC(struct net_metrics, rx_packets_count),
	METRIC(struct net_metrics, rx_fails),
	METRIC(struct net_metrics, rx_count),
	METRIC(struct net_metrics, tap_read_fails),
	METRIC(struct net_metrics, tap_write_fails),
	METRIC(struct net_metrics, tx_bytes_count),
	METRIC(struct net_metrics, tx_malformed_frames),
	METRIC(struct net_metrics, tx_fails),
	METRIC(struct net_metrics, tx_count),
	METRIC(struct net_metrics, tx_packets_count),
	METRIC(struct net_metrics, tx_partial_reads),
	METRIC(struct net_metrics, tx_queue_event_count),
	METRIC(struct net_metrics, tx_rate_limiter_event_count),
	METRIC(struct net_metrics, tx_rate_limiter_throttled),
	METRIC(struct net_metrics, tx_spoofed_mac_count),
	METRIC(struct net_metrics, tx_remaining_reqs_count),
	METRIC(struct net_metrics, tap_gone_count),
};

static const struct metric vsock_table[] = {
	METRIC(struct vsock_metrics, activate_fails),
	METRIC(struct vsock_metrics, cfg_fails),
	METRIC(struct vsock_metrics, rx_queue_event_fails),
	METRIC(struct vsock_metrics, tx_queue_event_fails),
	METRIC(struct vsock_metrics, ev_queue_event_fails),
	METRIC(struct vsock_metrics, muxer_event_fails),
	METRIC(struct vsock_metrics, conn_event_fails),
	METRIC(struct vsock_metrics, rx_queue_event_count),
	METRIC(struct vsock_metrics, tx_queue_event_count),
	METRIC(struct vsock_metrics, rx_bytes_count),
	METRIC(struct vsock_metrics, tx_bytes_count),
	METRIC(struct vsock_metrics, rx_packets_count),
	METRIC(struct vsock_metrics, tx_packets_count),
	METRIC(struct vsock_metrics, conns_added),
	METRIC(struct vsock_metrics, conns_killed),
	METRIC(struct vsock_metrics, conns_removed),
	METRIC(struct vsock_metrics, killq_resync),
	METRIC(struct vsock_metrics, tx_flush_fails),
	METRIC(struct vsock_metrics, tx_write_fails),
	METRIC(struct vsock_metrics, rx_read_fails),
};

static const struct metric rng_table[] = {
	METRIC(struct rng_metrics, activate_fails),
	METRIC(struct rng_metrics, entropy_event_fails),
	METRIC(struct rng_metrics, entropy_event_count),
	METRIC(struct rng_metrics, entropy_bytes),
	METRIC(struct rng_metrics, host_rng_fails),
	METRIC(struct rng_metrics, entropy_rate_limiter_throttled),
	METRIC(struct rng_metrics, rate_limiter_event_count),
};

enum { NAME_MAX_LEN = 80 };

/* What one kind of device has: the sum of all, and each by its name. */
static struct kind {
	struct metrics_group all;
	const void *bases[ARCH_VIRTIO_MAX];
	struct one {
		struct metrics_group group;
		char name[NAME_MAX_LEN];
	} *each[ARCH_VIRTIO_MAX]; /* NULL where memory ran out */
	bool many;                /* told one by one, too */
} kinds[] = {
#define KIND(title, table) \
	.all = {.name = (title), .metric = (table), .count = ARRAY_SIZE(table)}
	[VIRTIO_KIND_BALLOON] = {KIND("balloon", balloon_table)},
	[VIRTIO_KIND_BLOCK] = {KIND("block", block_table), .many = true},
	[VIRTIO_KIND_NET] = {KIND("net", net_table), .many = true},
	[VIRTIO_KIND_VSOCK] = {KIND("vsock", vsock_table)},
	[VIRTIO_KIND_RNG] = {KIND("entropy", rng_table)},
};
_Static_assert(ARRAY_SIZE(kinds) == VIRTIO_KINDS, "each is told");

static struct metrics_group *const groups[] = {
	&serial_metrics,
	&vcpu_metrics,
	&clock_metrics,
};

void vm_metrics_add(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(groups); i++)
		metrics_add(groups[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		kinds[i].all.bases = kinds[i].bases;
		metrics_add(&kinds[i].all);
	}
}

void vm_metrics_remove(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(groups); i++)
		metrics_remove(groups[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++)
		metrics_remove(&kinds[i].all);
}

static const void *counters_of(enum virtio_kind kind,
			       const struct virtio_device *dev)
{
	switch (kind) {
	case VIRTIO_KIND_BALLOON:
		return balloon_metrics(dev);
	case VIRTIO_KIND_BLOCK:
		return block_metrics(dev);
	case VIRTIO_KIND_NET:
		return net_metrics(dev);
	case VIRTIO_KIND_VSOCK:
		return vsock_metrics(dev);
	default:
		return rng_metrics(dev);
	}
}

/* "block_rootfs": of one of several. */
static struct one *make_one(const struct kind *kind, const char *id,
			    const void *base)
{
	struct one *one = calloc(1, sizeof(*one));

	if (!one)
		return NULL;
	snprintf(one->name, sizeof(one->name), "%s_%s", kind->all.name, id);
	one->group.name = one->name;
	one->group.metric = kind->all.metric;
	one->group.count = kind->all.count;
	one->group.base = base;
	metrics_add(&one->group);
	return one;
}

void vm_metrics_watch(const struct virtio_slots *slots)
{
	for (unsigned i = 0; i < slots->count; i++) {
		struct kind *kind = &kinds[slots->slot[i].kind];
		const void *base =
			counters_of(slots->slot[i].kind, slots->slot[i].dev);
		unsigned n = kind->all.base_count++;

		kind->bases[n] = base;
		kind->each[n] = NULL;
		if (kind->many)
			kind->each[n] = make_one(kind, slots->slot[i].id, base);
	}
}

void vm_metrics_forget(void)
{
	for (unsigned k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (unsigned i = 0; i < kinds[k].all.base_count; i++) {
			if (!kinds[k].each[i])
				continue;
			metrics_remove(&kinds[k].each[i]->group);
			free(kinds[k].each[i]);
		}
		/* What they counted is told no more; nor is it subtracted. */
		kinds[k].all.base_count = 0;
		metrics_restart(&kinds[k].all);
	}
}
