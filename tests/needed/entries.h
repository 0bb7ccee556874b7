/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lists of core/seccomp/lists, entry by entry, for a product that records
 * which of them are used, or lacks one.
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>

#include "core/seccomp/rules.h"

enum { ENTRIES_CODE_MAX = 4096 };

struct entry {
	const char *file;
	struct rule rule;
	int number; /* of the call */
	unsigned line;
};

/*
 * A program for @thread (enum seccomp_thread), with its number of instructions.
 * If @trace, entries stop the thread for its tracer, which is told an index for
 * entry_at().  Without @dropped ("vcpu.inc:5"; NULL: with all).
 */
unsigned entries_program(unsigned thread, bool trace, const char *dropped,
			 struct sock_filter *code);

const struct entry *entry_at(unsigned index);
