/* SPDX-License-Identifier: Apache-2.0 */
/* A guest with a disk, for tests. */
#pragma once

#include <stdint.h>

#include "devices/virtio/block/block.h"
#include "tests/unit/virtio_driver.h"

/* Who begins a test begins the one and sets the other. */
extern struct driver d;
extern struct block_config config;

enum { DISK_RING = 16 };

/* The disk of @config, with its driver started. */
void disk_create(void);

/* One request; its status.  The data begins with @data, both ways. */
unsigned disk_request(uint32_t type, uint64_t sector, uint32_t len, char *data);
