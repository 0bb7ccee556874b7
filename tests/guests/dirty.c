/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that writes to as many pages as it is told: 16 << n for a typed digit
 * n; and says so.  A typed q powers off.  It wants 32 MiB of RAM.
 */
#include "tests/guests/lib.h"

#define FIRST 0x80400000ull

enum { RBR = 0, LSR = 5, LSR_DATA_READY = 1, PAGE = 4096 };

static char typed(void)
{
	while (!(read8(SERIAL + LSR) & LSR_DATA_READY))
		continue;
	return (char)read8(SERIAL + RBR);
}

void guest_main(uint64_t fdt)
{
	uint64_t value = 1;
	char c;

	(void)fdt;
	put_text("waiting.\n");
	while ((c = typed()) != 'q') {
		uint64_t count = 16ull << ((c - '0') & 7);

		for (uint64_t i = 0; i < count; i++)
			write64(FIRST + i * PAGE, value);
		value++;
		put_text("dirtied ");
		put_number(count);
		put_text(".\n");
	}
	psci(PSCI_SYSTEM_OFF, 0, 0, 0);
}
