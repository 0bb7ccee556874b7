/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/rate_limiter.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>

#include "core/base/err.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "snapshot/codec.h"

static bool is_limited(const struct rate_limiter *l)
{
	return token_bucket_is_limited(&l->bandwidth) ||
	       token_bucket_is_limited(&l->ops);
}

/* Call @ready after @ns nanoseconds; 0 disarms the timer. */
static void arm(struct rate_limiter *l, uint64_t ns)
{
	/* Bounded to a year, because the timer retries anyway. */
	uint64_t bounded = min_u64(ns, 365 * (86400 * NS_PER_S));
	struct itimerspec spec = {
		.it_value = {(time_t)(bounded / NS_PER_S),
			     (long)(bounded % NS_PER_S)},
	};

	timerfd_settime(l->timer_fd, 0, &spec, NULL);
	l->throttled = ns > 0;
}

static void timer_ready(struct virtio_device *dev, struct rate_limiter *l)
{
	uint64_t expired;

	/* If it was disarmed or rearmed meanwhile, there is nothing to read. */
	if (read(l->timer_fd, &expired, sizeof(expired)) < 0)
		return;
	l->throttled = false;
	l->wakeups++;
	l->ready(dev);
}

static void on_timer(struct event_source *source, uint32_t events)
{
	struct virtio_source *timer =
		container_of(source, struct virtio_source, source);
	struct rate_limiter *l =
		container_of(timer, struct rate_limiter, timer);
	struct virtio_device *dev = timer->dev;

	(void)events;
	virtio_enter(dev);
	timer_ready(dev, l);
	virtio_leave(dev);
}

static int need_timer(struct rate_limiter *l, struct virtio_device *dev,
		      struct err *e)
{
	int r;

	if (l->timer_fd >= 0)
		return 0;
	l->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (l->timer_fd < 0)
		return err_errno(e, "cannot create a timer for a rate limiter");
	l->timer.dev = dev;
	l->timer.source.ready = on_timer;
	r = loop_add(dev->slot.loop, &l->timer.source, l->timer_fd, EPOLLIN);
	if (!r)
		return 0;
	rate_limiter_fini(l);
	errno = -r;
	return err_errno(e, "cannot watch a timer of a rate limiter");
}

int rate_limiter_init(struct rate_limiter *l, struct virtio_device *dev,
		      const struct rate_limiter_config *config,
		      void (*ready)(struct virtio_device *dev),
		      struct err *e) ALONE
{
	const struct rate_limiter_update all = {&config->bandwidth,
						&config->ops};

	*l = (struct rate_limiter){.timer_fd = -1, .ready = ready};
	return rate_limiter_update(l, dev, &all, e);
}

void rate_limiter_fini(struct rate_limiter *l)
{
	if (!l->timer.dev)
		return; /* it never had a timer */
	virtio_unwatch(l->timer.dev, &l->timer);
	util_close(&l->timer_fd);
}

static void set(struct token_bucket *b,
		const struct token_bucket_config *config)
{
	if (config)
		token_bucket_init(b, config, clock_now_ns(CLOCK_MONOTONIC));
}

int rate_limiter_reserve(struct rate_limiter *l, struct virtio_device *dev,
			 const struct rate_limiter_update *update,
			 struct err *e)
{
	struct rate_limiter new = {.bandwidth = l->bandwidth, .ops = l->ops};

	set(&new.bandwidth, update->bandwidth);
	set(&new.ops, update->ops);
	return is_limited(&new) ? need_timer(l, dev, e) : 0;
}

void rate_limiter_apply(struct rate_limiter *l, struct virtio_device *dev,
			const struct rate_limiter_update *update)
{
	set(&l->bandwidth, update->bandwidth);
	set(&l->ops, update->ops);
	if (l->throttled) {
		arm(l, 0);
		l->ready(dev);
	}
}

int rate_limiter_update(struct rate_limiter *l, struct virtio_device *dev,
			const struct rate_limiter_update *update, struct err *e)
{
	if (rate_limiter_reserve(l, dev, update, e))
		return -1;
	rate_limiter_apply(l, dev, update);
	return 0;
}

static bool throttle(struct rate_limiter *l, uint64_t wait_ns)
{
	l->throttles++;
	arm(l, wait_ns ? wait_ns : 1);
	return false;
}

bool rate_limiter_take(struct rate_limiter *l, uint64_t bytes)
{
	uint64_t now;

	if (!is_limited(l))
		return true;
	if (l->throttled)
		return false;
	now = clock_now_ns(CLOCK_MONOTONIC);
	if (!token_bucket_take(&l->ops, 1, now))
		return throttle(l, token_bucket_wait_ns(&l->ops, 1));
	if (token_bucket_take(&l->bandwidth, bytes, now))
		return true;
	token_bucket_give(&l->ops, 1);
	return throttle(l, token_bucket_wait_ns(&l->bandwidth, bytes));
}

static void bucket_state(struct token_bucket *b, struct snap *s, uint64_t now)
{
	token_bucket_refill(b, now);
	snap_u64(s, &b->size);
	snap_u64(s, &b->refill_ns);
	snap_u64(s, &b->burst);
	snap_u64(s, &b->budget);
	snap_u64(s, &b->debt);
	snap_require(s, b->budget <= b->size && !b->refill_ns == !b->size,
		     "a rate limiter is impossible");
	/*
	 * Refilling continues from now; the lost fraction of a token is
	 * negligible.
	 */
	b->last_ns = now;
	b->fraction = 0;
}

void rate_limiter_state(struct rate_limiter *l, struct virtio_device *dev,
			struct snap *s)
{
	uint64_t now = clock_now_ns(CLOCK_MONOTONIC);
	struct err e;

	bucket_state(&l->bandwidth, s, now);
	bucket_state(&l->ops, s, now);
	snap_require(s, !is_limited(l) || !need_timer(l, dev, &e),
		     "a rate limiter got no timer");
}
