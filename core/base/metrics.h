/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters and how they are told: one JSON object of groups of numbers, with
 * Firecracker's names where it has one.
 *
 * A group is a table of names and a struct of uint64_t members, which its
 * owner counts up from any thread with metric_add().  The list of groups is
 * the process's, like the log, and the main thread's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

enum metric_kind {
	METRIC_COUNTER, /* told as what was added since the last time */
	METRIC_GAUGE,   /* told as it is */
};

struct metric {
	const char *name;
	enum metric_kind kind;
	size_t offset; /* of its uint64_t in the struct */
};

#define METRIC(type, member) {#member, METRIC_COUNTER, offsetof(type, member)}
#define GAUGE(type, member)  {#member, METRIC_GAUGE, offsetof(type, member)}

enum { METRICS_GROUP_MAX = 48 };

/* Filled in by its owner but for the last two; lives until it is removed. */
struct metrics_group {
	const char *name;
	const struct metric *metric;
	unsigned count;      /* at most METRICS_GROUP_MAX */
	unsigned base_count; /* of bases */
	const void *base;    /* NULL: the sum of the bases */
	const void *const *bases;

	struct metrics_values *values; /* owned while it is told */
	struct metrics_group *next;
};

/*
 * They are told in the order of their names; equal names are a bug.  A group
 * for which there is no memory is not told.
 */
void metrics_add(struct metrics_group *group);
void metrics_remove(struct metrics_group *group);

/* What it counts starts again from 0: its bases are others. */
void metrics_restart(struct metrics_group *group);

/* `"group":{"name":n,...},...` of all: everything since the start. */
void metrics_print_totals(struct buf *out);

/*
 * The same, counters since the last metrics_told().  What was printed and
 * could not be delivered is printed again, added up.
 */
void metrics_print_news(struct buf *out);
void metrics_told(void);

/* NOLINTBEGIN(readability-non-const-parameter): they do change it */
static inline void metric_add(uint64_t *metric, uint64_t n)
{
	__atomic_fetch_add(metric, n, __ATOMIC_RELAXED);
}

static inline void metric_set(uint64_t *metric, uint64_t value)
{
	__atomic_store_n(metric, value, __ATOMIC_RELAXED);
}
/* NOLINTEND(readability-non-const-parameter) */
