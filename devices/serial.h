/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 16550A UART, the guest's ttyS0.
 *
 * Output is collected and written a line at a time, or after FLUSH_NS when the
 * line is not finished.  When whoever reads it falls behind, the transmitter
 * reports that it is busy, as a slow line would; no thread ever blocks.  A
 * guest that transmits all the same loses those bytes.
 *
 * Drivers poll a busy transmitter: Linux keeps a CPU busy for each character of
 * a kernel message.  So a reader that has taken nothing for patience_ms is not
 * waited for any longer: the transmitter reports that it is ready, and what
 * does not fit is dropped and counted, until the reader takes something again.
 *
 * Threads: registers are accessed on vCPU threads; everything else is called
 * on the main thread, where flushing happens too.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/token_bucket.h"
#include "core/machine/mmio_bus.h"

struct err;
struct event_loop;
struct metrics_group;
struct serial;
struct snap;

struct serial_config {
	struct event_loop *loop;
	int out_fd;  /* kept open by its owner; -1: none */
	int irq_fd;  /* eventfd: written to interrupt the guest */
	int room_fd; /* eventfd: written when the guest made room for input */
	struct token_bucket_config limit; /* of output; more is dropped */
	unsigned patience_ms; /* with a reader; 0: wait for it, lose nothing */
};

extern const struct mmio_ops serial_mmio_ops;

struct serial *serial_create(const struct serial_config *config, struct err *e);
void serial_destroy(struct serial *serial);

/* Feed the guest: how many bytes fitted.  If not all, room_fd will say when. */
size_t serial_receive(struct serial *serial, const uint8_t *data, size_t len);

/* While no vCPU runs: registers, and what is on its way in and out. */
void serial_state(struct serial *serial, struct snap *s);

/* Write out what can be written at once. */
void serial_flush(struct serial *serial);

/* At the guest's end: write out all; a late reader gets two seconds. */
void serial_drain(struct serial *serial);

/* Firecracker's counters of it; to be added by whoever has one. */
extern struct metrics_group serial_metrics;

/* Bytes lost because they were not read in time. */
uint64_t serial_dropped(struct serial *serial);
