/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by virtio.c and virtio_status.c. */
#pragma once

#include "devices/virtio/virtio.h"

/* Write an eventfd. */
void virtio_signal(int fd);

/* Is the caller the thread that created the device? */
bool virtio_on_main_thread(const struct virtio_device *dev);

/* ops->drain(), where there is something to do.  Lock held, main thread. */
bool virtio_drain(struct virtio_device *dev, uint64_t deadline_ns)
	REQUIRES(device_lock);

/* Complete a reset that was asked for, if nothing is in flight any more by
 * @deadline_ns.  Lock held, main thread. */
void virtio_try_reset(struct virtio_device *dev, uint64_t deadline_ns)
	REQUIRES(device_lock);

/* The driver broke @queue: it has to reset the device.  Lock held. */
void virtio_needs_reset(struct virtio_device *dev, unsigned queue,
			const char *why) REQUIRES(device_lock);
