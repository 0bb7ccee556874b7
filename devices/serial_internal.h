/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by serial.c, serial_output.c and serial_state.c. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include "core/io/io.h"
#include "core/io/loop.h"
#include "core/thread/lock.h"
#include "devices/serial.h"

enum {
	RX_SIZE = 256, /* larger than the chip's 16, which guests cannot see */
	TX_SIZE = 16384, /* a few screens, for a reader that is late */
	FIFO_SIZE = 16,  /* bytes that a driver may send when it sees THRE */
};

struct serial {
	struct device_lock lock;
	GUARDED_BY(device_lock) uint8_t ier, lcr, mcr, scratch, divisor[2];
	GUARDED_BY(device_lock) bool fifo_enabled;
	/* THR became empty, and IIR was not read yet. */
	GUARDED_BY(device_lock) bool thr_interrupt;

	GUARDED_BY(device_lock) uint8_t rx[RX_SIZE];
	GUARDED_BY(device_lock) unsigned rx_first, rx_count;
	GUARDED_BY(device_lock)
	bool rx_wanted; /* write room_fd when there is room */

	GUARDED_BY(device_lock) uint8_t tx[TX_SIZE];
	GUARDED_BY(device_lock) unsigned tx_first, tx_count;
	/* out_fd takes no more; the loop waits for it. */
	GUARDED_BY(device_lock) bool tx_stalled;
	/* Stalled for longer than patience_ns. */
	GUARDED_BY(device_lock) bool dropping;
	GUARDED_BY(device_lock)
	enum serial_flush_time {
		FLUSH_NOT_ARMED,
		FLUSH_LATER,
		FLUSH_NOW
	} armed;
	GUARDED_BY(device_lock) uint64_t dropped;
	/* The part of @dropped that was logged. */
	GUARDED_BY(device_lock) uint64_t dropped_told;
	/* CLOCK_MONOTONIC; the reader's last progress. */
	GUARDED_BY(device_lock) uint64_t taken_ns;
	GUARDED_BY(device_lock) struct token_bucket limit;

	/* Constant, and the main thread's. */
	uint64_t patience_ns;

	int out_fd, irq_fd, room_fd, timer_fd;
	enum io_kind out_kind; /* of out_fd */
	struct event_loop *loop;
	struct event_source timer, out;
};

static inline void serial_signal(int fd)
{
	/* Fails only if the counter is full; then it is signalled already. */
	if (fd >= 0)
		(void)eventfd_write(fd, 1);
}

/*
 * serial.c.  Call after an interrupt condition became true, because the line is
 * edge-triggered.  Lock held.
 */
void serial_raise_interrupt(struct serial *serial) REQUIRES(device_lock);

/*
 * What LSR reports as THRE: there is room for the whole FIFO, because drivers
 * fill it without checking again.
 */
static inline bool serial_tx_ready(const struct serial *s) REQUIRES(device_lock)
{
	return s->dropping || s->tx_count <= TX_SIZE - FIFO_SIZE;
}

/* serial_output.c.  Init returns 0 or -1; after a failure, fini is safe. */
int serial_output_init(struct serial *serial, struct err *e);
void serial_output_fini(struct serial *serial);
/* Send a byte of the guest's.  Lock held. */
void serial_transmit(struct serial *serial, uint8_t byte) REQUIRES(device_lock);
/* Make sure that buffered output gets flushed within 2 ms.  Lock held. */
void serial_output_waits(struct serial *serial) REQUIRES(device_lock);
