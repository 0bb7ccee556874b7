/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of numbers from 0: an array of words, a bit for each. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

static inline bool bits_has(const uint64_t *set, uint64_t i)
{
	return set[i / 64] >> i % 64 & 1;
}

static inline void bits_add(uint64_t *set, uint64_t i)
{
	set[i / 64] |= 1ull << i % 64;
}

static inline void bits_remove(uint64_t *set, uint64_t i)
{
	set[i / 64] &= ~(1ull << i % 64);
}
