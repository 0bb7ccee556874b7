/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends back what it gets on the serial port, by its interrupt; "q" ends it.
 * It takes its time to begin, so that more is typed than the port can hold.
 */
#include "tests/guests/lib.h"

enum { RBR = 0, IER = 1, IIR = 2, LSR = 5, IER_RDI = 1, LSR_DR = 1 };

static volatile uint64_t serial_interrupts, other_interrupts;

static void note_interrupt(unsigned cpu, unsigned intid)
{
	(void)cpu;
	if (intid == INTID_SERIAL)
		serial_interrupts++;
	else
		other_interrupts++;
}

/* Interrupts are masked but around WFI, so that none is missed. */
static uint8_t receive(void)
{
	while (!(read8(SERIAL + LSR) & LSR_DR)) {
		__asm__ volatile("wfi" ::: "memory");
		unmask_interrupts();
		__asm__ volatile("isb");
		mask_interrupts();
	}
	return read8(SERIAL + RBR);
}

void guest_main(uint64_t fdt)
{
	uint64_t count = 0;
	uint8_t c;

	(void)fdt;
	on_interrupt = note_interrupt;
	gic_init(0);
	write8(SERIAL + IER, IER_RDI);
	put_text("ready\r\n");
	for (;;) {
		c = receive();
		if (c == 'q')
			break;
		put_char((char)c);
		count++;
	}
	put_text("\r\nreceived: ");
	put_number(count);
	put_text("\r\n");
	write8(SERIAL + IER, 0);
	unmask_interrupts();
	__asm__ volatile("isb");
	check(serial_interrupts > 0, "the serial port interrupts");
	check_equal(other_interrupts, 0, "nothing else does");
}
