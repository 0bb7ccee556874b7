/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of all serial ports; a process has one port. */
#pragma once

#include <stdint.h>

struct serial_counters {
	uint64_t read_count, write_count; /* register accesses */
	uint64_t flush_count;
	uint64_t missed_write_count; /* output bytes dropped: reader too late */
	uint64_t missed_read_count, error_count;
	uint64_t rate_limiter_dropped_bytes;
};

extern struct serial_counters serial_counters;
