/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hypervisor that looks at its counters, gives EL1 a counter of its own with
 * CNTVOFF_EL2, looks at those there, and does what is typed:
 *
 *	g  tell what was seen
 *	q  power off
 *
 * Its registers are EL1's by name: it runs with HCR_EL2.E2H.
 */
#include "tests/guests/lib.h"

enum { RBR = 0, LSR = 5, LSR_DATA_READY = 1, POLL_MS = 1 };

#define EL1_LAG (1ull << 40) /* ticks */

#define HCR_RW         (1ull << 31) /* EL1 is AArch64 */
#define HCR_E2H        (1ull << 34)
#define CNTHCTL_EL1PCT (1ull << 10 | 1ull << 11) /* not trapped, with E2H */

/* As EL1 sees them, one after the other: virtual, physical, virtual. */
struct seen {
	uint64_t before, physical, after;
};
void look_at_el1(struct seen *seen); /* nested_el1.S */

static uint64_t wrong_at_el2, wrong_at_el1, wrong_virtual, looks;
static uint64_t last, gap;

static uint64_t physical(void)
{
	__asm__ volatile("isb" ::: "memory");
	return READ_SYSREG(cntpct_el0);
}

static void look(void)
{
	uint64_t before = ticks(), between = physical(), middle = ticks(), now;
	struct seen el1;

	/* At EL2 both are one, whatever it gives EL1. */
	wrong_at_el2 += between < before || between > middle;
	look_at_el1(&el1);
	now = ticks();
	wrong_virtual += el1.before + EL1_LAG < middle ||
			 el1.after + EL1_LAG > now || el1.after < el1.before;
	wrong_at_el1 += el1.physical < middle || el1.physical > now;
	if (looks++ && before - last > gap)
		gap = before - last;
	last = before;
}

static void put_value(const char *name, uint64_t value)
{
	put_text(name);
	put_number(value);
}

static void tell(void)
{
	put_value("saw gap ", gap);
	put_value(" now ", ticks());
	put_value(" EL2 ", wrong_at_el2);
	put_value(" virtual ", wrong_virtual);
	put_value(" physical ", wrong_at_el1);
	put_value(" looks ", looks);
	put_text(".\n");
	gap = 0;
	last = ticks();
}

static char typed(void)
{
	if (!(read8(SERIAL + LSR) & LSR_DATA_READY))
		return 0;
	return (char)read8(SERIAL + RBR);
}

void guest_main(uint64_t fdt)
{
	uint64_t next = 0;
	char command = 0;

	(void)fdt;
	put_value("runs at EL", READ_SYSREG(CurrentEL) >> 2);
	put_text(".\n");
	if (READ_SYSREG(CurrentEL) >> 2 != 2)
		guest_end();
	WRITE_SYSREG(hcr_el2, HCR_E2H | HCR_RW);
	WRITE_SYSREG(cnthctl_el2, READ_SYSREG(cnthctl_el2) | CNTHCTL_EL1PCT);
	WRITE_SYSREG(cntvoff_el2, EL1_LAG);
	put_text("watching.\n");
	while (command != 'q') {
		look();
		/* Each access to a device takes long. */
		if (ticks() < next)
			continue;
		command = typed();
		if (command == 'g')
			tell();
		next = ticks() + ticks_of_ms(POLL_MS);
	}
	psci(PSCI_SYSTEM_OFF, 0, 0, 0);
}
