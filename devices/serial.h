/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 16550A UART, the guest's ttyS0.
 *
 * Output is buffered, and written when a line is complete, or after 2 ms
 * (FLUSH_NS).  If the reader falls behind, the transmitter reports
 * busy, like a slow line; no thread ever blocks.  A guest that transmits anyway
 * loses those bytes.
 *
 * Drivers poll a busy transmitter: Linux keeps a CPU busy for each character of
 * a kernel message.  So the wait for a reader that has taken nothing for
 * patience_ms ends: the transmitter reports ready, and bytes that do not fit
 * the buffer are dropped and counted, until the reader takes some again.
 *
 * Threads: registers are accessed on vCPU threads; all other functions are
 * called on the main thread, which also writes the output: a vCPU thread may
 * not write to files (core/seccomp/lists/vcpu.inc).
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
	int out_fd;  /* owned by the caller; -1: none */
	int irq_fd;  /* eventfd; written to interrupt the guest */
	int room_fd; /* eventfd; written when there is room for input */
	struct token_bucket_config limit; /* of output; the excess is dropped */
	/* How long to wait for a reader; 0: no limit, nothing is lost. */
	unsigned patience_ms;
};

extern const struct mmio_ops serial_mmio_ops;

/*
 * Returns NULL on failure.  serial_destroy() frees the device; NULL is
 * accepted.
 */
struct serial *serial_create(const struct serial_config *config, struct err *e);
void serial_destroy(struct serial *serial);

/*
 * Queue input for the guest.  Returns how many of @len bytes fitted; if not
 * all, room_fd is written once half of the buffer is free.
 */
size_t serial_receive(struct serial *serial, const uint8_t *data, size_t len);

/* Save or load registers and buffered input and output, while no vCPU runs. */
void serial_state(struct serial *serial, struct snap *s);

/* Write what can be written without blocking. */
void serial_flush(struct serial *serial);

/*
 * At the end of the guest: write everything.  Waits at most 2 s for the reader.
 */
void serial_drain(struct serial *serial);

/*
 * Firecracker's metrics ("uart"); a caller that has a serial port adds them
 * with metrics_add().
 */
extern struct metrics_group serial_metrics;

/* Bytes dropped because the reader did not take them in time. */
uint64_t serial_dropped(struct serial *serial);
