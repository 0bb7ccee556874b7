/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest time as arithmetic on 64-bit counters, modulo 2^64.
 *
 *	H  the host's system counter (CNTVCT_EL0, read by stasis)
 *	O  the offset that KVM subtracts from it
 *	G  the guest's counter: H - O
 *
 * "Negative" offsets (a guest counter ahead of the host's, as after a reboot of
 * the host) are normal.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

static inline uint64_t clock_guest(uint64_t host, uint64_t offset)
{
	return host - offset;
}

/* The offset with which the guest reads @guest when the host reads @host. */
static inline uint64_t clock_offset(uint64_t host, uint64_t guest)
{
	return host - guest;
}

/*
 * Is the value @guest, read while the host's counter went from @before to
 * @after, consistent with the offset @offset?  KVM has no ioctl to read the
 * offset back, so this checks it.
 */
static inline bool clock_bracketed(uint64_t before, uint64_t guest,
				   uint64_t after, uint64_t offset)
{
	return guest - clock_guest(before, offset) <= after - before;
}

/* Convert ticks to nanoseconds; saturates. */
static inline uint64_t clock_ns(uint64_t ticks, uint32_t hz)
{
	unsigned __int128 ns;

	if (!hz)
		return 0;
	ns = (unsigned __int128)ticks * 1000000000u / hz;
	return ns > UINT64_MAX ? UINT64_MAX : (uint64_t)ns;
}

/* Convert nanoseconds to ticks, rounding up; saturates. */
static inline uint64_t clock_ticks(uint64_t ns, uint32_t hz)
{
	unsigned __int128 ticks =
		((unsigned __int128)ns * hz + 999999999u) / 1000000000u;

	return ticks > UINT64_MAX ? UINT64_MAX : (uint64_t)ticks;
}

/* Are @ticks more than @ms milliseconds? */
static inline bool clock_longer_than(uint64_t ticks, uint32_t hz, uint64_t ms)
{
	return (unsigned __int128)ticks * 1000 > (unsigned __int128)ms * hz;
}

/* Is @to before @from, modulo 2^64? */
static inline bool clock_goes_back(uint64_t from, uint64_t to)
{
	return (int64_t)(to - from) < 0;
}
