/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hypervisor on all of its vCPUs.  Each looks at its counters, gives EL1 a
 * counter of its own with CNTVOFF_EL2 and a virtual interrupt that stays
 * pending, looks at those there, and has a timer of EL2 that ticks.  vCPU 0
 * does what is typed:
 *
 *	g  tell what was seen
 *	q  power off
 *
 * Its registers are EL1's by name: it runs with HCR_EL2.E2H.
 */
#include "tests/guests/lib.h"

enum { RBR = 0, LSR = 5, LSR_DATA_READY = 1, POLL_MS = 1, TICK_MS = 50 };
enum { VIRTUAL_INTID = 42, TIMER_ON = 1 };

#define EL1_LAG (1ull << 40) /* ticks; each further vCPU has one more */

#define HCR_IMO        (1ull << 4)  /* EL1's interrupts are virtual */
#define HCR_RW         (1ull << 31) /* EL1 is AArch64 */
#define HCR_E2H        (1ull << 34)
#define CNTHCTL_EL1PCT (1ull << 10 | 1ull << 11) /* not trapped, with E2H */
#define ICH_HCR_EL2    s3_4_c12_c11_0
#define ICH_VMCR_EL2   s3_4_c12_c11_7
#define ICH_LR0_EL2    s3_4_c12_c12_0
#define ICH_ON         1ull
#define VMCR_ALL       (0xf8ull << 24 | 1ull << 1) /* any priority; group 1 */
#define LR_PENDING     (1ull << 62 | 1ull << 60 | 0x80ull << 48)

#define WRITE_NAMED(name, value) WRITE_SYSREG(name, value)

/* As EL1 sees them, one after the other: virtual, physical, virtual. */
struct seen {
	uint64_t before, physical, after, pending;
};
void look_at_el1(struct seen *seen); /* nested_el1.S */

/* What a vCPU saw since it started; each writes its own. */
static volatile struct watch {
	uint64_t wrong_at_el2, wrong_at_el1, wrong_virtual, lost, looks, gap;
	uint64_t last, irqs, due, lag;
} watches[CPUS_MAX];

static unsigned cpus;

static uint64_t physical(void)
{
	__asm__ volatile("isb" ::: "memory");
	return READ_SYSREG(cntpct_el0);
}

static void look(volatile struct watch *w)
{
	uint64_t before = ticks(), between = physical(), middle = ticks(), now;
	struct seen el1;

	/* At EL2 both are one, whatever it gives EL1. */
	w->wrong_at_el2 += between < before || between > middle;
	mask_interrupts();
	look_at_el1(&el1);
	unmask_interrupts();
	now = ticks();
	if (el1.before) {
		w->wrong_virtual += el1.before + w->lag < middle ||
				    el1.after + w->lag > now ||
				    el1.after < el1.before;
		w->wrong_at_el1 += el1.physical < middle || el1.physical > now;
		w->lost += el1.pending != VIRTUAL_INTID;
		w->looks++;
	}
	if (w->last && before - w->last > w->gap)
		w->gap = before - w->last;
	w->last = before;
}

/* Ticks that were missed are left out, so that it ticks at most so often. */
static void note_interrupt(unsigned cpu, unsigned intid)
{
	volatile struct watch *w = &watches[cpu];

	if (intid != INTID_TIMER_EL2)
		return;
	w->irqs++;
	while (w->due <= ticks())
		w->due += ticks_of_ms(TICK_MS);
	WRITE_SYSREG(cntv_cval_el0, w->due);
}

static void put_value(const char *name, uint64_t value)
{
	put_text(name);
	put_number(value);
}

static void tell(void)
{
	static uint64_t told[CPUS_MAX], ticked[CPUS_MAX];
	struct watch sum = {.looks = ~0ull, .irqs = ~0ull};
	uint64_t most = 0;

	for (unsigned i = 0; i < cpus; i++) {
		struct watch w = watches[i];
		uint64_t looks = w.looks - told[i], irqs = w.irqs - ticked[i];

		told[i] = w.looks;
		ticked[i] = w.irqs;
		sum.looks = looks < sum.looks ? looks : sum.looks;
		sum.irqs = irqs < sum.irqs ? irqs : sum.irqs;
		most = irqs > most ? irqs : most;
		sum.wrong_at_el2 += w.wrong_at_el2;
		sum.wrong_at_el1 += w.wrong_at_el1;
		sum.wrong_virtual += w.wrong_virtual;
		sum.lost += w.lost;
	}
	put_value("saw gap ", watches[0].gap);
	put_value(" now ", ticks());
	put_value(" EL2 ", sum.wrong_at_el2);
	put_value(" virtual ", sum.wrong_virtual);
	put_value(" physical ", sum.wrong_at_el1);
	put_value(" lost ", sum.lost);
	put_value(" looks ", sum.looks);
	put_value(" least ", sum.irqs);
	put_value(" most ", most);
	put_text(".\n");
	watches[0].gap = 0;
	watches[0].last = ticks();
}

static char typed(void)
{
	if (!(read8(SERIAL + LSR) & LSR_DATA_READY))
		return 0;
	return (char)read8(SERIAL + RBR);
}

static void become_hypervisor(unsigned cpu)
{
	volatile struct watch *w = &watches[cpu];

	WRITE_SYSREG(hcr_el2, HCR_E2H | HCR_RW | HCR_IMO);
	WRITE_SYSREG(cnthctl_el2, READ_SYSREG(cnthctl_el2) | CNTHCTL_EL1PCT);
	w->lag = EL1_LAG * (cpu + 1);
	WRITE_SYSREG(cntvoff_el2, w->lag);
	gic_init(cpu);
	WRITE_NAMED(ICH_LR0_EL2, LR_PENDING | VIRTUAL_INTID);
	WRITE_NAMED(ICH_VMCR_EL2, VMCR_ALL);
	WRITE_NAMED(ICH_HCR_EL2, ICH_ON);
	w->due = ticks() + ticks_of_ms(TICK_MS);
	WRITE_SYSREG(cntv_cval_el0, w->due);
	WRITE_SYSREG(cntv_ctl_el0, TIMER_ON);
	unmask_interrupts();
}

void guest_secondary(uint64_t index)
{
	become_hypervisor((unsigned)index);
	for (;;)
		look(&watches[index]);
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
	cpus = cpu_count();
	on_interrupt = note_interrupt;
	become_hypervisor(0);
	for (unsigned i = 1; i < cpus; i++) {
		cpu_on(i);
		wait_until(watches[i].looks);
	}
	put_text("watching.\n");
	while (command != 'q') {
		look(&watches[0]);
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
