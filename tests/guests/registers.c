/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every offset of every device's window in every width, and what registers
 * must hold: "PrimeCell Real Time Clock (PL031)" (Arm DDI 0224) and "PC16550D
 * Universal Asynchronous Receiver/Transmitter with FIFOs" (Texas Instruments).
 */
#include "tests/guests/lib.h"

enum {
	RBR = 0,
	THR = 0,
	DLL = 0,
	DLM = 1,
	IER = 1,
	IIR = 2,
	FCR = 2,
	LCR = 3,
	MCR = 4,
	LSR = 5,
	MSR = 6,
	SCR = 7,
	IER_RDI = 1,
	IER_THRI = 2,
	LCR_DLAB = 0x80,
	MCR_LOOP = 0x10,
	RTC_DR = 0x00,
	RTC_MR = 0x04,
	RTC_LR = 0x08,
	RTC_CR = 0x0c,
	RTC_IMSC = 0x10,
	RTC_ID = 0xfe0,
};

/* ---------------------------------------------------------------------- RTC */

static void check_rtc_id(void)
{
	static const uint8_t id[] = {0x31, 0x10, 0x14, 0x00,
				     0x0d, 0xf0, 0x05, 0xb1};

	for (unsigned i = 0; i < sizeof(id); i++)
		check_equal(read32(RTC + RTC_ID + 4 * i), id[i], "RTC: id");
	check_equal(read8(RTC + RTC_ID), 0, "RTC: a byte of an id is 0");
	check_equal(read16(RTC + RTC_ID), 0, "RTC: half an id is 0");
	check_equal(read64(RTC + RTC_ID), 0, "RTC: two ids at once are 0");
}

static void check_rtc_time(void)
{
	uint32_t first = read32(RTC + RTC_DR), second = read32(RTC + RTC_DR);

	check(second - first <= 2, "RTC: time goes on slowly");
	write32(RTC + RTC_DR, 7);
	check(read32(RTC + RTC_DR) - second <= 2, "RTC: DR is read-only");
	write16(RTC + RTC_LR, 8);
	check(read32(RTC + RTC_DR) - second <= 2, "RTC: half of LR is nothing");
	write32(RTC + RTC_LR, 1000);
	check(read32(RTC + RTC_DR) - 1000 <= 2, "RTC: LR sets the time");
	check_equal(read32(RTC + RTC_LR), 1000, "RTC: LR holds it");
	write32(RTC + RTC_LR, first);
	check(read32(RTC + RTC_DR) - first <= 2, "RTC: and sets it back");
}

static void check_rtc_registers(void)
{
	check_equal(read32(RTC + RTC_CR), 1, "RTC: it is enabled");
	write32(RTC + RTC_CR, 0);
	check_equal(read32(RTC + RTC_CR), 1, "RTC: and cannot be disabled");
	write32(RTC + RTC_MR, 0x89abcdef);
	check_equal(read32(RTC + RTC_MR), 0x89abcdef, "RTC: MR holds");
	write32(RTC + RTC_IMSC, ~0u);
	check_equal(read32(RTC + RTC_IMSC), 1, "RTC: IMSC is one bit");
	write32(RTC + RTC_IMSC, 0);
	check_equal(read32(RTC + RTC_IMSC), 0, "RTC: IMSC clears");
}

/* ------------------------------------------------------------- serial port */

static void check_wrong_widths(void)
{
	write8(SERIAL + SCR, 0x5a);
	check_equal(read8(SERIAL + SCR), 0x5a, "serial: SCR holds");
	write8(SERIAL + SCR, 0xa5);
	check_equal(read8(SERIAL + SCR), 0xa5, "serial: SCR holds another");
	write16(SERIAL + 6, 0);
	write32(SERIAL + 4, 0);
	write64(SERIAL + 0, 0);
	check_equal(read8(SERIAL + SCR), 0xa5, "serial: wide writes are none");
	check_equal(read16(SERIAL + 6), 0, "serial: 2-byte reads are 0");
	check_equal(read32(SERIAL + 4), 0, "serial: 4-byte reads are 0");
	check_equal(read64(SERIAL + 0), 0, "serial: 8-byte reads are 0");
	check_equal(read8(SERIAL + 8), 0, "serial: nothing behind SCR");
	check_equal(read8(SERIAL + WINDOW - 1), 0, "serial: nor at the end");
}

static void check_divisor(void)
{
	uint8_t lcr = read8(SERIAL + LCR);

	write8(SERIAL + LCR, LCR_DLAB | lcr);
	write8(SERIAL + DLL, 0x12);
	write8(SERIAL + DLM, 0x34);
	check_equal(read8(SERIAL + DLL), 0x12, "serial: DLL holds");
	check_equal(read8(SERIAL + DLM), 0x34, "serial: DLM holds");
	write8(SERIAL + LCR, lcr);
	check_equal(read8(SERIAL + LCR), lcr, "serial: LCR holds");
	check_equal(read8(SERIAL + IER), 0, "serial: IER is not DLM");
}

/* Read first, then print: printing makes THR empty again. */
static void check_interrupt_id(void)
{
	uint8_t none, empty, again;

	write8(SERIAL + IER, 0);
	none = read8(SERIAL + IIR) & 15;
	write8(SERIAL + IER, IER_THRI);
	empty = read8(SERIAL + IIR) & 15;
	again = read8(SERIAL + IIR) & 15;
	write8(SERIAL + IER, 0xff);
	check_equal(read8(SERIAL + IER), 0x0f, "serial: IER is four bits");
	write8(SERIAL + IER, 0);
	check_equal(none, 1, "serial: no interrupt");
	check_equal(empty, 2, "serial: THR is empty");
	check_equal(again, 1, "serial: told once");
	write8(SERIAL + FCR, 1);
	check_equal(read8(SERIAL + IIR), 0xc1, "serial: FIFOs are on");
	write8(SERIAL + FCR, 0);
	check_equal(read8(SERIAL + IIR), 0x01, "serial: FIFOs are off");
}

static void check_loopback(void)
{
	uint8_t msr, lsr, iir, data, empty;

	write8(SERIAL + MCR, MCR_LOOP | 0x0a);
	write8(SERIAL + IER, IER_RDI);
	write8(SERIAL + THR, 'x');
	msr = read8(SERIAL + MSR);
	lsr = read8(SERIAL + LSR);
	iir = read8(SERIAL + IIR) & 15;
	data = read8(SERIAL + RBR);
	empty = read8(SERIAL + LSR);
	write8(SERIAL + IER, 0);
	write8(SERIAL + MCR, 0);
	check_equal(msr & 0xf0, 0x90, "serial: loopback of RTS and OUT2");
	check_equal(lsr & 1, 1, "serial: what is sent is received");
	check_equal(iir, 4, "serial: and asks for an interrupt");
	check_equal(data, 'x', "serial: unchanged");
	check_equal(empty & 1, 0, "serial: and then gone");
}

static void check_serial(void)
{
	check_equal(read8(SERIAL + LSR) & 0x60, 0x60, "serial: THR empty");
	check_equal(read8(SERIAL + MSR) & 0xf0, 0xb0, "serial: carrier");
	write8(SERIAL + LSR, 0);
	check_equal(read8(SERIAL + LSR) & 0x60, 0x60, "serial: LSR read-only");
	check_wrong_widths();
	check_divisor();
	check_interrupt_id();
	check_loopback();
}

/* --------------------------------------------------------------------- all */

/* Sending would fill the log, and DLAB, loopback or interrupts change it. */
static bool is_harmful(uint64_t at, unsigned width)
{
	return width == 1 && at >= SERIAL && at < SERIAL + SCR;
}

static void sweep(uint64_t base, const char *what)
{
	uint64_t aborts = data_aborts;

	for (unsigned width = 1; width <= 8; width *= 2) {
		for (uint64_t at = base; at < base + WINDOW; at += width) {
			read_width(at, width);
			if (!is_harmful(at, width))
				write_width(at, width, 0x5555555555555555);
		}
	}
	check_equal(data_aborts, aborts, what);
}

void guest_main(uint64_t fdt)
{
	(void)fdt;
	check_rtc_id();
	check_rtc_time();
	check_rtc_registers();
	check_serial();
	check_equal(read8(BOOT_TIMER), 0, "boot timer: reads as 0");
	check_equal(read32(BOOT_TIMER), 0, "boot timer: in each width");
	sweep(BOOT_TIMER, "boot timer: every access is harmless");
	sweep(RTC, "RTC: every access is harmless");
	sweep(SERIAL, "serial: every access is harmless");
	check_rtc_id();
	check_serial();
	/* With --boot-timer the VMM logs this. */
	write8(BOOT_TIMER, 123);
	write8(BOOT_TIMER, 123);
	check(true, "the boot timer was written");
}
