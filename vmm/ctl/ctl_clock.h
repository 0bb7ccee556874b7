/* SPDX-License-Identifier: Apache-2.0 */
/* Parse and print the answer of GET /clock.  The server is not trusted. */
#pragma once

#include <stdint.h>

struct err;
struct json_t;

struct clock_answer {
	int64_t hz; /* at least 1 */
	int64_t host_counter, offset, guest_counter;
	int64_t host_raw_ns; /* CLOCK_MONOTONIC_RAW at host_counter */
	const struct json_t *history;
	const struct json_t *threads; /* of vCPUs; NULL: an older VMM's */
};

/* -1 and @e if @json is not a valid answer of GET /clock. */
int clock_answer_read(struct clock_answer *answer, const struct json_t *json,
		      struct err *e);

/*
 * Ask the VMM at @socket.  Returns the document, which *answer is part of, for
 * json_free(); or NULL.
 */
struct json_t *clock_answer_get(const char *socket, struct clock_answer *answer,
				struct err *e);

/* Parse --guest COUNTER:NS: what `clock-follow --pair` prints. */
int clock_pair_read(int64_t *counter, int64_t *ns, const char *value,
		    struct err *e);

/* Print it in readable form on standard output. */
void ctl_show_clock(const struct json_t *json);

/*
 * The nanoseconds to add to a guest's timestamps to get the host's
 * CLOCK_MONOTONIC_RAW.  The guest's clock showed @guest_ns when its counter was
 * at @guest_counter.
 */
int64_t clock_answer_trace_offset(const struct clock_answer *answer,
				  int64_t guest_counter, int64_t guest_ns);
