/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/virtio/mmio.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "devices/virtio/virtio.h"

enum {
	MAGIC = 0x74726976, /* "virt" */
	VERSION = 2,
	VENDOR = 0, /* the same as Firecracker's */
};

/* ----------------------------------------------------------- selected queue */

/* The queue that QueueSel selects; NULL if it does not exist. */
static struct virtq *selected(struct virtio_device *dev) REQUIRES(device_lock)
{
	if (dev->queue_sel >= dev->ops->queue_count)
		return NULL;
	return &dev->queue[dev->queue_sel];
}

/*
 * The selected queue if its registers may change; NULL after DRIVER_OK, which
 * freezes them.
 */
static struct virtq *changeable(struct virtio_device *dev) REQUIRES(device_lock)
{
	if (dev->status & VIRTIO_CONFIG_S_DRIVER_OK) {
		virtio_mistake(dev, "changes a queue that is in use");
		return NULL;
	}
	return selected(dev);
}

static uint32_t half(uint64_t value, uint32_t sel)
{
	return sel > 1 ? 0 : (uint32_t)(value >> 32 * sel);
}

static void set_half(uint64_t *value, unsigned sel, uint32_t word)
{
	uint64_t mask = (uint64_t)UINT32_MAX << 32 * sel;

	*value = (*value & ~mask) | (uint64_t)word << 32 * sel;
}

/* --------------------------------------------------- configuration space */

static uint64_t config_read(const struct virtio_device *dev, uint64_t at,
			    unsigned len)
{
	uint64_t value = 0;

	if (at < dev->config_len && len <= dev->config_len - at)
		memcpy(&value, (const uint8_t *)dev->config + at, len);
	return value;
}

static void config_write(struct virtio_device *dev, uint64_t at, unsigned len,
			 uint64_t value)
{
	uint64_t from = dev->ops->writable_at;

	if (at < from || at - from >= dev->ops->writable_len ||
	    len > dev->ops->writable_len - (at - from)) {
		virtio_mistake(dev, "writes to read-only configuration");
		return;
	}
	memcpy((uint8_t *)dev->config + at, &value, len);
	if (dev->ops->config_written)
		dev->ops->config_written(dev);
}

/* ---------------------------------------------------------------- registers */

static uint32_t register_read(struct virtio_device *dev, uint64_t offset)
	REQUIRES(device_lock)
{
	const struct virtq *vq = selected(dev);

	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return dev->ops->kind->device_id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return half(dev->offered, dev->offered_sel);
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return vq ? VIRTQ_SIZE_MAX : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return vq && vq->ready;
	case VIRTIO_MMIO_STATUS:
		return dev->status;
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return dev->generation;
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return UINT32_MAX; /* no shared memory region */
	default:
		return 0;
	}
}

static void accept_features(struct virtio_device *dev, uint32_t word)
	REQUIRES(device_lock)
{
	if (dev->status & VIRTIO_CONFIG_S_FEATURES_OK)
		virtio_mistake(dev, "changes features that are agreed on");
	else if (dev->accepted_sel <= 1)
		set_half(&dev->accepted, dev->accepted_sel, word);
	else if (word)
		virtio_mistake(dev, "wants features that do not exist");
}

static void address_write(struct virtq *vq, uint64_t offset, uint32_t word)
{
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_half(&vq->desc_gpa, offset & 4 ? 1 : 0, word);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_half(&vq->avail_gpa, offset & 4 ? 1 : 0, word);
		break;
	default:
		set_half(&vq->used_gpa, offset & 4 ? 1 : 0, word);
		break;
	}
}

static void queue_write(struct virtio_device *dev, uint64_t offset,
			uint32_t word) REQUIRES(device_lock)
{
	struct virtq *vq = changeable(dev);

	if (!vq)
		return;
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NUM:
		vq->size = word; /* checked by virtq_start(), at DRIVER_OK */
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		vq->ready = word & 1;
		break;
	default:
		address_write(vq, offset, word);
	}
}

static void register_write(struct virtio_device *dev, uint64_t offset,
			   uint32_t word) REQUIRES(device_lock)
{
	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		dev->offered_sel = word;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		dev->accepted_sel = word;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		accept_features(dev, word);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		dev->queue_sel = word;
		break;
	case VIRTIO_MMIO_QUEUE_NUM:
	case VIRTIO_MMIO_QUEUE_READY:
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		queue_write(dev, offset, word);
		break;
	case VIRTIO_MMIO_STATUS:
		virtio_set_status(dev, word & 0xff);
		break;
	default:
		break;
	}
}

/* ------------------------------------------------------------------- access */

static bool is_register(uint64_t offset, unsigned len)
{
	return len == 4 && offset % 4 == 0;
}

static uint64_t mmio_read(void *device, uint64_t offset, unsigned len)
{
	struct virtio_device *dev = device;
	uint64_t value;

	if (offset == VIRTIO_MMIO_INTERRUPT_STATUS && len == 4)
		return virtio_interrupt_status(dev); /* needs no lock */
	if (offset < VIRTIO_MMIO_CONFIG && !is_register(offset, len))
		return 0;
	virtio_enter(dev);
	if (offset >= VIRTIO_MMIO_CONFIG)
		value = config_read(dev, offset - VIRTIO_MMIO_CONFIG, len);
	else
		value = register_read(dev, offset);
	virtio_leave(dev);
	return value;
}

/* Does what KVM's ioeventfd for this register does, where there is none. */
static void notify(struct virtio_device *dev, uint32_t queue)
{
	if (queue < dev->ops->queue_count)
		(void)!eventfd_write(dev->kick[queue].fd, 1);
	else
		virtio_mistake(dev, "kicks a queue that does not exist");
}

static void mmio_write(void *device, uint64_t offset, unsigned len,
		       uint64_t value)
{
	struct virtio_device *dev = device;
	uint32_t word = (uint32_t)value;

	if (offset < VIRTIO_MMIO_CONFIG && !is_register(offset, len))
		return;
	if (offset == VIRTIO_MMIO_INTERRUPT_ACK) {
		virtio_interrupt_ack(dev, word);
		return;
	}
	if (offset == VIRTIO_MMIO_QUEUE_NOTIFY) {
		notify(dev, word);
		return;
	}
	virtio_enter(dev);
	if (offset >= VIRTIO_MMIO_CONFIG)
		config_write(dev, offset - VIRTIO_MMIO_CONFIG, len, value);
	else
		register_write(dev, offset, word);
	virtio_leave(dev);
}

const struct mmio_ops virtio_mmio_ops = {
	.read = mmio_read,
	.write = mmio_write,
};
