/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vm/time/time_pages.h"

#include <string.h>

#include "core/base/err.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/machine/mem.h"
#include "snapshot/codec.h"

enum {
	SECONDS_IN_DAY = 86400,
	DAYS_IN_ERA = 146097, /* 400 years */
	DAYS_TO_1970 = 719468,

	/* A shorter time does not tell how fast a clock is. */
	ESTIMATE_MIN_NS = 500000000,
	/* What a clock that is left alone does not do within a minute. */
	DIFFERENT_NS = 50000,
	/* Rates are in 2^-16 ppm. */
	DIFFERENT_RATE = 1 << 16,
	/* 500 ppm of the frequency are a little more of the period. */
	TOLERANCE = 501 << 16,
};

#define ONE_MILLION (1000000ll << 16)

int time_pages_init(struct time_pages *t, const struct guest_mem *mem,
		    struct irq_line vmclock_irq, struct irq_line vmgenid_irq,
		    struct err *e)
{
	void *clock = guest_mem_at(mem, arch_layout.vmclock, VMCLOCK_SIZE);
	void *id = guest_mem_at(mem, arch_layout.vmgenid, VMGENID_SIZE);

	if (!clock || !id)
		return err_set(e, "there is no RAM for VMClock and VMGenID");
	vmclock_init(&t->vmclock, clock, vmclock_irq);
	vmgenid_init(&t->vmgenid, id, vmgenid_irq);
	if (vmgenid_renew(&t->vmgenid, e))
		return -1;
	arch_clean_cache(id, VMGENID_SIZE);
	return 0;
}

/* ------------------------------------------------------------ what is known */

/* The month that the day @day is in, counted from March of the year 0; @day is
 * counted from 1970.  Eras of 400 years, and years that begin with March. */
static uint64_t month_of(uint64_t day)
{
	uint64_t of_era = (day + DAYS_TO_1970) % DAYS_IN_ERA;
	uint64_t year = (of_era - of_era / 1460 + of_era / 36524 -
			 of_era / (DAYS_IN_ERA - 1)) /
			365;
	uint64_t of_year = of_era - (365 * year + year / 4 - year / 100);

	return year * 12 + (5 * of_year + 2) / 153;
}

/*
 * A clock that smears a leap second is off by up to a second around it, and
 * nobody tells us of the leap second.  It is at the end of a month.
 */
static uint64_t smear_error(const struct time_pages *t,
			    const struct arch_clock_sample *sample)
{
	uint64_t day = sample->tai_sec / SECONDS_IN_DAY;

	return t->smear != CLOCK_SMEAR_NONE &&
			       month_of(day - 1) != month_of(day + 1)
		       ? NS_PER_S
		       : 0;
}

static uint64_t magnitude(int64_t rate)
{
	return (uint64_t)(rate < 0 ? -rate : rate);
}

/*
 * The counter may be off its nominal frequency by the tolerance, whatever the
 * host does to its clock at the moment: that may be to catch up.
 */
static uint64_t rate_max_error(const struct arch_clock_sample *sample)
{
	return TOLERANCE + magnitude(sample->rate);
}

/* ns of TAI from @from to @to, and how many should have been by the rate of
 * @from. */
static int64_t missed_ns(const struct arch_clock *clock,
			 const struct arch_clock_sample *from,
			 const struct arch_clock_sample *to, int64_t *passed)
{
	int64_t ns = (int64_t)arch_clock_ns(clock, to->host - from->host);

	ns += (int64_t)((__int128)ns * from->rate / ONE_MILLION);
	*passed = ns;
	return ((int64_t)to->tai_sec - (int64_t)from->tai_sec) *
		       (int64_t)NS_PER_S +
	       ((int64_t)to->tai_ns - (int64_t)from->tai_ns) - ns;
}

/*
 * Compare the host's clock with what was to be expected of it.  Half of what
 * was estimated before still counts.  Returns whether it is different.
 */
static bool compare(struct time_pages *t, const struct arch_clock *clock,
		    const struct arch_clock_sample *now, uint64_t *rate_error)
{
	const struct arch_clock_sample *last = &t->sample;
	int64_t passed, missed;
	uint64_t error;

	*rate_error = t->vmclock.pair.rate_est_error / 2;
	if (!last->host)
		return true;
	missed = missed_ns(clock, last, now, &passed);
	missed = missed < 0 ? -missed : missed;
	if (passed >= ESTIMATE_MIN_NS) {
		error = (uint64_t)((unsigned __int128)missed * ONE_MILLION /
				   (uint64_t)passed);
		/* At least 1: it is known now. */
		*rate_error = min_u64(max_u64(max_u64(error, *rate_error), 1),
				      rate_max_error(now));
	}
	return missed > DIFFERENT_NS || now->leap != last->leap ||
	       now->tai_offset != last->tai_offset ||
	       now->synchronized != last->synchronized ||
	       magnitude(now->rate - last->rate) > DIFFERENT_RATE;
}

/* ------------------------------------------------------------------ VMClock */

static void tell_refusal(struct time_pages *t,
			 const struct arch_clock_sample *sample)
{
	if (!sample->refused || t->is_told)
		return;
	log_warn("the host does not tell how right its clock is (adjtimex: "
		 "%s): VMClock shows the guest its time at the counter's "
		 "nominal rate, without a bound; allow clock_adjtime() here",
		 strerror(sample->refused));
	t->is_told = true;
}

static bool publish(struct time_pages *t, const struct arch_clock *clock,
		    const struct arch_clock_sample *sample, bool disrupted)
{
	const uint64_t tai = sample->tai_sec * NS_PER_S + sample->tai_ns +
			     (uint64_t)t->realtime_ns;
	struct vmclock_pair pair = {
		.counter = arch_clock_guest(clock, sample->host),
		.hz = clock->hz,
		.tai_sec = tai / NS_PER_S,
		.tai_ns = (uint32_t)(tai % NS_PER_S),
		.tai_offset = sample->tai_offset,
		.synchronized = sample->synchronized,
		.rate = sample->rate,
		.rate_max_error = rate_max_error(sample),
		.leap = (uint8_t)sample->leap,
		.smear = (uint8_t)t->smear,
	};
	bool different = compare(t, clock, sample, &pair.rate_est_error);

	if (pair.synchronized) {
		pair.est_error = sample->est_error;
		pair.max_error = sample->max_error + smear_error(t, sample) +
				 arch_clock_ns(clock, clock->error_ticks);
	}
	vmclock_publish(&t->vmclock, &pair, disrupted);
	t->sample = *sample;
	return different;
}

void time_pages_notify(struct time_pages *t)
{
	vmclock_notify(&t->vmclock);
	if (t->restored)
		vmgenid_notify(&t->vmgenid);
}

void time_pages_resume(struct time_pages *t, const struct arch_clock *clock,
		       const struct arch_clock_sample *sample)
{
	/* A pause that counts as elapsed (CLOCK_CONTINUOUS) does not change the
	 * offset, and is no disruption. */
	bool disrupted =
		clock->offset != t->offset || t->restored || t->stalled;

	if (t->restored)
		vmclock_restored(&t->vmclock);
	t->vmclock.soon = false;
	publish(t, clock, sample, disrupted);
	t->offset = clock->offset;
	t->restored = t->stalled = false;
}

bool time_pages_refresh(struct time_pages *t, const struct arch_clock *clock)
{
	struct arch_clock_sample sample;
	bool different;

	arch_clock_sample(&sample);
	different = publish(t, clock, &sample, false);
	vmclock_notify(&t->vmclock);
	tell_refusal(t, &sample);
	return different;
}

void time_pages_announce(struct time_pages *t, bool soon)
{
	vmclock_announce(&t->vmclock, soon);
}

void time_pages_state(struct time_pages *t, struct snap *s)
{
	vmclock_state(&t->vmclock, s);
	if (snap_loading(s))
		t->restored = true;
}
