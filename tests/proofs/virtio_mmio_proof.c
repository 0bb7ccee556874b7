/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's accesses to a virtio device's window, in whatever state the
 * device is: a read of the configuration stays inside of it, a write inside of
 * the part that the driver may write; registers of a queue reach one that
 * exists, and none after DRIVER_OK; a kick reaches one that exists.
 *
 * Bounds: VIRTIO_QUEUES_MAX is 2; a configuration of at most 8 bytes, of which
 * any part may be writable.
 */
#include <linux/virtio_config.h>
#include <string.h>

#include "devices/virtio/virtio.h"
#include "tests/proofs/host.h"

enum { CONFIG = 8, WINDOW = 0x1000 };

/* Byte by byte, which is much easier to prove. */
static void copy(void *to, const void *from, unsigned len)
{
	for (unsigned i = 0; i < len; i++)
		((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
}

/* kick[i].fd is i + 1. */
static uint32_t kicks_max;

static int kicked(int fd)
{
	prove(fd > 0 && (uint32_t)fd <= kicks_max, "a kick is for a queue");
	return 0;
}

#define memcpy(to, from, len)    copy((to), (from), (len))
#define eventfd_write(fd, value) kicked(fd)

#include "devices/virtio/mmio.c" /* nogncheck */

static bool config_was_written;

void virtio_enter(struct virtio_device *dev)
{
	(void)dev;
}

void virtio_leave(struct virtio_device *dev)
{
	(void)dev;
}

void virtio_set_status(struct virtio_device *dev, uint32_t status)
{
	(void)dev;
	prove(status <= 0xff, "the status has 8 bits");
}

uint32_t virtio_interrupt_status(struct virtio_device *dev)
{
	(void)dev;
	return nondet_u32();
}

void virtio_interrupt_ack(struct virtio_device *dev, uint32_t word)
{
	(void)dev;
	(void)word;
}

void virtio_mistake(struct virtio_device *dev, const char *what)
{
	(void)dev;
	(void)what;
}

static void config_written(struct virtio_device *dev)
{
	(void)dev;
	config_was_written = true;
}

static void any_device(struct virtio_device *dev, struct virtio_ops *ops)
{
	ops->queue_count = nondet_u32();
	ops->writable_at = nondet_u32();
	ops->writable_len = nondet_u32();
	ops->config_written = config_written;
	dev->ops = ops;
	dev->config_len = nondet_u32();
	dev->status = nondet_u32();
	dev->queue_sel = nondet_u32();
	dev->offered_sel = nondet_u32();
	dev->accepted_sel = nondet_u32();
	assume(ops->queue_count <= VIRTIO_QUEUES_MAX);
	assume(dev->config_len <= CONFIG);
	assume(ops->writable_at <= dev->config_len);
	assume(ops->writable_len <= dev->config_len - ops->writable_at);
}

int main(void)
{
	static const struct virtio_kind kind;
	static uint8_t config[CONFIG], old[CONFIG];
	static struct virtio_ops ops = {.kind = &kind};
	static struct virtio_device dev;
	uint64_t offset = nondet_u64();
	unsigned len = 1u << nondet_u8() % 4, any = nondet_u32();
	unsigned queue = nondet_u32();

	any_device(&dev, &ops);
	dev.config = config;
	assume(any < CONFIG && queue < VIRTIO_QUEUES_MAX);
	assume(offset < WINDOW && len <= WINDOW - offset);
	for (unsigned i = 0; i < CONFIG; i++)
		old[i] = config[i] = nondet_u8();
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		dev.queue[i].size = nondet_u32();
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		dev.kick[i].fd = (int)i + 1;
	kicks_max = ops.queue_count;
	if (nondet_bool()) {
		uint32_t size = dev.queue[queue].size;

		virtio_mmio_ops.write(&dev, offset, len, nondet_u64());
		prove(config[any] == old[any] ||
			      (any >= ops.writable_at &&
			       any - ops.writable_at < ops.writable_len),
		      "only what is writable is written");
		prove(size == dev.queue[queue].size ||
			      (queue < ops.queue_count &&
			       queue == dev.queue_sel &&
			       !(dev.status & VIRTIO_CONFIG_S_DRIVER_OK)),
		      "only the selected queue is changed, before DRIVER_OK");
		prove(!config_was_written || offset >= VIRTIO_MMIO_CONFIG,
		      "a register is not the configuration");
	} else {
		virtio_mmio_ops.read(&dev, offset, len);
	}
	return 0;
}
