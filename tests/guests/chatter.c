/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Talks as Linux's 8250 driver does, sixteen bytes at a time whenever the
 * transmitter is empty; more than the VMM and a terminal will hold.
 */
#include "tests/guests/lib.h"

enum { THR = 0, FCR = 2, LSR = 5, LSR_THRE = 0x20, FIFO = 16, LINES = 3200 };

/* Lines do not end where the FIFO does. */
static void send(char c)
{
	static unsigned sent;

	if (sent++ % FIFO == 0) {
		while (!(read8(SERIAL + LSR) & LSR_THRE))
			continue;
	}
	write8(SERIAL + THR, (uint8_t)c);
}

void guest_main(uint64_t fdt)
{
	(void)fdt;
	write8(SERIAL + FCR, 1);
	for (unsigned i = 0; i < LINES; i++) {
		char line[] = "line 000000 here\n";
		unsigned n = i;

		for (unsigned digit = 10; digit > 4; digit--) {
			line[digit] = (char)('0' + n % 10);
			n /= 10;
		}
		for (const char *c = line; *c; c++)
			send(*c);
	}
	check(true, "all was sent");
}
