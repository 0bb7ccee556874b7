/* SPDX-License-Identifier: Apache-2.0 */
/* What happened to guest time, as metrics of the process.  Main thread. */
#pragma once

struct arch_clock;
struct metrics_group;

extern struct metrics_group clock_metrics;

/* After a pause or a resume of @clock, whether it succeeded or not. */
void clock_metrics_update(const struct arch_clock *clock);
