/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual timer: its interrupt comes once, not early, and wakes WFI. */
#include "tests/guests/lib.h"

enum { ROUNDS = 5, DELAY_MS = 10, CTL_ENABLE = 1, CTL_MASKED = 2 };

static volatile unsigned fired, last_intid;
static volatile uint64_t fired_at;

static void note_interrupt(unsigned cpu, unsigned intid)
{
	(void)cpu;
	fired_at = ticks();
	last_intid = intid;
	fired++;
	WRITE_SYSREG(cntv_ctl_el0, CTL_ENABLE | CTL_MASKED);
}

static void round_trip(unsigned n)
{
	uint64_t due = ticks() + ticks_of_ms(DELAY_MS);

	WRITE_SYSREG(cntv_cval_el0, due);
	WRITE_SYSREG(cntv_ctl_el0, CTL_ENABLE);
	mask_interrupts();
	/* Masked: what comes in between still ends the WFI. */
	while (fired < n) {
		__asm__ volatile("wfi" ::: "memory");
		unmask_interrupts();
		__asm__ volatile("isb");
		mask_interrupts();
	}
	unmask_interrupts();
	check_equal(last_intid, INTID_TIMER, "it is the virtual timer's");
	check(fired_at >= due, "it is not early");
	/* Wide, because the host may be slow or busy. */
	check(fired_at < due + ticks_of_ms(5000), "it is not late");
	due = ticks() + ticks_of_ms(DELAY_MS);
	while (ticks() < due)
		continue;
	check_equal(fired, n, "it comes once");
}

/* Is the physical counter the virtual one, or does it show the host's? */
static void say_which_physical_counter(void)
{
	uint64_t before = ticks(), physical = READ_SYSREG(cntpct_el0);
	uint64_t after;

	__asm__ volatile("isb");
	after = ticks();
	put_text(before <= physical && physical <= after
			 ? "physical counter: the guest's.\n"
			 : "physical counter: the host's.\n");
}

void guest_main(uint64_t fdt)
{
	uint64_t before = ticks(), hz = READ_SYSREG(cntfrq_el0);

	(void)fdt;
	say_which_physical_counter();
	/* Wide, because the host may be slow; it has been up for longer. */
	check(before < hz * 2, "the counter started near zero");
	check(hz >= 1000000 && hz <= 10000000000, "CNTFRQ_EL0 is plausible");
	check(ticks() > before, "the counter counts");
	on_interrupt = note_interrupt;
	gic_init(0);
	for (unsigned n = 1; n <= ROUNDS; n++)
		round_trip(n);
}
