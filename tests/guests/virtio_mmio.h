/* SPDX-License-Identifier: Apache-2.0 */
/* A driver's half of virtio, as little as bare-metal guests need: they poll. */
#pragma once

#include "tests/guests/lib.h"

#define VIRTIO_BASE 0x40003000ull

enum {
	VIRTIO_WINDOWS = 32,
	ID_NET = 1,
	ID_BLOCK = 2,
	ID_RNG = 4,
	ID_BALLOON = 5,
	ID_VSOCK = 19,

	REG_MAGIC = 0x00,
	REG_DEVICE_ID = 0x08,
	REG_FEATURES = 0x10,
	REG_FEATURES_SEL = 0x14,
	REG_ACCEPTED = 0x20,
	REG_ACCEPTED_SEL = 0x24,
	REG_QUEUE_SEL = 0x30,
	REG_QUEUE_NUM_MAX = 0x34,
	REG_QUEUE_NUM = 0x38,
	REG_QUEUE_READY = 0x44,
	REG_QUEUE_NOTIFY = 0x50,
	REG_STATUS = 0x70,
	REG_QUEUE_DESC = 0x80,
	REG_QUEUE_AVAIL = 0x90,
	REG_QUEUE_USED = 0xa0,
	REG_CONFIG = 0x100,

	STATUS_DRIVER = 3, /* and ACKNOWLEDGE */
	STATUS_DRIVER_OK = 4,
	STATUS_FEATURES_OK = 8,
	STATUS_NEEDS_RESET = 64,

	DESC_NEXT = 1,
	DESC_WRITE = 2,
	DESC_INDIRECT = 4,
};

struct ring {
	uint64_t base; /* of the device's registers */
	uint64_t desc, avail, used;
	unsigned queue, size;
	uint16_t next;
};

static inline void put_desc(uint64_t table, unsigned i, uint64_t at,
			    uint32_t len, unsigned flags, unsigned next)
{
	write64(table + 16ull * i, at);
	write32(table + 16ull * i + 8, len);
	write16(table + 16ull * i + 12, (uint16_t)flags);
	write16(table + 16ull * i + 14, (uint16_t)next);
}

static inline void ring_place(const struct ring *r, uint64_t desc,
			      uint64_t avail, uint64_t used, uint32_t size)
{
	write32(r->base + REG_QUEUE_SEL, r->queue);
	write32(r->base + REG_QUEUE_NUM, size);
	write32(r->base + REG_QUEUE_DESC, (uint32_t)desc);
	write32(r->base + REG_QUEUE_DESC + 4, (uint32_t)(desc >> 32));
	write32(r->base + REG_QUEUE_AVAIL, (uint32_t)avail);
	write32(r->base + REG_QUEUE_AVAIL + 4, (uint32_t)(avail >> 32));
	write32(r->base + REG_QUEUE_USED, (uint32_t)used);
	write32(r->base + REG_QUEUE_USED + 4, (uint32_t)(used >> 32));
	write32(r->base + REG_QUEUE_READY, 1);
}

/* A ring of @size in the 4 KiB at @memory, @size at most 64. */
static inline struct ring ring_make(uint64_t base, unsigned queue,
				    uint64_t memory, unsigned size)
{
	struct ring r = {base, memory, memory + 1024, memory + 2048, queue,
			 size, 0};

	for (uint64_t at = 0; at < 4096; at += 8)
		write64(memory + at, 0);
	ring_place(&r, r.desc, r.avail, r.used, size);
	return r;
}

/* From reset to before DRIVER_OK, with these features and VERSION_1. */
static inline bool device_begin(uint64_t base, uint32_t features)
{
	write32(base + REG_STATUS, 0);
	while (read32(base + REG_STATUS))
		continue;
	write32(base + REG_STATUS, STATUS_DRIVER);
	write32(base + REG_ACCEPTED_SEL, 0);
	write32(base + REG_ACCEPTED, features);
	write32(base + REG_ACCEPTED_SEL, 1);
	write32(base + REG_ACCEPTED, 1);
	write32(base + REG_STATUS, STATUS_DRIVER | STATUS_FEATURES_OK);
	return read32(base + REG_STATUS) & STATUS_FEATURES_OK;
}

static inline void device_go(uint64_t base)
{
	write32(base + REG_STATUS,
		STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
}

/* Make the chain at @head available, and kick. */
static inline void ring_offer(struct ring *r, unsigned head)
{
	write16(r->avail + 4 + 2ull * (r->next % r->size), (uint16_t)head);
	r->next++;
	__asm__ volatile("dmb sy" ::: "memory");
	write16(r->avail + 2, r->next);
	__asm__ volatile("dmb sy" ::: "memory");
	write32(r->base + REG_QUEUE_NOTIFY, r->queue);
}

/* All that was offered came back. */
static inline bool ring_done(const struct ring *r)
{
	bool done = read16(r->used + 2) == r->next;

	__asm__ volatile("dmb sy" ::: "memory");
	return done;
}

/* The nth device of that kind, or 0. */
static inline uint64_t device_find(uint32_t id, unsigned n)
{
	for (unsigned i = 0; i < VIRTIO_WINDOWS; i++) {
		uint64_t base = VIRTIO_BASE + i * WINDOW;

		if (read32(base + REG_MAGIC) == 0x74726976 &&
		    read32(base + REG_DEVICE_ID) == id && !n--)
			return base;
	}
	return 0;
}
