/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wall-clock time that a guest is told: the host's, the host's and some, or
 * a date at which the guest begins.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct err;

struct realtime {
	bool is_date;
	/* A date: since 1970.  Else what is added to the host's time; 0: the
	 * guest is told the host's. */
	int64_t ns;
};

static inline bool realtime_is_host(const struct realtime *realtime)
{
	return !realtime->is_date && !realtime->ns;
}

/*
 * "host"; seconds with a sign, to be added to the host's time; seconds since
 * 1970; or a date as in RFC 3339, from 1970 to 2262.
 */
int realtime_parse(struct realtime *realtime, const char *text, struct err *e);
/* As text that realtime_parse() reads. */
void realtime_print(const struct realtime *realtime, struct buf *out);

/* Add @realtime->ns to @host_ns, a time since 1970; it is not a date.  Refuses
 * a result before 1970 or after 2262. */
int realtime_add(const struct realtime *realtime, uint64_t host_ns,
		 uint64_t *ns, struct err *e);
