/* SPDX-License-Identifier: Apache-2.0 */
/* What compile.c makes of the lists. */
#pragma once

#include <linux/filter.h>

/* None is longer. */
enum { SECCOMP_INSTRUCTIONS_MAX = 512 };

/* The programs, one after the other; that of enum seccomp_thread T has the
 * instructions from seccomp_first[T] to before seccomp_first[T + 1]. */
extern const struct sock_filter seccomp_instructions[];
extern const unsigned short seccomp_first[];

/* Deflated (zlib), see seccomp_text(). */
extern const unsigned char seccomp_packed[];
extern const unsigned seccomp_packed_size, seccomp_text_size;
