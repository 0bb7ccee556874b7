/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/ctl/ctl_clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/json/json.h"
#include "vmm/ctl/client.h"

static int64_t number(const struct json_t *object, const char *name)
{
	int64_t n = 0;

	json_i64(json_member(object, name), &n);
	return n;
}

/* A string member; "?" if it has characters that our words do not have. */
static const char *word(const struct json_t *object, const char *name)
{
	const char *text = json_text(json_member(object, name));

	if (!text || strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+-.") !=
			     strlen(text))
		return "?";
	return text;
}

int clock_answer_read(struct clock_answer *answer, const struct json_t *json,
		      struct err *e)
{
	*answer = (struct clock_answer){
		.hz = number(json, "hz"),
		.host_counter = number(json, "host_counter"),
		.offset = number(json, "offset"),
		.guest_counter = number(json, "guest_counter"),
		.host_raw_ns = number(json, "host_monotonic_raw_ns"),
		.history = json_member(json, "history"),
		.threads = json_member(json, "vcpu_threads"),
	};
	if (answer->hz < 1 || json_array_len(answer->history) < 0)
		return err_set(e, "this is not a valid answer of GET /clock");
	return 0;
}

struct json_t *clock_answer_get(const char *socket, struct clock_answer *answer,
				struct err *e)
{
	enum { TIMEOUT_MS = 30000 };
	const struct client_request request = {
		.socket = socket,
		.method = "GET",
		.path = "/clock",
		.timeout_ms = TIMEOUT_MS,
	};
	struct client_answer reply;
	struct json_t *json = NULL;
	const char *why;
	int r = client_call(&request, &reply, e);

	if (!r && reply.body.len) {
		json = json_parse(reply.body.data, reply.body.len, e);
		r = json ? 0 : -1;
	}
	why = json_text(json_member(json, "fault_message"));
	if (!r && reply.status != 200)
		r = err_set(e, "GET /clock was rejected (%u): %.500s",
			    reply.status, why ? why : "no reason given");
	if (!r)
		r = clock_answer_read(answer, json, e);
	buf_free(&reply.body);
	if (!r)
		return json;
	json_free(json);
	return NULL;
}

int clock_pair_read(int64_t *counter, int64_t *ns, const char *value,
		    struct err *e)
{
	char *colon, *end = NULL;

	*counter = strtoll(value, &colon, 10);
	if (*value >= '0' && *value <= '9' && *colon == ':' &&
	    colon[1] >= '0' && colon[1] <= '9')
		*ns = strtoll(colon + 1, &end, 10);
	if (end && !*end)
		return 0;
	return err_set(e,
		       "--guest %.60s is not valid; give COUNTER:NS as "
		       "`clock-follow --pair` prints it in the guest",
		       value);
}

int64_t clock_answer_trace_offset(const struct clock_answer *answer,
				  int64_t guest_counter, int64_t guest_ns)
{
	uint64_t ago = (uint64_t)guest_counter + (uint64_t)answer->offset -
		       (uint64_t)answer->host_counter;
	__int128 ns = (__int128)(int64_t)ago * 1000000000 / answer->hz;

	return (int64_t)((uint64_t)answer->host_raw_ns + (uint64_t)ns -
			 (uint64_t)guest_ns);
}

static double ppm(const struct json_t *object, const char *name)
{
	return (double)number(object, name) / 1e3;
}

/* What the guest was told of the host's clock.  A bound of 0: none. */
static void show_vmclock(const struct json_t *told)
{
	printf("vmclock  %s; rate %+.3f ppm, right to %.3f ms and %.1f ppm "
	       "since; TAI-UTC %lld s, leap second: %s; told %lld times\n",
	       word(told, "status"), ppm(told, "rate_ppb"),
	       (double)number(told, "max_error_ns") / 1e6,
	       ppm(told, "rate_max_error_ppb"),
	       (long long)number(told, "tai_offset"), word(told, "leap"),
	       (long long)number(told, "published"));
}

static double seconds(const struct clock_answer *answer, int64_t ticks)
{
	return (double)ticks / (double)answer->hz;
}

/* "2026-11-22T23:06:29.123Z  resumed   frozen after 2.001 s, 31 us late" */
static void show_event(const struct clock_answer *answer,
		       const struct json_t *event)
{
	uint64_t ns = (uint64_t)number(event, "realtime_ns");
	double late_us = seconds(answer, number(event, "late_ticks")) * 1e6;
	const char *name = word(event, "event");
	char date[LOG_UTC_MAX];

	log_print_utc(date, sizeof(date), ns / 1000000000);
	printf("%s.%03uZ  %-8s at %.6f s", date,
	       (unsigned)(ns / 1000000 % 1000), name,
	       seconds(answer, number(event, "guest_counter")));
	if (json_member(event, "policy"))
		printf(", %s after %.6f s, jumped %.6f s, released within",
		       word(event, "policy"),
		       (double)number(event, "paused_ns") / 1e9,
		       (double)number(event, "jump_ns") / 1e9);
	else if (json_member(event, "at_most_ns"))
		printf(", not run for at most %.6f s (host asleep %.6f s), "
		       "looked at within",
		       (double)number(event, "at_most_ns") / 1e9,
		       (double)number(event, "host_slept_ns") / 1e9);
	else
		printf(", %s within",
		       strcmp(name, "paused") != 0 ? "released" : "stopped");
	printf(" %.1f us, offset %lld +%lld\n", late_us,
	       (long long)number(event, "offset"),
	       (long long)number(event, "error_ticks"));
}

void ctl_show_clock(const struct json_t *json)
{
	struct clock_answer answer;
	struct err e;

	if (clock_answer_read(&answer, json, &e)) {
		log_error("%s", e.text);
		return;
	}
	printf("state    %s\n", word(json, "state"));
	printf("policy   %s over a pause, %s over a restore, %s over a stall; "
	       "jumps up to %lld ms\n",
	       word(json, "on_pause"), word(json, "on_restore"),
	       word(json, "on_stop"), (long long)number(json, "max_jump_ms"));
	printf("counter  %lld Hz; set by %s; the physical one is the %s's\n",
	       (long long)answer.hz, word(json, "mode"),
	       word(json, "physical"));
	printf("guest    %lld ticks, %.6f s\n", (long long)answer.guest_counter,
	       seconds(&answer, answer.guest_counter));
	printf("host     %lld ticks; boot %s\n", (long long)answer.host_counter,
	       word(json, "boot_id"));
	printf("told     %.40s\n", word(json, "realtime"));
	printf("offset   %lld ticks, at most %lld more\n",
	       (long long)answer.offset,
	       (long long)number(json, "error_ticks"));
	if (json_member(json, "vmclock"))
		show_vmclock(json_member(json, "vmclock"));
	printf("\n");
	for (int i = 0; i < json_array_len(answer.history); i++)
		show_event(&answer, json_array_at(answer.history, (unsigned)i));
}
