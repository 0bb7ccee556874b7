/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A memory balloon (Virtual I/O Device 1.2, section 5.5): returns pages that
 * the guest does not need to the host.
 *
 * Queues 0 and 1 inflate and deflate it; up to three more follow, in this
 * order, for the features that the driver accepted: statistics, free page
 * hinting, free page reporting.  The statistics queue works in reverse: the
 * device holds the driver's only buffer, and returns it to request new values.
 *
 * Hints are unreliable: during a hinting run the guest may take hinted pages
 * back at any moment; Linux does so when it is short of memory.  Reporting has
 * no such race.
 *
 * All functions: main thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/virtio.h"

struct err;

struct balloon_config {
	uint32_t amount_mib; /* the target size */
	bool deflate_on_oom;
	uint16_t stats_polling_interval_s; /* 0: no statistics */
	bool free_page_hinting;
	bool free_page_reporting;
};

/* Firecracker's metric names.  Updated with metric_add(). */
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

/* Names of statistics, indexed by their tag in the protocol. */
enum { BALLOON_STATS = 16 };
extern const char *const balloon_stat_names[BALLOON_STATS];

struct balloon_stats {
	uint32_t target_pages, actual_pages; /* of 4 KiB */
	uint32_t target_mib, actual_mib;
	uint32_t known; /* bitmap of the valid entries of @value */
	uint64_t value[BALLOON_STATS];
};

/* Commands of free page hinting that do not start a run. */
enum { BALLOON_HINT_STOP = 0, BALLOON_HINT_DONE = 1 };

struct balloon_hinting_status {
	uint32_t host_cmd; /* last command; BALLOON_HINT_DONE: no active run */
	bool has_guest_cmd;
	uint32_t guest_cmd; /* last command */
};

/*
 * Check @config for a machine with @ram_mib MiB of RAM.  Returns 0 or -1.  Here
 * and below, the errors' wording is Firecracker's.
 */
int balloon_check(const struct balloon_config *config, uint64_t ram_mib,
		  struct err *e);

extern const struct virtio_kind balloon_kind;

/* Returns NULL on failure.  virtio_destroy() frees the device. */
struct virtio_device *balloon_create(const struct virtio_slot *slot,
				     const struct balloon_config *config,
				     struct err *e);

/* Store the current configuration in @config. */
void balloon_config_get(const struct virtio_device *dev,
			struct balloon_config *config);

/*
 * Set the target size in MiB and notify the guest, which adapts in its own
 * time.  Returns 0 or -1.
 */
int balloon_set_target(struct virtio_device *dev, uint32_t amount_mib,
		       struct err *e);

/*
 * Set the polling interval in seconds and request statistics now.  Statistics
 * cannot be enabled or disabled this way.  Returns 0 or -1.
 */
int balloon_set_stats_interval(struct virtio_device *dev, uint16_t interval_s,
			       struct err *e);
/* The last statistics received.  Returns 0, or -1 if they are not enabled. */
int balloon_stats(struct virtio_device *dev, struct balloon_stats *stats,
		  struct err *e);

/*
 * Start a run of free page hinting; it replaces an active run.  With
 * @acknowledge_on_stop, balloon_hinting_stop() is implied once the guest has
 * hinted at all its free pages; until the stop, the guest holds the hinted
 * pages back.  Returns 0 or -1, like the two functions below.
 */
int balloon_hinting_start(struct virtio_device *dev, bool acknowledge_on_stop,
			  struct err *e);
int balloon_hinting_stop(struct virtio_device *dev, struct err *e);
int balloon_hinting_status(struct virtio_device *dev,
			   struct balloon_hinting_status *status,
			   struct err *e);

/* The device's live counters; valid as long as the device. */
static inline const struct balloon_metrics *
balloon_metrics(const struct virtio_device *dev)
{
	return virtio_counters(dev);
}
