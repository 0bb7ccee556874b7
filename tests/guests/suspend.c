/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PSCI SYSTEM_SUSPEND on two vCPUs, asked for rightly and wrongly.  "asleep N"
 * is said before each time the guest sleeps; it does not go on until it is
 * woken.
 */
#include "tests/guests/lib.h"

#define SYSTEM_SUSPEND    0xc400000eull
#define SYSTEM_SUSPEND_32 0x8400000eull

enum { PSCI_FEATURES = 0x8400000a };
enum { DENIED = -3, INVALID_ADDRESS = -9 };
enum { ASKING_MS = 3000, APART_MS = 150 };
enum { SCTLR_M = 1, SCTLR_C = 1 << 2, SCTLR_I = 1 << 12 };

extern char secondary_entry[];

/* What guest_secondary() is for; written while one vCPU is on. */
static volatile enum { SPINS, FIRST, SECOND, MOVES, THIRD } phase;
static volatile uint64_t spun, denied, times;
static volatile bool leave;

static int64_t suspend(uint64_t function, uint64_t context)
{
	return psci(function, (uint64_t)secondary_entry, context, 0);
}

static void wait_ms(uint64_t ms)
{
	uint64_t end = ticks() + ticks_of_ms(ms);

	while (ticks() < end)
		continue;
}

static void await_off(unsigned cpu)
{
	check(wait_until(psci(PSCI_AFFINITY_INFO, cpu_affinity(cpu), 0, 0) ==
			 PSCI_IS_OFF),
	      "the other vCPU is off");
	wait_ms(APART_MS);
}

/* Returns only if it is refused for another reason than that it was asked for
 * just now. */
static void fall_asleep(uint64_t function, uint64_t context)
{
	int64_t result;

	put_text("asleep ");
	put_number(++times);
	put_text("\r\n");
	/* That may have been just now. */
	while ((result = suspend(function, context)) == DENIED)
		continue;
	check_equal((uint64_t)result, 0, "SYSTEM_SUSPEND");
	guest_end();
}

/* As often as it can, while another vCPU runs. */
static void ask_in_vain(void)
{
	uint64_t end = ticks() + ticks_of_ms(ASKING_MS), others = 0, before;

	put_text("asking\r\n");
	while (ticks() < end) {
		if (suspend(SYSTEM_SUSPEND, 7) == DENIED)
			denied++;
		else
			others++;
	}
	put_text("asked ");
	put_number(denied);
	put_text("\r\n");
	check_equal(others, 0, "it is denied while another vCPU is on");
	before = spun;
	check(wait_until(spun != before), "which runs on");
}

static void ask_wrongly(void)
{
	static const uint64_t nowhere[] = {
		0, 0x40002000, 0x80000001, 0x80000000 + (1ull << 36), ~3ull,
	};

	for (unsigned i = 0; i < sizeof(nowhere) / sizeof(*nowhere); i++) {
		wait_ms(APART_MS);
		check_equal((uint64_t)psci(SYSTEM_SUSPEND, nowhere[i], 7, 0),
			    (uint64_t)INVALID_ADDRESS,
			    "one cannot wake up outside of RAM");
	}
}

static void check_reset(void)
{
	check_equal(READ_SYSREG(sctlr_el1) & (SCTLR_M | SCTLR_C | SCTLR_I), 0,
		    "no MMU and no caches after it");
	check_equal(READ_SYSREG(daif), 0x3c0, "interrupts are masked");
	check_equal(READ_SYSREG(currentel), 4, "at EL1");
}

static void spin(void)
{
	while (!leave)
		spun++;
	psci(PSCI_CPU_OFF, 0, 0, 0);
}

void guest_secondary(uint64_t index)
{
	switch (phase) {
	case SPINS:
		spin();
		break;
	case FIRST:
		check_equal(index, 7, "x0 is what the guest gave");
		check_reset();
		phase = SECOND;
		fall_asleep(SYSTEM_SUSPEND_32, 6);
		break;
	case SECOND:
		check_equal(index, 6, "x0 is that of the 32-bit call");
		phase = MOVES;
		check_equal((uint64_t)cpu_on(1), PSCI_SUCCESS, "CPU_ON");
		psci(PSCI_CPU_OFF, 0, 0, 0);
		break;
	case MOVES:
		await_off(0);
		phase = THIRD;
		fall_asleep(SYSTEM_SUSPEND, 5);
		break;
	case THIRD:
		check_equal(index, 5, "x0 is what the other vCPU gave");
		check_equal(READ_SYSREG(mpidr_el1) & 0xffffff, cpu_affinity(1),
			    "it is the vCPU that fell asleep");
		guest_end();
	}
}

void guest_main(uint64_t fdt)
{
	(void)fdt;
	check_equal((uint64_t)psci(PSCI_FEATURES, SYSTEM_SUSPEND, 0, 0), 0,
		    "SYSTEM_SUSPEND is offered");
	check_equal((uint64_t)cpu_on(1), PSCI_SUCCESS, "CPU_ON");
	check(wait_until(spun), "it runs");
	ask_in_vain();
	leave = true;
	await_off(1);
	ask_wrongly();
	wait_ms(APART_MS);
	WRITE_SYSREG(sctlr_el1, READ_SYSREG(sctlr_el1) | SCTLR_C | SCTLR_I);
	unmask_interrupts();
	phase = FIRST;
	fall_asleep(SYSTEM_SUSPEND, 7);
}
