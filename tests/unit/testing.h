/* SPDX-License-Identifier: Apache-2.0 */
/* What unit tests share, beside cmocka. */
#pragma once

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* Keep the order. */
#include <cmocka.h>
#include <stdbool.h>

#include "core/base/err.h"

#define RUN_TESTS(name, tests) \
	cmocka_run_group_tests_name((name), (tests), NULL, NULL)

/* A failure whose words have @part in them. */
#define assert_err(call, e, part)                  \
	do {                                       \
		assert_int_equal((call), -1);      \
		assert_contains((e).text, (part)); \
	} while (0)

#define assert_ok(call, e)                                   \
	do {                                                 \
		if (call)                                    \
			fail_msg("%s: %s", #call, (e).text); \
	} while (0)

#define assert_contains(text, part) \
	testing_contains((text), (part), true, __FILE__, __LINE__)
#define assert_lacks(text, part) \
	testing_contains((text), (part), false, __FILE__, __LINE__)
void testing_contains(const char *text, const char *part, bool wanted,
		      const char *file, int line);

/* A file without a name, of these bytes; and its path. */
int testing_file(const void *data, size_t len);
const char *testing_file_path(int fd);

/* Descriptors open in this process. */
unsigned testing_count_fds(void);

/* What can be read from a non-blocking descriptor, NUL-terminated. */
size_t testing_read_all(int fd, char *buf, size_t size);

/* The sum written to an eventfd since the last look. */
uint64_t testing_take_event(int fd);

/* A pipe whose ends do not block. */
void testing_pipe(int fds[2]);
/* Write until no more goes in; how many bytes that were. */
size_t testing_fill(int fd);
