/* SPDX-License-Identifier: Apache-2.0 */
/* State of the serial port in a snapshot. */
#include "devices/serial_internal.h"
#include "snapshot/codec.h"

/*
 * Save or load the bytes of a ring, oldest first; a loaded ring starts at its
 * first byte.
 */
static void ring_state(struct snap *s, uint8_t *ring, unsigned size,
		       const unsigned *first, unsigned *count)
{
	unsigned n = *count;

	snap_count(s, &n, size);
	for (unsigned i = 0; i < n && !snap_failed(s); i++)
		snap_u8(s, &ring[(*first + i) % size]);
	if (!snap_failed(s))
		*count = n;
}

void serial_state(struct serial *serial, struct snap *s)
{
	snap_begin(s, SNAP_TAG('u', 'a', 'r', 't'));
	device_lock_take(&serial->lock);
	snap_u8(s, &serial->ier);
	snap_u8(s, &serial->lcr);
	snap_u8(s, &serial->mcr);
	snap_u8(s, &serial->scratch);
	snap_u8(s, &serial->divisor[0]);
	snap_u8(s, &serial->divisor[1]);
	snap_bool(s, &serial->fifo_enabled);
	snap_bool(s, &serial->thr_interrupt);
	ring_state(s, serial->rx, RX_SIZE, &serial->rx_first,
		   &serial->rx_count);
	ring_state(s, serial->tx, TX_SIZE, &serial->tx_first,
		   &serial->tx_count);
	if (snap_loading(s))
		serial_output_waits(serial);
	device_lock_release(&serial->lock);
	snap_end(s);
}
