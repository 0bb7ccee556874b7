/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of guest time: a VM's configuration, and a request for one resume or
 * load. */
#include <stdlib.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/util.h"
#include "core/json/json.h"
#include "vmm/config/bodies.h"

enum { MAX_JUMP_LIMIT_MS = INT32_MAX }; /* 24 days */

static const char *const physical_name[] = {"guest", "host"};

static int read_policy(const char *text, enum clock_policy *policy,
		       struct err *e)
{
	unsigned index;

	if (!text)
		return 0;
	if (json_variant(text, clock_policy_name, ARRAY_SIZE(clock_policy_name),
			 &index, e))
		return -1;
	*policy = (enum clock_policy)index;
	return 0;
}

static int read_smear(const char *text, enum clock_smear *smear, struct err *e)
{
	unsigned index;

	if (!text)
		return 0;
	if (json_variant(text, clock_smear_name, ARRAY_SIZE(clock_smear_name),
			 &index, e))
		return -1;
	*smear = (enum clock_smear)index;
	return 0;
}

static int read_physical(const char *text, enum clock_physical *physical,
			 struct err *e)
{
	unsigned index;

	if (!text)
		return 0;
	if (json_variant(text, physical_name, ARRAY_SIZE(physical_name), &index,
			 e))
		return -1;
	*physical = index ? CLOCK_PHYSICAL_HOST : CLOCK_PHYSICAL_GUEST;
	return 0;
}

int realtime_read(struct realtime *realtime, const struct json_t *json,
		  struct err *e)
{
	const char *text = json_text(json);
	char number[24];
	int64_t seconds;

	if (!text && json_i64(json, &seconds)) {
		snprintf(number, sizeof(number), "%lld", (long long)seconds);
		text = seconds < 0 ? "a number before 1970" : number;
	}
	if (realtime_parse(realtime, text ? text : "", e))
		return err_prefix(e, "field `realtime`");
	return 0;
}

int clock_config_read(struct clock_config *clock, const struct json_t *json,
		      struct err *e)
{
	struct raw {
		char *on_pause, *on_restore, *on_stop, *physical, *smear;
		const struct json_t *realtime;
		uint64_t max_jump_ms;
	} raw = {.max_jump_ms = clock->max_jump_ms};
	enum clock_policy on_stop = !clock->stalls_are_frozen;
	static const struct json_field fields[] = {
		{"on_pause", JSON_KIND_STRING, false, 0,
		 offsetof(struct raw, on_pause)},
		{"on_restore", JSON_KIND_STRING, false, 0,
		 offsetof(struct raw, on_restore)},
		{"on_stop", JSON_KIND_STRING, false, 0,
		 offsetof(struct raw, on_stop)},
		{"physical", JSON_KIND_STRING, false, 0,
		 offsetof(struct raw, physical)},
		{"smear", JSON_KIND_STRING, false, 0,
		 offsetof(struct raw, smear)},
		{"realtime", JSON_KIND_ANY, false, 0,
		 offsetof(struct raw, realtime)},
		{"max_jump_ms", JSON_KIND_U64, false, MAX_JUMP_LIMIT_MS,
		 offsetof(struct raw, max_jump_ms)},
	};
	int r = json_read(json, fields, ARRAY_SIZE(fields), &raw, e);

	if (!r && raw.realtime)
		r = realtime_read(&clock->realtime, raw.realtime, e);
	if (!r)
		r = read_policy(raw.on_pause, &clock->on_pause, e);
	if (!r)
		r = read_policy(raw.on_restore, &clock->on_restore, e);
	if (!r)
		r = read_policy(raw.on_stop, &on_stop, e);
	if (!r)
		r = read_physical(raw.physical, &clock->physical, e);
	if (!r)
		r = read_smear(raw.smear, &clock->smear, e);
	clock->stalls_are_frozen = on_stop == CLOCK_FROZEN;
	clock->max_jump_ms = raw.max_jump_ms;
	free(raw.on_pause);
	free(raw.on_restore);
	free(raw.on_stop);
	free(raw.physical);
	free(raw.smear);
	return r ? err_prefix(e, "field `clock`") : 0;
}

void clock_config_print(const struct clock_config *clock, struct buf *out)
{
	buf_printf(out, "{\"on_pause\":\"%s\",\"on_restore\":\"%s\",",
		   clock_policy_name[clock->on_pause],
		   clock_policy_name[clock->on_restore]);
	if (clock->stalls_are_frozen)
		buf_text(out, "\"on_stop\":\"frozen\",");
	if (!realtime_is_host(&clock->realtime)) {
		buf_text(out, "\"realtime\":\"");
		realtime_print(&clock->realtime, out);
		buf_text(out, "\",");
	}
	/* CLOCK_PHYSICAL_ANY has no name: it depends on the host. */
	if (clock->physical != CLOCK_PHYSICAL_ANY)
		buf_printf(
			out, "\"physical\":\"%s\",",
			physical_name[clock->physical == CLOCK_PHYSICAL_HOST]);
	/* Not on most hosts. */
	if (clock->smear != CLOCK_SMEAR_NONE)
		buf_printf(out, "\"smear\":\"%s\",",
			   clock_smear_name[clock->smear]);
	buf_printf(out, "\"max_jump_ms\":%llu}",
		   (unsigned long long)clock->max_jump_ms);
}

/* {"policy": ...} or {"set": ...}; "max_jump_ms" and "unsynchronized" are
 * optional in both. */
static int read_object(struct clock_request *request, const struct json_t *json,
		       struct err *e)
{
	const uint64_t absent = UINT64_MAX;
	struct raw {
		char *policy;
		uint64_t set, max_jump_ms;
		bool unsynchronized;
	} raw = {.set = absent, .max_jump_ms = absent};
	static const struct json_field fields[] = {
		{"policy", JSON_KIND_STRING, false, 0,
		 offsetof(struct raw, policy)},
		{"set", JSON_KIND_U64, false, 0, offsetof(struct raw, set)},
		{"max_jump_ms", JSON_KIND_U64, false, MAX_JUMP_LIMIT_MS,
		 offsetof(struct raw, max_jump_ms)},
		{"unsynchronized", JSON_KIND_BOOL, false, 0,
		 offsetof(struct raw, unsynchronized)},
	};
	int r = json_read(json, fields, ARRAY_SIZE(fields), &raw, e);

	if (!r && !raw.policy == (raw.set == absent))
		r = err_set(e, "expected either `policy` or `set`");
	if (!r)
		r = read_policy(raw.policy, &request->policy, e);
	free(raw.policy);
	if (raw.set != absent) {
		request->policy = CLOCK_SET;
		request->ticks = raw.set;
	}
	request->unsynchronized = raw.unsynchronized;
	request->has_max_jump = raw.max_jump_ms != absent;
	request->max_jump_ms = raw.max_jump_ms;
	return r;
}

int clock_request_read(struct clock_request *request, const struct json_t *json,
		       struct err *e)
{
	const char *text = json_text(json);

	*request = (struct clock_request){0};
	if (text ? read_policy(text, &request->policy, e)
		 : read_object(request, json, e))
		return err_prefix(e, "field `clock`");
	return 0;
}
