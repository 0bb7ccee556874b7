/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits what a device's queue may do: bytes and operations, each a token
 * bucket.  While a limit is reached, a timer is armed that says when to go
 * on; otherwise none runs, and where nothing is limited there is none.
 *
 * Under the lock of the device it belongs to.
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

/* A change: a bucket that is NULL stays as it is, one of zeros has no limit. */
struct rate_limiter_update {
	const struct token_bucket_config *bandwidth, *ops;
};

struct rate_limiter {
	struct token_bucket bandwidth, ops;
	bool throttled;     /* the timer is armed */
	uint64_t throttles; /* how often that began */
	uint64_t wakeups;   /* how often it ended by the timer */
	int timer_fd;       /* -1 until something was limited */
	struct virtio_source timer;
	void (*ready)(struct virtio_device *dev);
};

/*
 * @ready is called, with the lock held and on the main thread, when it is worth
 * trying again.  Half-built is fine for rate_limiter_fini().
 */
int rate_limiter_init(struct rate_limiter *l, struct virtio_device *dev,
		      const struct rate_limiter_config *config,
		      void (*ready)(struct virtio_device *dev), struct err *e);
void rate_limiter_fini(struct rate_limiter *l);

/*
 * A change in two halves, for those that change more than a limiter: what can
 * fail, which leaves the limits as they are (and at most a timer that is not
 * armed), and what cannot.  Main thread, lock held.
 */
int rate_limiter_reserve(struct rate_limiter *l, struct virtio_device *dev,
			 const struct rate_limiter_update *update,
			 struct err *e);
void rate_limiter_apply(struct rate_limiter *l, struct virtio_device *dev,
			const struct rate_limiter_update *update);

/* Both of them.  On failure nothing is changed. */
int rate_limiter_update(struct rate_limiter *l, struct virtio_device *dev,
			const struct rate_limiter_update *update,
			struct err *e);

/* One operation of so many bytes: now, or not before @ready was called. */
bool rate_limiter_take(struct rate_limiter *l, uint64_t bytes);

/* What is left in the buckets, and what the limits are. */
void rate_limiter_state(struct rate_limiter *l, struct virtio_device *dev,
			struct snap *s);
