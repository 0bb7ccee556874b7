/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics, reported as one JSON object of groups of numbers.  Names are
 * Firecracker's where it has the same metric.
 *
 * A group is a table of names and a struct of uint64_t members, which its
 * owner increments from any thread with metric_add().  There is one list of
 * groups per process, as there is one log; only the main thread uses it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/now.h"

struct buf;

enum metric_kind {
	METRIC_COUNTER, /* reported as the increase since the last report */
	METRIC_GAUGE,   /* reported as its current value */
	METRIC_LATENCY, /* a struct metric_latency */
	METRIC_EXTRA,   /* a counter that Firecracker has not */
};

/* How long something took, in ticks of metric_clock(), and reported in
 * microseconds; all 0 if it never happened. */
struct metric_latency {
	uint64_t min, max, sum;
};

struct metric {
	const char *name;
	enum metric_kind kind;
	size_t offset; /* of its member in the struct */
};

#define METRIC(type, member)  {#member, METRIC_COUNTER, offsetof(type, member)}
#define GAUGE(type, member)   {#member, METRIC_GAUGE, offsetof(type, member)}
#define LATENCY(type, member) {#member, METRIC_LATENCY, offsetof(type, member)}
#define EXTRA(type, member)   {#member, METRIC_EXTRA, offsetof(type, member)}

enum { METRICS_GROUP_MAX = 48 };

/*
 * The owner fills in all members but the last two, and keeps the group in
 * memory until metrics_remove().
 */
struct metrics_group {
	const char *name;
	const struct metric *metric;
	unsigned count;      /* at most METRICS_GROUP_MAX */
	unsigned base_count; /* elements of bases */
	const void *base;    /* the struct; NULL: the sum over bases */
	const void *const *bases;
	bool extra; /* Firecracker has no such group */
	/* Its JSON, if it never changes; there is no table then. */
	const char *text;

	struct metrics_values *values; /* owned while the group is listed */
	struct metrics_group *next;
};

/*
 * Add a group to the report, or remove it; nothing happens if it is there, or
 * is not.  Groups are reported in the order
 * of their names; two groups must not have the same name.  If memory runs out,
 * the group is left out of the report.
 */
void metrics_add(struct metrics_group *group);
void metrics_remove(struct metrics_group *group);

/* Report from 0 again, because the group's bases were replaced. */
void metrics_restart(struct metrics_group *group);

/* Print `"group":{"name":n,...},...` of all groups: totals since the start. */
void metrics_print_totals(struct buf *out);

/*
 * The same, but counters as their increase since the last metrics_told(), and
 * what Firecracker has not apart from the rest, in a group of groups "stasis":
 * validators of Firecracker's lines reject what they do not know.  It is left
 * out without @extras.
 *
 * Call metrics_told() once the printed text is delivered; without it, the next
 * call prints the same increase again, plus what was added since.
 */
void metrics_print_news(struct buf *out, bool extras);
void metrics_told(void);

/* Update a member of a group's struct, from any thread. */
/* NOLINTBEGIN(readability-non-const-parameter): written atomically */
static inline void metric_add(uint64_t *metric, uint64_t n)
{
	__atomic_fetch_add(metric, n, __ATOMIC_RELAXED);
}

static inline void metric_set(uint64_t *metric, uint64_t value)
{
	__atomic_store_n(metric, value, __ATOMIC_RELAXED);
}
/* NOLINTEND(readability-non-const-parameter) */

/*
 * A clock for what happens on every exit of a guest: the processor's counter,
 * which is one instruction to read, where clock_gettime() is some eighty.
 */
static inline uint64_t metric_clock(void)
{
#ifdef __aarch64__
	uint64_t ticks;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#else
	return clock_now_ns(CLOCK_MONOTONIC);
#endif
}

/* Its ticks per second. */
uint64_t metric_clock_hz(void);

/* Something that began when metric_clock() was @began has ended. */
void metric_took(struct metric_latency *latency, uint64_t began);
