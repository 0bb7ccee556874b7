/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A failure in words, for a person to read.
 *
 * Functions that can fail this way take a `struct err *` last and return 0 or
 * -1.  The one who fails fills it in; callers add context in front with
 * err_prefix(); only the outermost caller prints it.
 */
#pragma once

struct err {
	char text[1024];
};

/* Each returns -1, so that a failing function can end with it. */
int err_set(struct err *e, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* As err_set(), followed by ": " and what errno says. */
int err_errno(struct err *e, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Put "context: " in front of what is there. */
int err_prefix(struct err *e, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
