/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the parts of the balloon.  Everything under the device's lock. */
#pragma once

#include <linux/virtio_balloon.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/util.h"
#include "core/io/log.h"
#include "core/machine/mem.h"
#include "devices/virtio/balloon/balloon.h"

/* Page size of the protocol in bytes, independent of host and guest. */
enum { BALLOON_PAGE = 1 << VIRTIO_BALLOON_PFN_SHIFT, BALLOON_PAGES_MIB = 256 };

struct balloon {
	struct virtio_device dev;
	/* What the driver sees, including the host's hinting command. */
	struct virtio_balloon_config config;
	struct balloon_metrics metrics;
	struct virtq_chain chain; /* the chain being processed */
	struct log_limit trouble; /* log limit for host errors; atomic */

	/*
	 * If the host's pages, or the huge pages of RAM, are larger than the
	 * protocol's: a bit for each of the protocol's pages that is in the
	 * balloon, per region.  Kept across requests only if the driver
	 * accepted MUST_TELL_HOST.
	 */
	uint64_t host_page;
	uint64_t *inside[GUEST_MEM_REGIONS_MAX];

	/* Statistics.  The timer exists only if they are enabled. */
	uint16_t stats_interval_s;
	int timer_fd;
	struct virtio_source timer;
	bool timer_armed;
	bool stats_held; /* the driver's buffer is held */
	uint16_t stats_head;
	struct balloon_stats stats;

	/* Free page hinting. */
	uint32_t last_run; /* command of the last run */
	bool acknowledge_on_stop;
	bool has_guest_cmd;
	uint32_t guest_cmd;

	/* Bytes done of a chain of free pages that waits for another turn. */
	uint64_t hint_done, report_done;
};

static inline struct balloon *balloon_of(struct virtio_device *dev)
{
	return container_of(dev, struct balloon, dev);
}

/*
 * Return the whole host pages within @len bytes of guest RAM at @host to the
 * host.  Charges 1 to @vq's budget.  Returns false, and logs, if the host
 * fails.
 */
bool balloon_give_back(struct balloon *b, struct virtq *vq, void *host,
		       uint64_t len);
/* Count and log a protocol error of the driver. */
void balloon_mistake(struct balloon *b, const char *what);
/* Returns 0 if a driver has set DRIVER_OK, otherwise -1. */
int balloon_check_active(const struct balloon *b, struct err *e)
	REQUIRES(device_lock);
/* The guest's RAM in bytes. */
uint64_t balloon_ram(const struct balloon *b);

/* Pages: balloon_pages.c. */
int balloon_pages_init(struct balloon *b, struct err *e);
void balloon_pages_reset(struct balloon *b);
void balloon_pages_fini(struct balloon *b);
void balloon_inflate(struct balloon *b, struct virtq *vq) REQUIRES(device_lock);
void balloon_deflate(struct balloon *b, struct virtq *vq) REQUIRES(device_lock);

/* Statistics: balloon_stats.c. */
int balloon_stats_init(struct balloon *b, struct err *e);
void balloon_stats_reset(struct balloon *b);
void balloon_stats_fini(struct balloon *b);
void balloon_stats_kick(struct balloon *b, struct virtq *vq)
	REQUIRES(device_lock);

/* Hinting and reporting: balloon_free.c.  The reset covers both. */
void balloon_hint_reset(struct balloon *b);
void balloon_hint_kick(struct balloon *b, struct virtq *vq)
	REQUIRES(device_lock);
void balloon_report_kick(struct balloon *b, struct virtq *vq)
	REQUIRES(device_lock);
