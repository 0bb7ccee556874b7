/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits bytes and operations of a device's queue, each by a token bucket.
 *
 * A timer is armed only while a limit is reached, and created only once
 * something is limited.
 *
 * All functions: under the lock of the device that owns the limiter, or while
 * no other thread knows it yet.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/token_bucket.h"
#include "devices/virtio/virtio.h"

struct err;
struct snap;

struct rate_limiter_config {
	struct token_bucket_config bandwidth; /* bytes */
	struct token_bucket_config ops;
};

static inline bool
rate_limiter_config_limits(const struct rate_limiter_config *config)
{
	return token_bucket_config_limits(&config->bandwidth) ||
	       token_bucket_config_limits(&config->ops);
}

/*
 * A change of limits: a bucket that is NULL stays as it is; a bucket of zeros
 * removes the limit.
 */
struct rate_limiter_update {
	const struct token_bucket_config *bandwidth, *ops;
};

struct rate_limiter {
	struct token_bucket bandwidth, ops;
	bool throttled;     /* the timer is armed */
	uint64_t throttles; /* times that throttling began */
	uint64_t wakeups;   /* times that the timer ended it */
	int timer_fd;       /* -1 until something was limited */
	struct virtio_source timer;
	void (*ready)(struct virtio_device *dev);
};

/*
 * Set up @l for @dev with the limits in @config.  Once a throttled operation is
 * worth retrying, @ready is called on the main thread with the lock held.
 * Returns 0 or -1; after a failure, rate_limiter_fini() is safe.
 */
int rate_limiter_init(struct rate_limiter *l, struct virtio_device *dev,
		      const struct rate_limiter_config *config,
		      void (*ready)(struct virtio_device *dev), struct err *e);
void rate_limiter_fini(struct rate_limiter *l);

/*
 * A change of limits in two steps, for callers that change more than a limiter:
 * rate_limiter_reserve() can fail (-1) and leaves the limits as they are, at
 * most with a new timer that is not armed; rate_limiter_apply() cannot fail.
 * Main thread, lock held.
 */
int rate_limiter_reserve(struct rate_limiter *l, struct virtio_device *dev,
			 const struct rate_limiter_update *update,
			 struct err *e) REQUIRES(device_lock);
void rate_limiter_apply(struct rate_limiter *l, struct virtio_device *dev,
			const struct rate_limiter_update *update)
	REQUIRES(device_lock);

/* Reserve and apply.  Returns 0, or -1 with the limits unchanged. */
int rate_limiter_update(struct rate_limiter *l, struct virtio_device *dev,
			const struct rate_limiter_update *update, struct err *e)
	REQUIRES(device_lock);

/*
 * Charge one operation of @bytes bytes.  Returns false if a limit is reached;
 * then retry when @ready is called.
 */
bool rate_limiter_take(struct rate_limiter *l, uint64_t bytes)
	REQUIRES(device_lock);

/* Save or load the limits and what is left in the buckets. */
void rate_limiter_state(struct rate_limiter *l, struct virtio_device *dev,
			struct snap *s) REQUIRES(device_lock);
