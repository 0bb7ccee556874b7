/* SPDX-License-Identifier: Apache-2.0 */
/* What serial.c and serial_state.c share. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/serial.h"
#include "vmm/base/loop.h"

enum {
	RX_SIZE = 256,   /* more than the chip's 16: guests cannot tell */
	TX_SIZE = 16384, /* a few screens for a reader that is late */
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
	bool flush_armed;
	uint64_t dropped;
	struct token_bucket limit;

	int out_fd, irq_fd, room_fd, timer_fd;
	struct event_loop *loop;
	struct event_source timer, out;
};

/* Its lock is held: see to it that what is on its way out is written. */
void serial_output_waits(struct serial *serial);
