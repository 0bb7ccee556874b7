/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/serial_counters.h"

#include "core/base/metrics.h"
#include "core/base/util.h"
#include "devices/serial.h"

struct serial_counters serial_counters;

static const struct metric counters[] = {
	METRIC(struct serial_counters, error_count),
	METRIC(struct serial_counters, flush_count),
	METRIC(struct serial_counters, missed_read_count),
	METRIC(struct serial_counters, missed_write_count),
	METRIC(struct serial_counters, rate_limiter_dropped_bytes),
	METRIC(struct serial_counters, read_count),
	METRIC(struct serial_counters, write_count),
};

struct metrics_group serial_metrics = {
	.name = "uart",
	.metric = counters,
	.count = ARRAY_SIZE(counters),
	.base = &serial_counters,
};
