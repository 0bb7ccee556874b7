/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An error message for a person to read.
 *
 * Functions that report errors this way take a `struct err *` as their last
 * argument and return 0 or -1.  The function that fails fills it in, callers
 * may prepend context with err_prefix(), and only the outermost caller prints
 * it.
 */
#pragma once

struct err {
	char text[1024];
};

/* Set the text.  Returns -1, as all four do: `return err_set(...);`. */
int err_set(struct err *e, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* As err_set(), followed by ": " and the description of errno. */
int err_errno(struct err *e, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Append to the text. */
int err_suffix(struct err *e, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Put "context: " in front of the text. */
int err_prefix(struct err *e, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
