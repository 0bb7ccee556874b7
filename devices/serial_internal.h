/* SPDX-License-Identifier: Apache-2.0 */
/* What serial.c, serial_output.c and serial_state.c share. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include "core/io/loop.h"
#include "devices/serial.h"

enum {
	RX_SIZE = 256,   /* more than the chip's 16: guests cannot tell */
	TX_SIZE = 16384, /* a few screens for a reader that is late */
	FIFO_SIZE = 16,  /* what a driver may send when it sees THRE */
};

struct serial {
	pthread_mutex_t lock; /* guards all below but the sources */
	uint8_t ier, lcr, mcr, scratch, divisor[2];
	bool fifo_enabled;
	bool thr_interrupt; /* THR became empty, and nobody has seen it yet */

	uint8_t rx[RX_SIZE];
	unsigned rx_first, rx_count;
	bool rx_wanted; /* room_fd is to be written when there is room */

	uint8_t tx[TX_SIZE];
	unsigned tx_first, tx_count;
	bool tx_stalled; /* out_fd takes no more; the loop waits for it */
	bool dropping;   /* ... for longer than our patience */
	bool flush_armed;
	uint64_t dropped;
	uint64_t dropped_told; /* of those, in the log: read again since */
	uint64_t taken_ns;     /* when it last took something */
	uint64_t patience_ns;
	struct token_bucket limit;

	int out_fd, irq_fd, room_fd, timer_fd;
	struct event_loop *loop;
	struct event_source timer, out;
};

static inline void serial_signal(int fd)
{
	/* Fails only if 2^64 - 1 signals are unread: it is signalled then. */
	if (fd >= 0)
		(void)eventfd_write(fd, 1);
}

/* serial.c, all with the lock held: after a condition became true (the line is
 * edge-triggered). */
void serial_raise_interrupt(struct serial *serial);

/* Drivers fill the chip's FIFO without looking again. */
static inline bool serial_tx_ready(const struct serial *s)
{
	return s->dropping || s->tx_count <= TX_SIZE - FIFO_SIZE;
}

/* serial_output.c */
int serial_output_init(struct serial *serial, struct err *e);
void serial_output_fini(struct serial *serial);
/* Its lock is held. */
void serial_transmit(struct serial *serial, uint8_t byte);
/* Its lock is held: see to it that what is on its way out is written. */
void serial_output_waits(struct serial *serial);
