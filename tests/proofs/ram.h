/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM for proofs: addresses without contents.  A load must lie inside and
 * returns anything, twice the same address perhaps two different things, as if
 * the guest wrote all the time.  A store must lie inside what may be written,
 * and has no effect.
 *
 * To be included before the code under test: it replaces the accesses of
 * devices/virtio/guest_access.h.
 */
#pragma once

#include "core/machine/gpa.h"
#include "tests/proofs/proofs.h"

enum { RAM_GPA = 0x40000000, RAM_SIZE = 1 << 16 };
#define RAM_HOST 0x7f0000000000ull

/* What may be written; at first all of RAM. */
static uint64_t writable_at = RAM_HOST, writable_len = RAM_SIZE;

static bool within(const volatile void *p, uint64_t len, uint64_t at,
		   uint64_t size)
{
	uint64_t from = (uint64_t)p - at;

	return (uint64_t)p >= at && from <= size && len <= size - from;
}

static bool in_ram(const volatile void *p, uint64_t len)
{
	return within(p, len, RAM_HOST, RAM_SIZE);
}

static uint64_t ram_load(const volatile void *p, unsigned len)
{
	prove(in_ram(p, len), "a load is inside guest RAM");
	prove((uint64_t)p % len == 0, "a load is aligned");
	return len == 2 ? nondet_u16() : len == 4 ? nondet_u32() : nondet_u64();
}

static void ram_store(const volatile void *p, unsigned len)
{
	prove(within(p, len, writable_at, writable_len),
	      "a store is inside what may be written");
	prove((uint64_t)p % len == 0, "a store is aligned");
}

#define guest_load(p)             ((__typeof__(*(p)))ram_load((p), sizeof(*(p))))
#define guest_load_acquire(p)     guest_load(p)
#define guest_store(p, v)         ((void)(v), ram_store((p), sizeof(*(p))))
#define guest_store_release(p, v) guest_store(p, v)
#define guest_barrier()           ((void)0)
