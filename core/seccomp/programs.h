/* SPDX-License-Identifier: Apache-2.0 */
/* What compile.c makes of the lists. */
#pragma once

#include <linux/filter.h>

/* None is longer. */
enum { SECCOMP_INSTRUCTIONS_MAX = 512 };

/* In half the bytes: .code and .k of the instruction are in tables. */
struct seccomp_instruction {
	unsigned char code, jt, jf, k;
};

/* The programs, one after the other; that of enum seccomp_thread T has the
 * instructions from seccomp_first[T] to before seccomp_first[T + 1]. */
extern const struct seccomp_instruction seccomp_instructions[];
extern const unsigned short seccomp_first[], seccomp_codes[];
extern const unsigned seccomp_operands[];

/* Write that of @thread to @code, which has room for SECCOMP_INSTRUCTIONS_MAX;
 * returns the number of instructions. */
unsigned seccomp_program(unsigned thread, struct sock_filter *code);

/* Deflated (zlib), see seccomp_text(). */
extern const unsigned char seccomp_packed[];
extern const unsigned seccomp_packed_size, seccomp_text_size;
