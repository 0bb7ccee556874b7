/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a guest's trace clock relates to the host's, from the history of its
 * counter.  Both traces are by CLOCK_MONOTONIC_RAW, which counts as the counter
 * does.  So between two changes of the counter's offset their difference is one
 * number.
 */
#pragma once

#include <stdint.h>

struct buf;
struct clock_answer;
struct err;

enum {
	TRACE_STRETCHES_MAX = 64,
	TRACE_VCPUS_MAX = 512,
};

struct trace_shift {
	struct trace_stretch {
		int64_t from_ns; /* by the guest's clock */
		int64_t add_ns;  /* to the guest's clock, for the host's */
		uint64_t counter, offset; /* the same in ticks */
	} stretch[TRACE_STRETCHES_MAX];
	unsigned count;  /* at least 1 */
	int64_t end_ns;  /* how far the history goes, by the guest's clock */
	int64_t host_ns; /* and by the host's */
};

/* The guest's clock showed @ns when its counter was at @counter. */
struct trace_pair {
	uint64_t counter;
	int64_t ns;
};

int trace_shift_make(struct trace_shift *shift,
		     const struct clock_answer *answer,
		     const struct trace_pair *pair, struct err *e);

/* What trace-cmd takes: the guest's option for @vcpus CPUs, ... */
void trace_shift_print(const struct trace_shift *shift, uint64_t host_id,
		       unsigned vcpus, struct buf *options);
/* ... and the host's, which names the thread of each. */
void trace_guest_print(const char *name, uint64_t guest_id,
		       const uint32_t *threads, unsigned vcpus,
		       struct buf *options);
