/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/vmclock.h"

#include <endian.h>
#include <stddef.h>

#include "snapshot/codec.h"

enum {
	MAGIC = 0x4b4c4356, /* "VCLK" */
	VERSION = 1,
	COUNTER_ARM_VCNT = 0,
	TIME_TAI = 1,
	/* the page does not follow the host's clock between disruptions */
	STATUS_FREERUNNING = 3,

	HAS_TAI_OFFSET = 1 << 0,
	HAS_TIME_MAX_ERROR = 1 << 6,
	HAS_GENERATION = 1 << 8,
	HAS_NOTIFICATION = 1 << 9,
};

/* struct vmclock_abi of Linux; all fields are little-endian. */
struct vmclock_page {
	uint32_t magic;
	uint32_t size;
	uint16_t version;
	uint8_t counter_id;
	uint8_t time_type;
	uint32_t seq; /* odd while the page is being written */
	uint64_t disruption;
	uint64_t flags;
	uint8_t pad[2];
	uint8_t status;
	uint8_t leap_smearing;
	int16_t tai_offset;
	uint8_t leap;
	uint8_t period_shift;
	uint64_t counter;
	uint64_t period; /* 2^-(64 + period_shift) seconds */
	uint64_t period_est_error, period_max_error;
	uint64_t time_sec;
	uint64_t time_frac;                      /* 2^-64 seconds */
	uint64_t time_est_error, time_max_error; /* nanoseconds */
	uint64_t generation;
};

_Static_assert(offsetof(struct vmclock_page, seq) == 0x0c, "as Linux has it");
_Static_assert(offsetof(struct vmclock_page, counter) == 0x28, "likewise");
_Static_assert(offsetof(struct vmclock_page, generation) == 0x68, "likewise");

/*
 * The period of the counter as a fraction of 64 significant bits: returns the
 * period in units of 2^-(64 + *shift) seconds.
 */
static uint64_t period_of(uint32_t hz, uint8_t *shift)
{
	*shift = (uint8_t)(31 - __builtin_clz(hz - 1));
	return (uint64_t)(((unsigned __int128)1 << (64 + *shift)) / hz);
}

/* Nanoseconds in units of 2^-64 seconds. */
static uint64_t fraction_of(uint32_t ns)
{
	return (uint64_t)(((unsigned __int128)ns << 64) / 1000000000u);
}

void vmclock_init(struct vmclock *c, void *page, struct irq_line irq)
{
	*c = (struct vmclock){.page = page, .irq = irq};
}

static void fill(const struct vmclock *c, const struct vmclock_pair *pair)
{
	uint64_t flags = HAS_TAI_OFFSET | HAS_GENERATION | HAS_NOTIFICATION;
	struct vmclock_page *p = c->page;
	uint8_t shift;

	if (pair->has_error)
		flags |= HAS_TIME_MAX_ERROR;
	p->magic = htole32(MAGIC);
	p->size = htole32(VMCLOCK_SIZE);
	p->version = htole16(VERSION);
	p->counter_id = COUNTER_ARM_VCNT;
	p->time_type = TIME_TAI;
	p->disruption = htole64(c->disruption);
	p->flags = htole64(flags);
	p->status = STATUS_FREERUNNING;
	p->tai_offset = (int16_t)htole16((uint16_t)pair->tai_offset);
	p->period = htole64(period_of(pair->hz, &shift));
	p->period_shift = shift;
	p->counter = htole64(pair->counter);
	p->time_sec = htole64(pair->tai_sec);
	p->time_frac = htole64(fraction_of(pair->tai_ns));
	p->time_max_error = htole64(pair->has_error ? pair->max_error : 0);
	p->generation = htole64(c->generation);
}

void vmclock_publish(struct vmclock *c, const struct vmclock_pair *pair)
{
	if (c->published)
		c->disruption++;
	/*
	 * A seqlock: a reader that sees an odd or changed number must read
	 * again.  Pairs with the reader's barriers.
	 */
	__atomic_store_n(&c->page->seq, htole32(c->seq + 1), __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	fill(c, pair);
	c->seq += 2;
	__atomic_store_n(&c->page->seq, htole32(c->seq), __ATOMIC_RELEASE);
	c->published = true;
}

void vmclock_notify(const struct vmclock *c)
{
	if (c->published)
		irq_line_pulse(&c->irq);
}

void vmclock_state(struct vmclock *c, struct snap *s)
{
	snap_begin(s, SNAP_TAG('v', 'c', 'l', 'k'));
	snap_bool(s, &c->published);
	snap_u32(s, &c->seq);
	snap_require(s, c->seq % 2 == 0, "VMClock sequence number");
	snap_u64(s, &c->disruption);
	snap_u64(s, &c->generation);
	snap_end(s);
}

void vmclock_restored(struct vmclock *c)
{
	c->generation++;
}
