/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/virtio_probe.h"

#include <linux/virtio_mmio.h>
#include <stdlib.h>

#include "core/base/util.h"
#include "snapshot/codec.h"
#include "tests/unit/testing.h"

static void copy(const struct virtq_chain *chain, uint64_t len)
{
	uint8_t *data = malloc(len + 1);

	assert_true(virtq_read(chain, 0, data, len));
	assert_true(virtq_write(chain, 0, data, len));
	free(data);
}

static void kick(struct virtio_device *dev, unsigned queue)
	REQUIRES(device_lock)
{
	struct probe *p = container_of(dev, struct probe, dev);
	struct virtq *vq = &dev->queue[queue];

	p->kicks[queue]++;
	while (virtq_pop(vq, &p->chain)) {
		uint64_t len = min_u64(p->chain.out_len, p->chain.in_len);

		p->chains++;
		if (p->hold) {
			dev->inflight++;
			continue;
		}
		copy(&p->chain, len);
		virtq_push(vq, &p->chain, (uint32_t)len);
	}
}

static bool drain(struct virtio_device *dev, uint64_t deadline_ns)
	REQUIRES(device_lock)
{
	struct probe *p = container_of(dev, struct probe, dev);

	(void)deadline_ns;
	p->drains++;
	dev->inflight = 0;
	return true;
}

static void reset(struct virtio_device *dev)
{
	container_of(dev, struct probe, dev)->resets++;
}

static void config_written(struct virtio_device *dev)
{
	container_of(dev, struct probe, dev)->config_writes++;
}

static void state(struct virtio_device *dev, struct snap *s)
{
	snap_u32(s, &container_of(dev, struct probe, dev)->extra);
}

static void destroy(struct virtio_device *dev)
{
	virtio_fini(dev);
	free(container_of(dev, struct probe, dev));
}

static const struct virtio_kind kind = {.device_id = PROBE_ID};

static const struct virtio_ops ops = {
	.kind = &kind,
	.queue_count = 2,
	.writable_at = 8,
	.writable_len = 4,
	.kick = kick,
	.config_written = config_written,
	.drain = drain,
	.reset = reset,
	.state = state,
	.destroy = destroy,
};

struct probe *probe_create(const struct virtio_slot *slot)
{
	struct probe *p = calloc(1, sizeof(*p));
	struct err e;

	assert_ok(virtio_init(&p->dev, &ops, slot, 1 << PROBE_FEATURE, "probe",
			      &e),
		  e);
	p->dev.config = p->config;
	p->dev.config_len = sizeof(p->config);
	for (unsigned i = 0; i < sizeof(p->config); i++)
		p->config[i] = (uint8_t)(i + 1);
	return p;
}

struct driver d;
struct probe *probe;

int probe_begin(void **state)
{
	struct virtio_slot slot;

	(void)state;
	driver_begin(&d);
	slot = driver_slot(&d);
	probe = probe_create(&slot);
	d.dev = &probe->dev;
	return 0;
}

int probe_end(void **state)
{
	(void)state;
	driver_end(&d);
	return 0;
}

void probe_go(void)
{
	driver_kick(&d, 0);
	driver_run(&d);
}

uint32_t probe_status(void)
{
	return driver_get(&d, VIRTIO_MMIO_STATUS);
}
