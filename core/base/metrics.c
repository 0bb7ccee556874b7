/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/metrics.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/buf.h"
#include "core/base/now.h"

struct metrics_values {
	uint64_t told[METRICS_GROUP_MAX], sample[METRICS_GROUP_MAX];
};

static struct metrics_group *groups;

void metrics_add(struct metrics_group *group)
{
	struct metrics_group **at = &groups;

	if (group->values)
		return;
	group->values = calloc(1, sizeof(*group->values));
	if (!group->values)
		return;
	while (*at && strcmp((*at)->name, group->name) < 0)
		at = &(*at)->next;
	group->next = *at;
	*at = group;
}

void metrics_remove(struct metrics_group *group)
{
	for (struct metrics_group **at = &groups; *at; at = &(*at)->next) {
		if (*at == group) {
			*at = group->next;
			free(group->values);
			group->values = NULL;
			return;
		}
	}
}

void metrics_restart(struct metrics_group *group)
{
	if (group->values)
		*group->values = (struct metrics_values){0};
}

uint64_t metric_now_us(void)
{
	return clock_now_ns(CLOCK_MONOTONIC) / 1000;
}

/* Of two threads at once, one's extreme may be lost. */
void metric_took(struct metric_latency *latency, uint64_t began_us)
{
	uint64_t us = metric_now_us() - began_us;
	uint64_t min = __atomic_load_n(&latency->min_us, __ATOMIC_RELAXED);

	metric_add(&latency->sum_us, us);
	if (!min || us < min)
		metric_set(&latency->min_us, us);
	if (us > __atomic_load_n(&latency->max_us, __ATOMIC_RELAXED))
		metric_set(&latency->max_us, us);
}

static uint64_t value_at(const void *base, size_t offset)
{
	const void *at = (const char *)base + offset;

	return __atomic_load_n((const uint64_t *)at, __ATOMIC_RELAXED);
}

static uint64_t sum_at(const struct metrics_group *g, size_t offset)
{
	uint64_t sum = 0;

	if (g->base)
		return value_at(g->base, offset);
	for (unsigned b = 0; b < g->base_count; b++)
		sum += value_at(g->bases[b], offset);
	return sum;
}

/* Metric @i's, the increase of what counts. */
static uint64_t news_of(const struct metrics_group *g, unsigned i, bool news,
			size_t offset)
{
	uint64_t v = sum_at(g, offset);

	if (!news)
		return v;
	g->values->sample[i] = v;
	return g->metric[i].kind == METRIC_GAUGE ? v : v - g->values->told[i];
}

static void print_metric(struct buf *out, const struct metrics_group *g,
			 unsigned i, bool news)
{
	const struct metric *m = &g->metric[i];
	size_t sum = m->offset + offsetof(struct metric_latency, sum_us);

	buf_printf(out, "\"%s\":", m->name);
	if (m->kind != METRIC_LATENCY) {
		buf_printf(out, "%llu",
			   (unsigned long long)news_of(g, i, news, m->offset));
		return;
	}
	/* Of several devices, Firecracker sums sums only. */
	buf_printf(out, "{\"min_us\":%llu,\"max_us\":%llu,\"sum_us\":%llu}",
		   g->base ? (unsigned long long)value_at(g->base, m->offset)
			   : 0,
		   g->base ? (unsigned long long)value_at(
				     g->base, m->offset + sizeof(uint64_t))
			   : 0,
		   (unsigned long long)news_of(g, i, news, sum));
}

enum whose { THEIRS = 1, OURS = 2 };

static bool is_part(const struct metrics_group *g, unsigned i, unsigned whose)
{
	bool ours = g->extra || g->metric[i].kind == METRIC_EXTRA;

	return whose & (ours ? OURS : THEIRS);
}

static bool has_part(const struct metrics_group *g, unsigned whose)
{
	unsigned i = 0;

	if (g->text)
		return whose & THEIRS;
	while (i < g->count && !is_part(g, i, whose))
		i++;
	return i < g->count;
}

static void print_group(struct buf *out, const struct metrics_group *g,
			bool news, unsigned whose)
{
	const char *comma = "";

	buf_json_string(out, g->name);
	buf_text(out, ":");
	if (g->text) {
		buf_text(out, g->text);
		return;
	}
	buf_text(out, "{");
	for (unsigned i = 0; i < g->count; i++) {
		if (!is_part(g, i, whose))
			continue;
		buf_text(out, comma);
		print_metric(out, g, i, news);
		comma = ",";
	}
	buf_text(out, "}");
}

static void print_all(struct buf *out, bool news, unsigned whose)
{
	const char *comma = "";

	for (const struct metrics_group *g = groups; g; g = g->next) {
		if (!has_part(g, whose))
			continue;
		buf_text(out, comma);
		print_group(out, g, news, whose);
		comma = ",";
	}
}

void metrics_print_totals(struct buf *out)
{
	print_all(out, false, THEIRS | OURS);
}

void metrics_print_news(struct buf *out, bool extras)
{
	print_all(out, true, THEIRS);
	if (!extras)
		return;
	buf_text(out, ",\"stasis\":{");
	print_all(out, true, OURS);
	buf_text(out, "}");
}

void metrics_told(void)
{
	for (struct metrics_group *g = groups; g; g = g->next)
		memcpy(g->values->told, g->values->sample,
		       sizeof(g->values->told));
}
