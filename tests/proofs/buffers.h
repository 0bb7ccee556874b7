/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers of a chain, for proofs.  Those who copy do not look at addresses, so
 * they may be chosen: they tell the number of the buffer, and the number of the
 * byte among all bytes of the chain.
 */
#pragma once

#include <sys/uio.h>

#include "tests/proofs/ram.h"

enum { BUFFERS = 2 };

enum { BUFFER_SHIFT = 40 };

/* Buffer i has the bytes from edge[i] up to edge[i + 1]. */
static uint64_t edge[BUFFERS + 1];

static void any_buffers(struct iovec *iov)
{
	for (unsigned i = 0; i < BUFFERS; i++) {
		uint64_t len = nondet_u32();
		uint64_t address = ((uint64_t)i << BUFFER_SHIFT) + edge[i];

		edge[i + 1] = edge[i] + len;
		iov[i] = (struct iovec){(void *)address, len};
	}
}

static uint64_t byte_at(uint64_t address)
{
	return address & ((1ull << BUFFER_SHIFT) - 1);
}

/* Are the @len bytes at @address, one at least, in one buffer? */
static bool buffer_has(uint64_t address, uint64_t len)
{
	uint64_t i = address >> BUFFER_SHIFT, at = byte_at(address);

	return i < BUFFERS && at >= edge[i] && at < edge[i + 1] && len &&
	       len <= edge[i + 1] - at;
}
