/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Printing a state file, for people and for programs: a table of sections
 * (schema_table.h), and one function that reads any section by it.
 *
 * A change to a state function needs the same change in the table; a unit test
 * finds fields that the table lacks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct err;
struct schema_arch;

/* The body of a state file. */
struct schema_state {
	const void *body;
	size_t len;
	uint16_t minor;
	const struct schema_arch *arch; /* of the guest */
};

/*
 * Print @state as text or as a JSON object.  Bytes that no table describes are
 * printed as "unread".
 *
 * Returns -1 if the body is truncated or malformed; everything before that is
 * printed.
 */
int schema_print(FILE *out, const struct schema_state *state, bool json,
		 struct err *e);
