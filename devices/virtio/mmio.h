/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registers of a virtio device: virtio-mmio, version 2 (Virtual I/O Device
 * 1.2, section 4.2.2).  The window's device pointer is a struct virtio_device.
 *
 * Registers are 32-bit words.  An access to a register that does not exist, of
 * another width, or unaligned reads as zero or is ignored.  Configuration space
 * accepts every width.
 */
#pragma once

#include "core/machine/mmio_bus.h"

/* Handlers run on vCPU threads. */
extern const struct mmio_ops virtio_mmio_ops;
