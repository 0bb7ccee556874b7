/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"

struct metrics_values {
	uint64_t told[METRICS_GROUP_MAX], sample[METRICS_GROUP_MAX];
};

static struct metrics_group *groups;

void metrics_add(struct metrics_group *group)
{
	struct metrics_group **at = &groups;

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

static uint64_t value_at(const void *base, size_t offset)
{
	const void *at = (const char *)base + offset;

	return __atomic_load_n((const uint64_t *)at, __ATOMIC_RELAXED);
}

static uint64_t value(const struct metrics_group *g, unsigned i)
{
	size_t offset = g->metric[i].offset;
	uint64_t sum = 0;

	if (g->base)
		return value_at(g->base, offset);
	for (unsigned b = 0; b < g->base_count; b++)
		sum += value_at(g->bases[b], offset);
	return sum;
}

static void print_group(struct buf *out, struct metrics_group *g, bool news)
{
	buf_json_string(out, g->name);
	buf_text(out, ":{");
	for (unsigned i = 0; i < g->count; i++) {
		bool since = news && g->metric[i].kind == METRIC_COUNTER;
		uint64_t v = value(g, i);

		if (news)
			g->values->sample[i] = v;
		buf_printf(out, "%s\"%s\":%llu", i ? "," : "",
			   g->metric[i].name,
			   (unsigned long long)(v - (since ? g->values->told[i]
							   : 0)));
	}
	buf_text(out, "}");
}

static void print_all(struct buf *out, bool news)
{
	for (struct metrics_group *g = groups; g; g = g->next) {
		print_group(out, g, news);
		if (g->next)
			buf_text(out, ",");
	}
}

void metrics_print_totals(struct buf *out)
{
	print_all(out, false);
}

void metrics_print_news(struct buf *out)
{
	print_all(out, true);
}

void metrics_told(void)
{
	for (struct metrics_group *g = groups; g; g = g->next)
		memcpy(g->values->told, g->values->sample,
		       sizeof(g->values->told));
}
