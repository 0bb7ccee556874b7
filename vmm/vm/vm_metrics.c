/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vm/vm_metrics.h"

#include <stdio.h>
#include <stdlib.h>

#include "arch/arch.h"
#include "core/base/metrics.h"
#include "core/base/util.h"
#include "devices/rtc.h"
#include "devices/serial.h"
#include "devices/virtio/virtio.h"
#include "vmm/vm/vcpu.h"
#include "vmm/vm/virtio_slots.h"
#include "vmm/vm/vm_internal.h"

/* -------------------------------------------------------------- guest time */

static struct clock_counters {
	uint64_t pauses, resumes, stalls, frozen_ns, longest_jump_ns;
	uint64_t busy_retries, verify_failures;
} clock_counters;

static const struct metric clock_table[] = {
	METRIC(struct clock_counters, pauses),
	METRIC(struct clock_counters, resumes),
	METRIC(struct clock_counters, stalls),
	METRIC(struct clock_counters, frozen_ns),
	GAUGE(struct clock_counters, longest_jump_ns),
	METRIC(struct clock_counters, busy_retries),
	METRIC(struct clock_counters, verify_failures),
};

static struct metrics_group clock_metrics = {
	.name = "clock",
	.metric = clock_table,
	.count = ARRAY_SIZE(clock_table),
	.base = &clock_counters,
	.extra = true,
};

/* Counters never go back, also when another VM was made. */
static void raise_to(uint64_t *metric, uint64_t value)
{
	if (value > *metric)
		metric_set(metric, value);
}

void clock_metrics_update(const struct arch_clock *clock)
{
	struct clock_counters *c = &clock_counters;

	raise_to(&c->pauses, clock->pauses);
	raise_to(&c->resumes, clock->resumes);
	raise_to(&c->stalls, clock->stalls);
	raise_to(&c->frozen_ns, arch_clock_ns(clock, clock->frozen_ticks));
	raise_to(&c->longest_jump_ns,
		 arch_clock_ns(clock, clock->longest_jump_ticks));
	raise_to(&c->busy_retries, clock->busy_retries);
	raise_to(&c->verify_failures, clock->verify_failures);
}

/* ---------------------------------------------------------- virtio devices */

enum { NAME_MAX_LEN = 80 };

/* One kind of device: the sum of all, and each by its name. */
static struct kind {
	struct metrics_group all;
	const void *bases[ARCH_VIRTIO_MAX];
	struct one {
		struct metrics_group group;
		char name[NAME_MAX_LEN];
	} *each[ARCH_VIRTIO_MAX]; /* NULL: not reported by itself */
} kinds[VM_KINDS_MAX];

/* What Firecracker reports and this build has not, nor has arm64 an i8042. */
#define NEVER "{\"min_us\":0,\"max_us\":0,\"sum_us\":0}"
static struct metrics_group absent[] = {
	{.name = "i8042",
	 .text = "{\"error_count\":0,\"missed_read_count\":0,"
		 "\"missed_write_count\":0,\"read_count\":0,"
		 "\"reset_count\":0,\"write_count\":0}"},
	{.name = "memory_hotplug",
	 .text = "{\"activate_fails\":0,\"queue_event_fails\":0,"
		 "\"queue_event_count\":0,\"plug_agg\":" NEVER
		 ",\"plug_count\":0,\"plug_bytes\":0,\"plug_fails\":0,"
		 "\"unplug_agg\":" NEVER ",\"unplug_count\":0,"
		 "\"unplug_bytes\":0,\"unplug_fails\":0,"
		 "\"unplug_discard_fails\":0,\"unplug_all_agg\":" NEVER
		 ",\"unplug_all_count\":0,\"unplug_all_fails\":0,"
		 "\"state_agg\":" NEVER
		 ",\"state_count\":0,\"state_fails\":0}"},
	/* A crash leaves a line in the log, and writes no metrics. */
	{.name = "vmm", .text = "{\"panic_count\":0}"},
	{.name = "pmem",
	 .text = "{\"activate_fails\":0,\"cfg_fails\":0,"
		 "\"event_fails\":0,\"queue_event_count\":0,"
		 "\"rate_limiter_throttled_events\":0,"
		 "\"rate_limiter_event_count\":0}"},
};

static struct metrics_group *const groups[] = {
	&serial_metrics, &vcpu_metrics,   &clock_metrics,
	&rtc_metrics,    &virtio_metrics, &absent[0],
	&absent[1],      &absent[2],      &absent[3],
};

void vm_metrics_add(void)
{
	const struct virtio_kind *kind;

	for (unsigned i = 0; i < ARRAY_SIZE(groups); i++)
		metrics_add(groups[i]);
	for (unsigned i = 0; (kind = vm_device_kind(i)); i++) {
		kinds[i].all = (struct metrics_group){
			.name = kind->name,
			.metric = kind->metric,
			.count = kind->metric_count,
			.bases = kinds[i].bases,
		};
		metrics_add(&kinds[i].all);
	}
}

void vm_metrics_remove(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(groups); i++)
		metrics_remove(groups[i]);
	for (unsigned i = 0; vm_device_kind(i); i++)
		metrics_remove(&kinds[i].all);
}

/* "block_rootfs": of one of several. */
static struct one *make_one(const struct kind *kind, const char *id,
			    const void *base)
{
	struct one *one = calloc(1, sizeof(*one));

	if (!one)
		return NULL;
	snprintf(one->name, sizeof(one->name), "%s_%s", kind->all.name, id);
	one->group.name = one->name;
	one->group.metric = kind->all.metric;
	one->group.count = kind->all.count;
	one->group.base = base;
	metrics_add(&one->group);
	return one;
}

static void watch(struct kind *kind, const struct virtio_device *dev,
		  const char *id)
{
	const void *base = virtio_counters(dev);
	unsigned n = kind->all.base_count++;

	kind->bases[n] = base;
	kind->each[n] = dev->ops->kind->many ? make_one(kind, id, base) : NULL;
}

void vm_metrics_watch(const struct virtio_slots *slots)
{
	for (unsigned i = 0; i < slots->count; i++) {
		const struct virtio_device *dev = slots->slot[i].dev;
		unsigned k = 0;

		while (vm_device_kind(k) != dev->ops->kind)
			k++;
		watch(&kinds[k], dev, slots->slot[i].id);
	}
}

static void forget(struct kind *kind)
{
	for (unsigned i = 0; i < kind->all.base_count; i++) {
		if (!kind->each[i])
			continue;
		metrics_remove(&kind->each[i]->group);
		free(kind->each[i]);
	}
	/* What they counted is reported no more; nor is it subtracted. */
	kind->all.base_count = 0;
	metrics_restart(&kind->all);
}

void vm_metrics_forget(void)
{
	for (unsigned k = 0; vm_device_kind(k); k++)
		forget(&kinds[k]);
}
