/* SPDX-License-Identifier: Apache-2.0 */
/* A virtio device of two queues that copies what it is given, and counts. */
#pragma once

#include "devices/virtio/virtio.h"
#include "tests/unit/virtio_driver.h"

struct probe {
	struct virtio_device dev;
	struct virtq_chain chain;
	uint8_t config[16]; /* the driver may write to bytes 8 to 11 */
	unsigned kicks[2], chains, resets, drains, config_writes;
	bool hold; /* take chains and keep them in flight */
	uint32_t extra;
};

enum { PROBE_ID = 42, PROBE_FEATURE = 3 };

struct probe *probe_create(const struct virtio_slot *slot);

/* A test's guest and its probe: made anew by probe_begin(), for cmocka. */
extern struct driver d;
extern struct probe *probe;
int probe_begin(void **state);
int probe_end(void **state);
/* Kick queue 0, and run until there is nothing to do. */
void probe_go(void);
uint32_t probe_status(void);
