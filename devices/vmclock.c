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
	STATUS_SYNCHRONIZED = 2,
	STATUS_FREERUNNING = 3,

	HAS_TAI_OFFSET = 1 << 0,
	/* Within a day, and within an hour. */
	DISRUPTION_SOON = 1 << 1 | 1 << 2,
	HAS_PERIOD_EST_ERROR = 1 << 3,
	HAS_PERIOD_MAX_ERROR = 1 << 4,
	HAS_TIME_EST_ERROR = 1 << 5,
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

/* A million, in the unit of vmclock_pair.rate. */
#define ONE (1000000ull << 16)

/*
 * The period of the counter as a fraction of 64 significant bits: returns the
 * period in units of 2^-(64 + *shift) seconds.
 */
static uint64_t period_of(const struct vmclock_pair *pair, uint8_t *shift)
{
	uint8_t bits = (uint8_t)(31 - __builtin_clz(pair->hz - 1));
	unsigned __int128 period =
		((unsigned __int128)1 << (64 + bits)) / pair->hz;

	period = period * (ONE + (uint64_t)pair->rate) / ONE;
	for (; period > UINT64_MAX; bits--)
		period >>= 1;
	*shift = bits;
	return (uint64_t)period;
}

/*
 * An error of the rate in the unit of @period, rounded up.  It is a part of the
 * nominal period; @period is longer or shorter by pair->rate.
 */
static uint64_t part_of(uint64_t period, const struct vmclock_pair *pair,
			uint64_t error)
{
	return (uint64_t)((unsigned __int128)period * error /
			  (ONE + (uint64_t)pair->rate)) +
	       1;
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

static uint64_t flags_of(const struct vmclock *c)
{
	uint64_t flags = HAS_TAI_OFFSET | HAS_PERIOD_MAX_ERROR |
			 HAS_GENERATION | HAS_NOTIFICATION;

	if (c->pair.synchronized)
		flags |= HAS_TIME_EST_ERROR | HAS_TIME_MAX_ERROR;
	if (c->pair.rate_est_error)
		flags |= HAS_PERIOD_EST_ERROR;
	if (c->soon)
		flags |= DISRUPTION_SOON;
	return flags;
}

static void fill_time(struct vmclock_page *p, const struct vmclock_pair *pair)
{
	uint64_t period;

	p->status =
		pair->synchronized ? STATUS_SYNCHRONIZED : STATUS_FREERUNNING;
	p->leap_smearing = pair->smear;
	p->tai_offset = (int16_t)htole16((uint16_t)pair->tai_offset);
	p->leap = pair->leap;
	period = period_of(pair, &p->period_shift);
	p->counter = htole64(pair->counter);
	p->period = htole64(period);
	p->period_est_error =
		htole64(part_of(period, pair, pair->rate_est_error));
	p->period_max_error =
		htole64(part_of(period, pair, pair->rate_max_error));
	p->time_sec = htole64(pair->tai_sec);
	p->time_frac = htole64(fraction_of(pair->tai_ns));
	p->time_est_error = htole64(pair->est_error);
	p->time_max_error = htole64(pair->max_error);
}

/*
 * A seqlock: a reader that sees an odd or changed number must read again.
 * Pairs with the reader's barriers.
 */
static void write_page(struct vmclock *c)
{
	struct vmclock_page *p = c->page;

	__atomic_store_n(&p->seq, htole32(c->seq + 1), __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	p->magic = htole32(MAGIC);
	p->size = htole32(VMCLOCK_SIZE);
	p->version = htole16(VERSION);
	p->counter_id = COUNTER_ARM_VCNT;
	p->time_type = TIME_TAI;
	p->disruption = htole64(c->disruption);
	p->flags = htole64(flags_of(c));
	fill_time(p, &c->pair);
	p->generation = htole64(c->generation);
	c->seq += 2;
	__atomic_store_n(&p->seq, htole32(c->seq), __ATOMIC_RELEASE);
}

void vmclock_publish(struct vmclock *c, const struct vmclock_pair *pair,
		     bool disrupted)
{
	if (c->published && disrupted)
		c->disruption++;
	c->pair = *pair;
	c->published = true;
	write_page(c);
}

void vmclock_announce(struct vmclock *c, bool soon)
{
	c->soon = soon;
	/* Not before the first vmclock_publish() of this process. */
	if (c->pair.hz)
		write_page(c);
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
