/* SPDX-License-Identifier: Apache-2.0 */
/* The lists of seccomp_text(), an entry at a time. */
#pragma once

#include <stdbool.h>

#include "core/seccomp/filter.h"

/* "stasis seccomp show" prints the others. */
enum seccomp_field {
	ENTRY_THREAD,
	ENTRY_CALL,
	ENTRY_CODE, /* see entry_decode() */
	ENTRY_CONDITION,
	ENTRY_REASON,
	ENTRY_FIELDS,
};

struct seccomp_entry {
	char field[ENTRY_FIELDS][128];
};

/* Read the first entry (@text is NULL), or the one at @text.  Where the next
 * begins, or NULL if there was none. */
const char *entry_read(const char *text, struct seccomp_entry *entry);

/*
 * What the code of an entry says:
 *
 *	!               no microVM starts, or ends in order, without it
 *	s               forbidden to a VMM without snapshots
 *	eNUMBER         the call fails with this error
 *	N&MASK=VALUE    argument N, in hexadecimal; several of these, with a
 *	                comma before each
 *
 * The rule's conditions are FILTER_EQ, not wide, for MASK ffffffff.
 */
void entry_decode(const struct seccomp_entry *entry, struct filter_rule *rule,
		  bool *needed);

/* Has a VMM without snapshots no such entry? */
bool entry_is_for_snapshots(const struct seccomp_entry *entry);

/* The number of arm64's system call @name, or -1; and its name, or "". */
int entry_call_number(const char *name);
void entry_call_name(int number, char *name, unsigned size);
