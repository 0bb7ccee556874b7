/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vm/clock_metrics.h"

#include "arch/arch.h"
#include "core/base/metrics.h"
#include "core/base/util.h"

static struct clock_counters {
	uint64_t pauses, resumes, frozen_ns, longest_jump_ns;
	uint64_t busy_retries, verify_failures;
} counters;

static const struct metric counter_table[] = {
	METRIC(struct clock_counters, pauses),
	METRIC(struct clock_counters, resumes),
	METRIC(struct clock_counters, frozen_ns),
	GAUGE(struct clock_counters, longest_jump_ns),
	METRIC(struct clock_counters, busy_retries),
	METRIC(struct clock_counters, verify_failures),
};

struct metrics_group clock_metrics = {
	.name = "clock",
	.metric = counter_table,
	.count = ARRAY_SIZE(counter_table),
	.base = &counters,
};

/* Counters never go back, also where a VM was made anew. */
static void raise_to(uint64_t *metric, uint64_t value)
{
	if (value > *metric)
		metric_set(metric, value);
}

void clock_metrics_update(const struct arch_clock *clock)
{
	raise_to(&counters.pauses, clock->pauses);
	raise_to(&counters.resumes, clock->resumes);
	raise_to(&counters.frozen_ns,
		 arch_clock_ns(clock, clock->frozen_ticks));
	raise_to(&counters.longest_jump_ns,
		 arch_clock_ns(clock, clock->longest_jump_ticks));
	raise_to(&counters.busy_retries, clock->busy_retries);
	raise_to(&counters.verify_failures, clock->verify_failures);
}
