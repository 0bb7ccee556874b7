/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registers of a virtio device: virtio-mmio, version 2 (Virtual I/O Device
 * 1.2, section 4.2.2).  A window's device is a struct virtio_device.
 *
 * Registers are words; what does not exist, has another width, or is not
 * aligned reads as zero and ignores writes.  Configuration space takes every
 * width.
 */
#pragma once

#include "core/machine/mmio_bus.h"

/* Handlers run on vCPU threads. */
extern const struct mmio_ops virtio_mmio_ops;
