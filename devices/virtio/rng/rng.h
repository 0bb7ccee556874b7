/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entropy device (Virtual I/O Device 1.2, section 5.4): one queue, filled from
 * the host's getrandom().
 *
 * All functions: main thread.
 */
#pragma once

#include <stdint.h>

#include "devices/virtio/rate_limiter.h"
#include "devices/virtio/virtio.h"

struct err;

struct rng_config {
	struct rate_limiter_config limiter;
};

/* Firecracker's metric names.  Updated with metric_add(). */
struct rng_metrics {
	uint64_t activate_fails;
	uint64_t entropy_event_fails;
	uint64_t entropy_event_count;
	uint64_t entropy_bytes;
	uint64_t host_rng_fails;
	uint64_t entropy_rate_limiter_throttled;
	uint64_t rate_limiter_event_count;
};

extern const struct virtio_kind rng_kind;

/* Returns NULL on failure.  virtio_destroy() frees the device. */
struct virtio_device *rng_create(const struct virtio_slot *slot,
				 const struct rng_config *config,
				 struct err *e);

static inline const struct rng_metrics *
rng_metrics(const struct virtio_device *dev)
{
	return virtio_counters(dev);
}
