/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's accesses to the serial port: in whatever state, of whatever
 * width, with a host that takes any part of the output or none, an access
 * touches no memory but the port's; a read returns a byte; and the two buffers
 * never hold more than they have room for.  The same for what the host types
 * and takes.
 *
 * Bounds: RX_SIZE is 4, TX_SIZE 4, of which a driver fills 2 at once; a write
 * that the host does not refuse takes a byte at least.
 */
#include "devices/serial.c"        /* nogncheck */
#include "devices/serial_output.c" /* nogncheck */
#include "tests/proofs/host.h"

struct serial_counters serial_counters;

enum { WINDOW = 0x1000 };

static struct serial s;

ssize_t io_write_nowait(int fd, enum io_kind kind, const void *data, size_t len)
{
	ssize_t n = nondet_bool() ? -1 : (ssize_t)nondet_u8();
	size_t at = (size_t)((const uint8_t *)data - s.tx);

	(void)fd;
	(void)kind;
	prove(at < TX_SIZE && len && len <= TX_SIZE - at,
	      "what is written is in the buffer");
	errno = nondet_u8();
	assume(errno != EINTR && n && n <= (ssize_t)len);
	return n;
}

static bool is_sound(void)
{
	return s.rx_first < RX_SIZE && s.rx_count <= RX_SIZE &&
	       s.tx_first < TX_SIZE && s.tx_count <= TX_SIZE;
}

static void any_state(void)
{
	s.ier = nondet_u8();
	s.lcr = nondet_u8();
	s.mcr = nondet_u8();
	s.thr_interrupt = nondet_bool();
	s.rx_first = nondet_u32();
	s.rx_count = nondet_u32();
	s.rx_wanted = nondet_bool();
	s.tx_first = nondet_u32();
	s.tx_count = nondet_u32();
	s.tx_stalled = nondet_bool();
	s.dropping = nondet_bool();
	s.out_fd = nondet_bool() ? -1 : 1;
	assume(is_sound());
}

int main(void)
{
	static const uint8_t typed[2 * RX_SIZE];
	uint64_t offset = nondet_u64();
	unsigned len = 1u << nondet_u8() % 4;
	size_t some = nondet_u8();

	any_state();
	assume(offset < WINDOW && len <= WINDOW - offset);
	switch (nondet_u8() % 4) {
	case 0:
		prove(serial_mmio_ops.read(&s, offset, len) <= 0xff,
		      "a register has 8 bits");
		break;
	case 1:
		serial_mmio_ops.write(&s, offset, len, nondet_u64());
		break;
	case 2:
		serial_flush(&s);
		break;
	default:
		assume(some <= sizeof(typed));
		prove(serial_receive(&s, typed, some) <= some,
		      "not more is taken than was typed");
		break;
	}
	prove(is_sound(), "the buffers stay sound");
	return 0;
}
