/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in a state, for people and their programs: a table of sections, and
 * the one function that reads any of them by it.
 *
 * Whoever changes what a state function saves changes the table; a unit test
 * finds what it does not know.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct err;

/*
 * Print the body of a state file, of format minor @minor: text, or an object
 * of JSON.  What the table does not know is shown as bytes, "unread".
 *
 * -1 if it ends early or makes no sense: what was read until then is printed.
 */
int schema_print(FILE *out, const void *body, size_t len, uint16_t minor,
		 bool json, struct err *e);
