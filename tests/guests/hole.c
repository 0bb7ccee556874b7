/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that does nothing but look at its counter, and tells the longest
 * times between two looks that it had between its third and its sixth second.
 */
#include "tests/guests/lib.h"

enum { FROM_MS = 3000, TO_MS = 6000, KEPT = 16 };

static uint64_t longest[KEPT]; /* the longest first */

static void keep(uint64_t gap)
{
	unsigned i = KEPT - 1;

	for (; i > 0 && longest[i - 1] < gap; i--)
		longest[i] = longest[i - 1];
	longest[i] = gap;
}

void guest_main(uint64_t fdt)
{
	const uint64_t from = ticks_of_ms(FROM_MS), to = ticks_of_ms(TO_MS);
	uint64_t last, now;

	(void)fdt;
	put_text("spinning.\n");
	do
		last = ticks();
	while (last < from);
	while (last < to) {
		now = ticks();
		if (now - last > longest[KEPT - 1])
			keep(now - last);
		last = now;
	}
	put_text("gaps");
	for (unsigned i = 0; i < KEPT; i++) {
		put_char(' ');
		put_number(longest[i]);
	}
	put_text(" of ");
	put_number(READ_SYSREG(cntfrq_el0));
	put_text(" Hz.\n");
	psci(PSCI_SYSTEM_OFF, 0, 0, 0);
}
