/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `stasis trace-offset`: the offsets with which a guest's traces are merged
 * with the host's.
 *
 * perf converts by the counters: `perf inject --guest-data` subtracts an offset
 * in ticks from the guest's.  trace-cmd converts in nanoseconds, for which it
 * needs a pair of counter and clock that only the guest can read.
 */
#include <stdio.h>

#include "core/base/err.h"
#include "core/base/options.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/json/json.h"
#include "vmm/cli/cli.h"
#include "vmm/ctl/ctl_clock.h"

struct trace_offset {
	const char *socket;
	bool json, help, has_guest;
	int64_t counter, ns; /* of the guest, at the same moment */
};

/*
 * The guest's counter when the present offset was set.  The tools take only one
 * offset, so older recordings do not fit.
 */
static int64_t valid_since(const struct clock_answer *answer)
{
	int64_t since = 0, offset;

	for (int i = json_array_len(answer->history) - 1; i >= 0; i--) {
		const struct json_t *event =
			json_array_at(answer->history, (unsigned)i);

		if (!json_i64(json_member(event, "offset"), &offset) ||
		    offset != answer->offset ||
		    !json_i64(json_member(event, "guest_counter"), &since))
			break;
	}
	return since;
}

static void show(const struct trace_offset *t,
		 const struct clock_answer *answer)
{
	const long long ticks = (long long)(0 - (uint64_t)answer->offset);
	const long long since = (long long)valid_since(answer);
	const long long ns =
		(long long)clock_answer_trace_offset(answer, t->counter, t->ns);

	if (t->json) {
		printf("{\"hz\":%lld,\"perf_time_offset\":%lld,"
		       "\"valid_since_guest_counter\":%lld",
		       (long long)answer->hz, ticks, since);
		if (t->has_guest)
			printf(",\"trace_cmd_ts_offset_ns\":%lld", ns);
		puts("}");
		return;
	}
	printf("the guest's counter is the host's plus %lld, at %lld Hz, since "
	       "it was at %lld\n\n"
	       "perf:      perf inject -i HOST.data --guest-data="
	       "GUEST.data,PID,%lld -o MERGED.data\n"
	       "           (PID: the VMM's)\n",
	       ticks, (long long)answer->hz, since, ticks);
	if (t->has_guest)
		printf("trace-cmd: trace-cmd report -i HOST.dat -i GUEST.dat "
		       "--ts-offset %lld\n"
		       "           (both recorded with -C mono_raw)\n",
		       ns);
	else
		printf("trace-cmd: run `clock-follow --pair` in the guest, and "
		       "this again with\n           --guest COUNTER:NS as it "
		       "prints\n");
	if (valid_since(answer) > 0)
		printf("\nTraces from before the guest's counter was at %lld "
		       "need another offset;\nstasis ctl clock lists them.\n",
		       since);
}

static int ask(const struct trace_offset *t, struct err *e)
{
	struct clock_answer answer;
	struct json_t *json = clock_answer_get(t->socket, &answer, e);

	if (json)
		show(t, &answer);
	json_free(json);
	return json ? 0 : -1;
}

/* ------------------------------------------------------------------ options */

static int set_guest(void *context, const char *value, struct err *e)
{
	struct trace_offset *t = context;

	t->has_guest = true;
	return clock_pair_read(&t->counter, &t->ns, value, e);
}

static const struct option options[] = {
	{"socket", "PATH", "the VMM's API socket\n(default " DEFAULT_SOCKET ")",
	 OPTION_TEXT(struct trace_offset, socket)},
	{"guest", "COUNTER:NS",
	 "the guest's counter and its CLOCK_MONOTONIC_RAW at one\n"
	 "instant, as `clock-follow --pair` in the guest prints",
	 .set = set_guest},
	{"json", NULL, "print JSON", OPTION_FLAG(struct trace_offset, json)},
	{"help", NULL, "show this", OPTION_FLAG(struct trace_offset, help)},
};

int cli_trace_offset(int argc, char **argv)
{
	struct trace_offset t = {.socket = DEFAULT_SOCKET};
	struct err e;

	if (options_parse(options, ARRAY_SIZE(options), argc, argv, &t, &e)) {
		log_error("%s", e.text);
		return EXIT_BAD_ARGUMENTS;
	}
	if (t.help) {
		printf("Usage: stasis trace-offset [options]\n\n"
		       "Print what perf and trace-cmd need to merge a guest's "
		       "traces with the host's.\n\n");
		options_print(options, ARRAY_SIZE(options));
		return EXIT_OK;
	}
	if (ask(&t, &e)) {
		log_error("%s: %s", t.socket, e.text);
		return EXIT_FAILED;
	}
	return EXIT_OK;
}
