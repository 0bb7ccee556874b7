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

uint64_t metric_clock_hz(void)
{
#ifdef __aarch64__
	uint64_t hz;

	__asm__("mrs %0, cntfrq_el0" : "=r"(hz));
	return hz;
#else
	return NS_PER_S;
#endif
}

/* Of two threads at once, one's extreme may be lost. */
void metric_took(struct metric_latency *latency, uint64_t began)
{
	uint64_t ticks = metric_clock() - began;
	uint64_t min = __atomic_load_n(&latency->min, __ATOMIC_RELAXED);

	metric_add(&latency->sum, ticks);
	if (!min || ticks < min)
		metric_set(&latency->min, ticks);
	if (ticks > __atomic_load_n(&latency->max, __ATOMIC_RELAXED))
		metric_set(&latency->max, ticks);
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

static unsigned long long us_of(uint64_t ticks)
{
	const uint64_t hz = metric_clock_hz();

	return ticks / hz * 1000000 + ticks % hz * 1000000 / hz;
}

/* Of several devices, Firecracker sums sums only. */
static void print_latency(struct buf *out, const struct metrics_group *g,
			  unsigned i, bool news)
{
	const size_t at = g->metric[i].offset;
	const struct metric_latency zero = {0}, *extreme = &zero;

	if (g->base)
		extreme = (const void *)((const char *)g->base + at);
	buf_printf(
		out, "{\"min_us\":%llu,\"max_us\":%llu,\"sum_us\":%llu}",
		us_of(value_at(extreme, offsetof(typeof(zero), min))),
		us_of(value_at(extreme, offsetof(typeof(zero), max))),
		us_of(news_of(g, i, news, at + offsetof(typeof(zero), sum))));
}

static void print_metric(struct buf *out, const struct metrics_group *g,
			 unsigned i, bool news)
{
	const struct metric *m = &g->metric[i];

	buf_printf(out, "\"%s\":", m->name);
	if (m->kind == METRIC_LATENCY)
		print_latency(out, g, i, news);
	else
		buf_printf(out, "%llu",
			   (unsigned long long)news_of(g, i, news, m->offset));
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
