/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that says every 10 ms of its time that it is alive, and sleeps in
 * between.  A typed q makes it power off, a typed r reset.
 */
#include "tests/guests/lib.h"

enum { PERIOD_MS = 10, CTL_ENABLE = 1, CTL_MASKED = 2 };
enum { RBR = 0, LSR = 5, LSR_DATA_READY = 1 };
enum { PSCI_SYSTEM_RESET = 0x84000009 };

static void note_interrupt(unsigned cpu, unsigned intid)
{
	(void)cpu;
	(void)intid;
	WRITE_SYSREG(cntv_ctl_el0, CTL_ENABLE | CTL_MASKED);
}

/* Interrupts are masked but around WFI, so that none is missed. */
static void sleep_until(uint64_t due)
{
	while (ticks() < due) {
		WRITE_SYSREG(cntv_cval_el0, due);
		WRITE_SYSREG(cntv_ctl_el0, CTL_ENABLE);
		__asm__ volatile("wfi" ::: "memory");
		unmask_interrupts();
		__asm__ volatile("isb");
		mask_interrupts();
	}
}

static char typed(void)
{
	if (!(read8(SERIAL + LSR) & LSR_DATA_READY))
		return 0;
	return (char)read8(SERIAL + RBR);
}

void guest_main(uint64_t fdt)
{
	uint64_t due;

	(void)fdt;
	on_interrupt = note_interrupt;
	gic_init(0);
	mask_interrupts();
	due = ticks();
	for (uint64_t n = 1;; n++) {
		put_text("tick ");
		put_number(n);
		put_text("\n");
		due += ticks_of_ms(PERIOD_MS);
		sleep_until(due);
		switch (typed()) {
		case 'q':
			return;
		case 'r':
			psci(PSCI_SYSTEM_RESET, 0, 0, 0);
			return;
		default:
			break;
		}
	}
}
