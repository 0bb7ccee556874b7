/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of a proof.  The checker (CBMC) looks at all executions of main()
 * at once: a function named nondet_*() returns every value, assume() leaves out
 * the executions for which its condition is false, and prove() must hold in all
 * others.  proofs.py runs it, with PROOF defined.
 *
 * The build compiles proofs, too, but links none: so it knows their includes,
 * and warnings and clang-tidy see them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

bool nondet_bool(void);
uint8_t nondet_u8(void);
uint16_t nondet_u16(void);
uint32_t nondet_u32(void);
uint64_t nondet_u64(void);

#ifdef PROOF
#define assume(condition)       __CPROVER_assume(condition)
#define prove(condition, words) __CPROVER_assert(condition, words)
#else
static inline void assume(bool condition)
{
	if (!condition)
		exit(0);
}

static inline void prove(bool condition, const char *words)
{
	(void)words;
	if (!condition)
		abort();
}
#endif
