/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the balloon share.  Everything under the device's lock.
 */
#pragma once

#include <linux/virtio_balloon.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/util.h"
#include "core/io/log.h"
#include "core/machine/mem.h"
#include "devices/virtio/balloon/balloon.h"

/* Bytes of a page in the protocol, whatever host and guest have. */
enum { BALLOON_PAGE = 1 << VIRTIO_BALLOON_PFN_SHIFT, BALLOON_PAGES_MIB = 256 };

struct balloon {
	struct virtio_device dev;
	/* What the driver sees.  The host's command for hinting is in it. */
	struct virtio_balloon_config config;
	struct balloon_metrics metrics;
	struct virtq_chain chain; /* being worked on */
	struct log_limit trouble; /* of the host; atomic */

	/*
	 * Where pages of the host are larger: a bit for each page of the
	 * protocol that is in the balloon, for each page of a region.  Only if
	 * the guest is bound to say when it takes one back.
	 */
	uint64_t host_page;
	uint16_t *inside[GUEST_MEM_REGIONS_MAX];

	/* Statistics.  There is a timer only if they were asked for. */
	uint16_t stats_interval_s;
	int timer_fd;
	struct virtio_source timer;
	bool timer_armed;
	bool stats_held; /* the driver's buffer */
	uint16_t stats_head;
	struct balloon_stats stats;

	/* Hinting. */
	uint32_t last_run; /* its command */
	bool acknowledge_on_stop;
	bool has_guest_cmd;
	uint32_t guest_cmd;

	/* Of a chain of free pages that waits for another turn, in bytes. */
	uint64_t hint_done, report_done;
};

static inline struct balloon *balloon_of(struct virtio_device *dev)
{
	return container_of(dev, struct balloon, dev);
}

/*
 * Memory of the guest goes back to the host; as much as are whole pages of it.
 * Costs the queue some of its budget.  False, and the log tells, if the host
 * did not take it.
 */
bool balloon_give_back(struct balloon *b, struct virtq *vq, void *host,
		       uint64_t len);
/* The driver did something that the protocol does not know. */
void balloon_mistake(struct balloon *b, const char *what);
/* Has a driver set it up?  If not, -1. */
int balloon_check_active(const struct balloon *b, struct err *e);
/* Bytes of RAM that the guest has. */
uint64_t balloon_ram(const struct balloon *b);

/* Pages: balloon_pages.c. */
int balloon_pages_init(struct balloon *b, struct err *e);
void balloon_pages_reset(struct balloon *b);
void balloon_pages_fini(struct balloon *b);
void balloon_inflate(struct balloon *b, struct virtq *vq);
void balloon_deflate(struct balloon *b, struct virtq *vq);

/* Statistics: balloon_stats.c. */
int balloon_stats_init(struct balloon *b, struct err *e);
void balloon_stats_reset(struct balloon *b);
void balloon_stats_fini(struct balloon *b);
void balloon_stats_kick(struct balloon *b, struct virtq *vq);

/* Hinting and reporting: balloon_free.c.  The reset is that of both. */
void balloon_hint_reset(struct balloon *b);
void balloon_hint_kick(struct balloon *b, struct virtq *vq);
void balloon_report_kick(struct balloon *b, struct virtq *vq);
