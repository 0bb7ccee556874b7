/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/rng/rng.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <sys/random.h>

#include "core/base/err.h"
#include "core/base/metrics.h"
#include "core/base/util.h"

/*
 * At most this many bytes for one request, like Firecracker; a driver asks
 * again if it needs more.
 */
enum { BYTES_MAX = 65536 };

struct rng {
	struct virtio_device dev;
	struct rate_limiter limiter;
	struct rng_metrics metrics;
	struct virtq_chain chain;
};

static struct rng *rng_of(struct virtio_device *dev)
{
	return container_of(dev, struct rng, dev);
}

/* Store random bytes at @to.  Returns how many of @len were obtained. */
static uint64_t fill(uint8_t *to, uint64_t len)
{
	uint64_t done = 0;

	while (done < len) {
		ssize_t n = getrandom(to + done, len - done, 0);

		if (n < 0 && errno != EINTR)
			break;
		if (n > 0)
			done += (uint64_t)n;
	}
	return done;
}

static uint32_t answer(struct rng *r, uint64_t len)
{
	const struct iovec *in = virtq_in(&r->chain);
	uint64_t done = 0;

	for (unsigned i = 0; done < len; i++) {
		uint64_t part = min_u64(in[i].iov_len, len - done);
		uint64_t got = fill(in[i].iov_base, part);

		done += got;
		if (got < part) {
			metric_add(&r->metrics.host_rng_fails, 1);
			break;
		}
	}
	metric_add(&r->metrics.entropy_bytes, done);
	return (uint32_t)done;
}

static void rng_kick(struct virtio_device *dev, unsigned queue)
	REQUIRES(device_lock)
{
	struct rng *r = rng_of(dev);
	struct virtq *vq = &dev->queue[queue];

	metric_add(&r->metrics.entropy_event_count, 1);
	while (!r->limiter.throttled && virtq_pop(vq, &r->chain)) {
		uint64_t len = min_u64(r->chain.in_len, BYTES_MAX);

		if (!rate_limiter_take(&r->limiter, len)) {
			metric_add(&r->metrics.entropy_rate_limiter_throttled,
				   1);
			virtq_unpop(vq);
			return;
		}
		if (!len)
			metric_add(&r->metrics.entropy_event_fails, 1);
		virtq_push(vq, &r->chain, answer(r, len));
		virtio_turn_is_over(dev);
	}
}

static void limiter_ready(struct virtio_device *dev) REQUIRES(device_lock)
{
	metric_add(&rng_of(dev)->metrics.rate_limiter_event_count, 1);
	virtio_run_queue(dev, 0);
}

static void rng_state(struct virtio_device *dev, struct snap *s)
	REQUIRES(device_lock)
{
	rate_limiter_state(&rng_of(dev)->limiter, dev, s);
}

static void rng_destroy(struct virtio_device *dev)
{
	struct rng *r = rng_of(dev);

	rate_limiter_fini(&r->limiter);
	virtio_fini(dev);
	free(r);
}

static const struct metric metric_table[] = {
	METRIC(struct rng_metrics, activate_fails),
	METRIC(struct rng_metrics, entropy_event_fails),
	METRIC(struct rng_metrics, entropy_event_count),
	METRIC(struct rng_metrics, entropy_bytes),
	METRIC(struct rng_metrics, host_rng_fails),
	METRIC(struct rng_metrics, entropy_rate_limiter_throttled),
	METRIC(struct rng_metrics, rate_limiter_event_count),
};

const struct virtio_kind rng_kind = {
	.device_id = VIRTIO_ID_RNG,
	.name = "entropy",
	VIRTIO_METRICS(struct rng, metric_table),
};

static const struct virtio_ops rng_ops = {
	.kind = &rng_kind,
	.queue_count = 1,
	.kick = rng_kick,
	.state = rng_state,
	.destroy = rng_destroy,
};

struct virtio_device *rng_create(const struct virtio_slot *slot,
				 const struct rng_config *config, struct err *e)
{
	struct rng *r = calloc(1, sizeof(*r));

	if (!r) {
		err_set(e, "no memory for the entropy device");
		return NULL;
	}
	if (!virtio_init(&r->dev, &rng_ops, slot, 0, "entropy", e) &&
	    !rate_limiter_init(&r->limiter, &r->dev, &config->limiter,
			       limiter_ready, e))
		return &r->dev;
	rng_destroy(&r->dev);
	return NULL;
}
