/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters that are not built in: rules, the BPF that is made of them, and what
 * BPF decides.  Nothing here needs the kernel.
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

struct err;
struct seccomp_data;

enum filter_op {
	FILTER_EQ,
	FILTER_NE,
	FILTER_GT,
	FILTER_GE,
	FILTER_LT,
	FILTER_LE,
	FILTER_MASKED_EQ,
};

struct filter_condition {
	unsigned argument; /* from 0 to 5 */
	bool wide;         /* all 64 bits of it; else its lower 32 */
	enum filter_op op;
	uint64_t mask; /* of FILTER_MASKED_EQ */
	uint64_t value;
};

enum { FILTER_CONDITIONS_MAX = 6, FILTER_RULES_MAX = BPF_MAXINSNS };

/* Matches if all conditions hold. */
struct filter_rule {
	int call;        /* arm64's number */
	uint32_t action; /* SECCOMP_RET_* */
	unsigned count;
	struct filter_condition condition[FILTER_CONDITIONS_MAX];
};

/*
 * Write the program of @count rules to @code, which has room for BPF_MAXINSNS
 * instructions: the action of the first rule that matches, else @otherwise.
 * Returns the number of instructions, or -1 if there would be too many.
 */
int filter_generate(const struct filter_rule *rules, unsigned count,
		    uint32_t otherwise, struct sock_filter *code,
		    struct err *e);

/*
 * Is @code a program that filter_generate() may have written?  Such a program
 * loads nothing but struct seccomp_data, jumps forward only, ends, and returns
 * nothing that leaves a process without one of its threads.
 */
int filter_verify(const struct sock_filter *code, unsigned len, struct err *e);

enum filter_verdict {
	FILTER_ALLOWS = 1, /* perhaps with a line in the kernel's log */
	FILTER_FAILS = 2,  /* with an error: errno, or a tracer decides */
	FILTER_ENDS = 4,   /* SIGSYS */
};

/*
 * What a verified program decides about @data, of whose arguments only those in
 * the bits of @known are: the verdicts that are possible, and in *action (which
 * may be NULL) the last of their actions.
 */
unsigned filter_decide(const struct sock_filter *code, unsigned len,
		       const struct seccomp_data *data, unsigned known,
		       uint32_t *action);
