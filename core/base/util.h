/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small helpers that C lacks: checked arithmetic, alignment, scope-bound
 * clean-up, container_of.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define BIT(n)        (1ull << (n))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

/* Returns false, and leaves *out unspecified, if the result does not fit. */
static inline bool checked_mul(uint64_t a, uint64_t b, uint64_t *out)
{
	return !__builtin_mul_overflow(a, b, out);
}

/* Round @v down to a multiple of @align, a power of two. */
static inline uint64_t align_down(uint64_t v, uint64_t align)
{
	return v & ~(align - 1);
}

/* The same, up; the caller makes sure that @v + @align does not overflow. */
static inline uint64_t align_up(uint64_t v, uint64_t align)
{
	return align_down(v + align - 1, align);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/*
 * Close *fd unless it is -1, and set it to -1, because another thread may be
 * given the same number at once.
 */
static inline void util_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static inline void util_free(void *p)
{
	free(*(void **)p);
}

/* Close a descriptor, or free memory, at the end of the variable's scope. */
#define AUTO_CLOSE __attribute__((cleanup(util_close)))
#define AUTO_FREE  __attribute__((cleanup(util_free)))

/* Move a descriptor out of an AUTO_CLOSE variable, so that it stays open. */
static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}
