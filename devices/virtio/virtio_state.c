/* SPDX-License-Identifier: Apache-2.0 */
/* The state that a snapshot holds of every virtio device. */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>

#include "devices/virtio/virtio.h"
#include "snapshot/codec.h"

enum { STATE_TAG = SNAP_TAG('v', 'i', 'r', 't') };
enum { ISR_ALL = VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG };

static void restart(struct virtio_device *dev, struct snap *s)
	REQUIRES(device_lock)
{
	for (unsigned i = 0; i < dev->ops->queue_count; i++) {
		if (snap_failed(s) || !dev->queue[i].ready)
			continue;
		snap_require(
			s,
			!virtq_start(&dev->queue[i], dev->slot.mem,
				     virtio_has(dev, VIRTIO_RING_F_EVENT_IDX)),
			"a device's queue is impossible");
	}
}

static void state(struct virtio_device *dev, struct snap *s)
	REQUIRES(device_lock)
{
	uint32_t id = dev->ops->kind->device_id,
		 isr = atomic_load(&dev->isr) & ISR_ALL;
	uint32_t queues = dev->ops->queue_count;

	snap_begin(s, STATE_TAG);
	snap_u32(s, &id);
	snap_u32(s, &queues);
	snap_require(s, id == dev->ops->kind->device_id,
		     "a device is another one");
	snap_require(s, queues == dev->ops->queue_count,
		     "a device has other queues");
	snap_require(s, !dev->inflight, "a device is not quiet");
	snap_u64(s, &dev->accepted);
	snap_u32(s, &dev->status);
	/* Before that, the driver may have written any. */
	snap_require(s,
		     !(dev->status & (VIRTIO_CONFIG_S_FEATURES_OK |
				      VIRTIO_CONFIG_S_DRIVER_OK)) ||
			     !(dev->accepted & ~dev->offered),
		     "a device has features that this one does not offer");
	snap_u32(s, &dev->queue_sel);
	snap_u32(s, &dev->offered_sel);
	snap_u32(s, &dev->accepted_sel);
	snap_u32(s, &dev->generation);
	snap_u32(s, &isr);
	atomic_store(&dev->isr, isr & ISR_ALL);
	for (unsigned i = 0; i < dev->ops->queue_count; i++)
		virtq_state(&dev->queue[i], s);
	/* Not a device that waits for a reset: its queues may be invalid. */
	if (snap_loading(s) && dev->status & VIRTIO_CONFIG_S_DRIVER_OK &&
	    !(dev->status & VIRTIO_CONFIG_S_NEEDS_RESET))
		restart(dev, s);
	if (dev->ops->state)
		dev->ops->state(dev, s);
	snap_end(s);
}

void virtio_state(struct virtio_device *dev, struct snap *s)
{
	virtio_enter(dev);
	state(dev, s);
	virtio_leave(dev);
}
