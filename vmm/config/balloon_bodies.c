/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of the balloon. */
#include "core/base/buf.h"
#include "core/base/util.h"
#include "core/json/json.h"
#include "devices/virtio/balloon/balloon.h"
#include "vmm/config/bodies.h"

int balloon_read(struct balloon_config *body, const struct json_t *json,
		 struct err *e)
{
	struct raw {
		uint64_t amount_mib, interval_s;
		bool deflate_on_oom, hinting, reporting;
	} raw = {0};
	static const struct json_field fields[] = {
		{"amount_mib", JSON_KIND_U64, true, UINT32_MAX,
		 offsetof(struct raw, amount_mib)},
		{"deflate_on_oom", JSON_KIND_BOOL, true, 0,
		 offsetof(struct raw, deflate_on_oom)},
		{"stats_polling_interval_s", JSON_KIND_U64, false, UINT16_MAX,
		 offsetof(struct raw, interval_s)},
		{"free_page_hinting", JSON_KIND_BOOL, false, 0,
		 offsetof(struct raw, hinting)},
		{"free_page_reporting", JSON_KIND_BOOL, false, 0,
		 offsetof(struct raw, reporting)},
	};

	if (json_read(json, fields, ARRAY_SIZE(fields), &raw, e))
		return -1;
	*body = (struct balloon_config){
		.amount_mib = (uint32_t)raw.amount_mib,
		.deflate_on_oom = raw.deflate_on_oom,
		.stats_polling_interval_s = (uint16_t)raw.interval_s,
		.free_page_hinting = raw.hinting,
		.free_page_reporting = raw.reporting,
	};
	return 0;
}

int balloon_apply(const struct balloon_config *body, struct vm_config *config,
		  struct err *e)
{
	if (balloon_check(body, config->mem_mib, e))
		return -1;
	config->balloon = *body;
	config->has_balloon = true;
	return 0;
}

static const char *word(bool value)
{
	return value ? "true" : "false";
}

void balloon_print(const struct vm_config *config, struct buf *out)
{
	const struct balloon_config *b = &config->balloon;

	if (!config->has_balloon) {
		buf_text(out, "null");
		return;
	}
	buf_printf(out,
		   "{\"amount_mib\":%u,\"deflate_on_oom\":%s,"
		   "\"stats_polling_interval_s\":%u,"
		   "\"free_page_hinting\":%s,\"free_page_reporting\":%s}",
		   b->amount_mib, word(b->deflate_on_oom),
		   b->stats_polling_interval_s, word(b->free_page_hinting),
		   word(b->free_page_reporting));
}

/* Read an object with one number, @name, of at most @max. */
static int read_number(uint64_t *number, const char *name, uint64_t max,
		       const struct json_t *json, struct err *e)
{
	const struct json_field field = {
		.name = name,
		.kind = JSON_KIND_U64,
		.required = true,
		.max = max,
	};

	return json_read(json, &field, 1, number, e);
}

int balloon_target_read(uint32_t *amount_mib, const struct json_t *json,
			struct err *e)
{
	uint64_t number = 0;
	int r = read_number(&number, "amount_mib", UINT32_MAX, json, e);

	*amount_mib = (uint32_t)number;
	return r;
}

int balloon_interval_read(uint16_t *interval_s, const struct json_t *json,
			  struct err *e)
{
	uint64_t number = 0;
	int r = read_number(&number, "stats_polling_interval_s", UINT16_MAX,
			    json, e);

	*interval_s = (uint16_t)number;
	return r;
}

void balloon_stats_print(const struct balloon_stats *stats, struct buf *out)
{
	buf_printf(out,
		   "{\"target_pages\":%u,\"actual_pages\":%u,"
		   "\"target_mib\":%u,\"actual_mib\":%u",
		   stats->target_pages, stats->actual_pages, stats->target_mib,
		   stats->actual_mib);
	for (unsigned i = 0; i < BALLOON_STATS; i++) {
		if (stats->known >> i & 1)
			buf_printf(out, ",\"%s\":%llu", balloon_stat_names[i],
				   (unsigned long long)stats->value[i]);
	}
	buf_text(out, "}");
}

int balloon_hinting_read(bool *acknowledge_on_stop, const struct json_t *json,
			 struct err *e)
{
	static const struct json_field field = {
		.name = "acknowledge_on_stop",
		.kind = JSON_KIND_BOOL,
	};

	*acknowledge_on_stop = true;
	return json ? json_read(json, &field, 1, acknowledge_on_stop, e) : 0;
}

void balloon_hinting_print(const struct balloon_hinting_status *status,
			   struct buf *out)
{
	buf_printf(out, "{\"host_cmd\":%u,\"guest_cmd\":", status->host_cmd);
	if (status->has_guest_cmd)
		buf_printf(out, "%u}", status->guest_cmd);
	else
		buf_text(out, "null}");
}
