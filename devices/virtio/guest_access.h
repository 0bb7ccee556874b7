/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads and stores of memory that the guest may change concurrently: each
 * access happens exactly once and is not torn.  Virtio is little-endian, and so
 * are all hosts.
 *
 * Tests define some of these macros before they include the code under test: a
 * fuzzer, so that memory changes between any two loads; a proof, so that each
 * address is checked.
 */
#pragma once

#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "rings are read without swapping");

#ifndef guest_load
#define guest_load(p)         __atomic_load_n((p), __ATOMIC_RELAXED)
#define guest_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#endif

#ifndef guest_store
#define guest_store(p, v)         __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define guest_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

/* Full barrier; pairs with the driver's between its store and its load. */
#define guest_barrier() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

/*
 * Copy out of guest memory.  The barrier keeps the compiler from reading @from
 * a second time.
 */
#ifndef guest_copy
static inline void guest_copy(void *to, const void *from, size_t len)
{
	memcpy(to, from, len);
	__asm__ volatile("" : : "r"(to) : "memory");
}
#endif

/* Copy into guest memory. */
#ifndef guest_fill
#define guest_fill(to, from, len) memcpy((to), (from), (len))
#endif
