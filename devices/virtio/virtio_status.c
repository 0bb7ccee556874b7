/* SPDX-License-Identifier: Apache-2.0 */
/* The status register: how a driver begins, and resets. */
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>

#include "core/base/now.h"
#include "core/base/util.h"
#include "devices/virtio/virtio_internal.h"

/* How long a reset waits at once for requests in flight: 5 ms. */
enum { RESET_NS = 5000000 };

/* ------------------------------------------------------------------ reset */

bool virtio_on_main_thread(const struct virtio_device *dev)
{
	return pthread_equal(pthread_self(), dev->main_thread);
}

bool virtio_drain(struct virtio_device *dev, uint64_t deadline_ns)
{
	return !dev->inflight || !dev->ops->drain ||
	       dev->ops->drain(dev, deadline_ns);
}

static void forget(struct virtio_device *dev) REQUIRES(device_lock)
{
	for (unsigned i = 0; i < dev->ops->queue_count; i++)
		virtq_reset(&dev->queue[i]);
	dev->accepted = 0;
	dev->status = 0;
	dev->queue_sel = dev->offered_sel = dev->accepted_sel = 0;
	atomic_store(&dev->isr, 0);
}

/*
 * Complete a reset, unless requests are in flight still: the driver may reuse
 * their buffers afterwards.  Each that ends tries again, in virtio_leave().
 */
void virtio_try_reset(struct virtio_device *dev, uint64_t deadline_ns)
{
	if (!virtio_drain(dev, deadline_ns))
		return;
	if (dev->ops->reset)
		dev->ops->reset(dev);
	forget(dev);
	dev->resetting = false;
	dev->resets++;
	pthread_cond_broadcast(&dev->was_reset);
}

/*
 * The host's side of a device is the main thread's, so a vCPU thread asks it
 * and waits.  If storage hangs, this vCPU hangs with it; the lock is free.
 */
static void reset(struct virtio_device *dev) REQUIRES(device_lock)
{
	uint32_t before = dev->resets;

	if (!(dev->status & VIRTIO_CONFIG_S_DRIVER_OK)) {
		forget(dev);
		return;
	}
	dev->resetting = true;
	if (virtio_on_main_thread(dev)) {
		virtio_try_reset(dev, clock_now_ns(CLOCK_MONOTONIC) + RESET_NS);
		return;
	}
	if (dev->slot.wake_fd > 0)
		virtio_signal(dev->slot.wake_fd);
	while (dev->resets == before && !dev->abandoned)
		pthread_cond_wait(&dev->was_reset, &dev->lock.mutex);
}

/* Section 3.1.1, step 5: accept only a subset of what was offered. */
static bool features_ok(const struct virtio_device *dev) REQUIRES(device_lock)
{
	return !(dev->accepted & ~dev->offered) &&
	       virtio_has(dev, VIRTIO_F_VERSION_1);
}

static bool is_in_order(uint32_t old, uint32_t new)
{
	const uint32_t known =
		VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
		VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK |
		VIRTIO_CONFIG_S_FAILED;

	if (new & ~known || old & ~new)
		return false;
	if (new &VIRTIO_CONFIG_S_DRIVER && !(new &VIRTIO_CONFIG_S_ACKNOWLEDGE))
		return false;
	if (new &VIRTIO_CONFIG_S_FEATURES_OK && !(new &VIRTIO_CONFIG_S_DRIVER))
		return false;
	/* Not in one write: the driver must read FEATURES_OK back first. */
	return !(new &VIRTIO_CONFIG_S_DRIVER_OK) ||
	       old & VIRTIO_CONFIG_S_FEATURES_OK;
}

static void start(struct virtio_device *dev) REQUIRES(device_lock)
{
	bool event_idx = virtio_has(dev, VIRTIO_RING_F_EVENT_IDX);

	for (unsigned i = 0; i < dev->ops->queue_count; i++) {
		const char *wrong = NULL;

		if (dev->queue[i].ready)
			wrong = virtq_start(&dev->queue[i], dev->slot.mem,
					    event_idx);
		if (wrong) {
			virtio_needs_reset(dev, i, wrong);
			return;
		}
		/* Buffers may be available already, with or without a kick. */
		if (dev->queue[i].started)
			virtio_signal(dev->kick[i].fd);
	}
}

void virtio_set_status(struct virtio_device *dev, uint32_t status)
{
	uint32_t old = dev->status & ~VIRTIO_CONFIG_S_NEEDS_RESET;
	uint32_t added;

	if (!status) {
		reset(dev);
		return;
	}
	status &= ~VIRTIO_CONFIG_S_NEEDS_RESET; /* set by the device only */
	if (!is_in_order(old, status)) {
		virtio_mistake(dev, "wrote a status that is out of order");
		return;
	}
	added = status & ~old;
	if (added & VIRTIO_CONFIG_S_FEATURES_OK && !features_ok(dev)) {
		virtio_mistake(dev, "wants features that were not offered");
		status &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	}
	dev->status |= status;
	if (added & VIRTIO_CONFIG_S_DRIVER_OK)
		start(dev);
}

void virtio_look_at_reset(struct virtio_device *dev)
{
	if (!dev->resetting)
		return;
	virtio_enter(dev);
	virtio_leave(dev);
}

void virtio_abandon(struct virtio_device *dev)
{
	device_lock_take(&dev->lock);
	dev->abandoned = true;
	pthread_cond_broadcast(&dev->was_reset);
	device_lock_release(&dev->lock);
}
