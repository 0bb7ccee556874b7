/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's half of virtio, for tests: negotiates through the registers,
 * builds chains in guest RAM, and turns the main thread's loop by hand.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/io/loop.h"
#include "core/machine/mem.h"
#include "devices/virtio/virtio.h"

enum {
	DRIVER_RAM = 0x80000000,
	DRIVER_RAM_SIZE = 8 << 20,
	DRIVER_DATA = DRIVER_RAM + (1 << 20), /* where driver_alloc() begins */
	DRIVER_BUFFERS_MAX = 300,
};

/* Of a chain. */
struct driver_buffer {
	gpa_t gpa;
	uint32_t len;
	bool write; /* by the device */
};

struct driver_queue {
	uint32_t size;
	gpa_t desc, avail, used;
	uint16_t next_desc; /* free ones, used round and round */
	uint16_t avail_idx, used_idx;
};

struct driver {
	struct guest_mem mem;
	struct event_loop loop;
	int irq_fd;
	struct event_source wake; /* of the main thread, for a reset */
	bool knocked;             /* by virtio_wake() */
	struct virtio_device *dev;
	struct driver_queue queue[VIRTIO_QUEUES_MAX];
	gpa_t free;
	bool indirect; /* chains get a table of their own */
};

/* RAM, a loop and an interrupt; then a device in that slot, to be set as dev */
void driver_begin(struct driver *d);
void driver_end(struct driver *d);
struct virtio_slot driver_slot(struct driver *d);

uint32_t driver_get(struct driver *d, uint64_t reg);
void driver_set(struct driver *d, uint64_t reg, uint32_t value);
/* Of configuration space. */
uint64_t driver_config(struct driver *d, uint64_t at, unsigned len);

/* From reset to FEATURES_OK with these features and VERSION_1.  If it is
 * still set. */
bool driver_negotiate(struct driver *d, uint64_t features);
/* Rings of this size, zeroed. */
void driver_set_queue(struct driver *d, unsigned queue, uint32_t size);
void driver_go(struct driver *d);
/* All of it: every queue with @size entries. */
void driver_start(struct driver *d, uint64_t features, uint32_t size);

/* RAM of one's own; and where it is. */
gpa_t driver_alloc(struct driver *d, uint64_t len);
void *driver_at(struct driver *d, gpa_t gpa);

/* Make a chain available, without a kick.  Its head. */
uint16_t driver_add(struct driver *d, unsigned queue,
		    const struct driver_buffer *buffers, unsigned count);
/* The lower layers of that. */
void driver_desc(struct driver *d, gpa_t table, unsigned i, gpa_t gpa,
		 uint32_t len, uint16_t flags, uint16_t next);
void driver_publish(struct driver *d, unsigned queue, uint16_t head);

/* As a driver does it: a kick only if the device wants one. */
bool driver_wants_kick(struct driver *d, unsigned queue, uint16_t old);
void driver_kick(struct driver *d, unsigned queue);

/* The next used element; false if there is none. */
bool driver_used(struct driver *d, unsigned queue, uint32_t *head,
		 uint32_t *len);

/* Dispatch what is ready, having waited for so long.  How many events. */
int driver_poll(struct driver *d, int timeout_ms);
/* Until nothing is ready. */
void driver_run(struct driver *d);
/* Until the device gave something back, ten seconds at most. */
bool driver_wait_used(struct driver *d, unsigned queue);

/* Interrupts since the last look. */
unsigned driver_interrupts(struct driver *d);
