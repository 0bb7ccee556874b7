/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A memory balloon (Virtual I/O Device 1.2, section 5.5): pages that the guest
 * can do without go back to the host.
 *
 * Two queues inflate and deflate it; up to three more follow, in this order,
 * for what the driver accepted: statistics, free page hinting, free page
 * reporting.  The statistics queue works backwards: the driver's one buffer is
 * kept, and given back when new numbers are wanted.
 *
 * A hint is the word of a guest that may take pages back at any moment while a
 * run goes on; Linux does so when it is short of memory.  Reporting has no such
 * race.
 *
 * All functions: main thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/virtio.h"

struct err;

struct balloon_config {
	uint32_t amount_mib; /* the target */
	bool deflate_on_oom;
	uint16_t stats_polling_interval_s; /* 0: no statistics */
	bool free_page_hinting;
	bool free_page_reporting;
};

/* Firecracker's names.  Counted with metric_add(). */
struct balloon_metrics {
	uint64_t activate_fails;
	uint64_t cfg_fails;
	uint64_t inflate_count; /* requests */
	uint64_t stats_updates_count;
	uint64_t stats_update_fails;
	uint64_t deflate_count;
	uint64_t event_fails;
	uint64_t free_page_report_count; /* ranges */
	uint64_t free_page_report_freed; /* bytes */
	uint64_t free_page_report_fails;
	uint64_t free_page_hint_count;
	uint64_t free_page_hint_freed;
	uint64_t free_page_hint_fails;
};

/* The number of a statistic is its tag in the protocol. */
enum { BALLOON_STATS = 16 };
extern const char *const balloon_stat_names[BALLOON_STATS];

struct balloon_stats {
	uint32_t target_pages, actual_pages; /* of 4 KiB */
	uint32_t target_mib, actual_mib;
	uint32_t known; /* a bit for each value that the guest told */
	uint64_t value[BALLOON_STATS];
};

/* Commands of free page hinting that begin no run. */
enum { BALLOON_HINT_STOP = 0, BALLOON_HINT_DONE = 1 };

struct balloon_hinting_status {
	uint32_t host_cmd; /* the last; BALLOON_HINT_DONE: no run goes on */
	bool has_guest_cmd;
	uint32_t guest_cmd; /* the last */
};

/*
 * Would balloon_create() take this, in a machine with so much RAM?  Words as
 * Firecracker's, here and below.
 */
int balloon_check(const struct balloon_config *config, uint64_t ram_mib,
		  struct err *e);

extern const struct virtio_kind balloon_kind;

/* NULL on failure.  virtio_destroy() ends it. */
struct virtio_device *balloon_create(const struct virtio_slot *slot,
				     const struct balloon_config *config,
				     struct err *e);

/* What it is now. */
void balloon_config_get(const struct virtio_device *dev,
			struct balloon_config *config);

/* A new target.  The guest is told; it may take its time. */
int balloon_set_target(struct virtio_device *dev, uint32_t amount_mib,
		       struct err *e);

/* And ask for statistics now.  They cannot be switched on or off. */
int balloon_set_stats_interval(struct virtio_device *dev, uint16_t interval_s,
			       struct err *e);
int balloon_stats(struct virtio_device *dev, struct balloon_stats *stats,
		  struct err *e);

/*
 * Begin a run of free page hinting, also while another goes on.  With
 * @acknowledge_on_stop, balloon_hinting_stop() happens by itself when the guest
 * says that it has told everything; until then it keeps what it told.
 */
int balloon_hinting_start(struct virtio_device *dev, bool acknowledge_on_stop,
			  struct err *e);
int balloon_hinting_stop(struct virtio_device *dev, struct err *e);
int balloon_hinting_status(struct virtio_device *dev,
			   struct balloon_hinting_status *status,
			   struct err *e);

static inline const struct balloon_metrics *
balloon_metrics(const struct virtio_device *dev)
{
	return virtio_counters(dev);
}
