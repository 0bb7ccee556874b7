/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All vCPUs: PSCI turns them on, off and on again, and interrupts from one to
 * another arrive exactly as often as they were sent.
 */
#include "tests/guests/lib.h"

enum { PING = 1, PONG = 2, ROUNDS = 3 };

/* Each written by the vCPU it is about; the last by vCPU 0. */
static volatile uint64_t started[CPUS_MAX];
static volatile uint64_t pings[CPUS_MAX], strange[CPUS_MAX];
static volatile bool leave[CPUS_MAX];
static volatile uint64_t pongs;

static void count_interrupt(unsigned cpu, unsigned intid)
{
	if (intid == PING) {
		pings[cpu]++;
		if (cpu)
			gic_send(0, PONG);
	} else if (intid == PONG && !cpu) {
		pongs++;
	} else {
		strange[cpu]++;
	}
}

void guest_secondary(uint64_t index)
{
	gic_init((unsigned)index);
	unmask_interrupts();
	started[index]++;
	/* Whoever sets `leave` sends an interrupt, too. */
	while (!leave[index])
		__asm__ volatile("wfi" ::: "memory");
	mask_interrupts();
	psci(PSCI_CPU_OFF, 0, 0, 0);
}

static void put_label(const char *text, unsigned cpu)
{
	put_text(text);
	put_number(cpu);
	put_text("\r\n");
}

static bool turn_on(unsigned cpu, uint64_t nth)
{
	leave[cpu] = false;
	return check_equal((uint64_t)cpu_on(cpu), PSCI_SUCCESS, "CPU_ON") &&
	       check(wait_until(started[cpu] == nth), "it runs") &&
	       check_equal((uint64_t)cpu_on(cpu), (uint64_t)PSCI_ALREADY_ON,
			   "CPU_ON of a running vCPU is refused") &&
	       check_equal((uint64_t)psci(PSCI_AFFINITY_INFO, cpu_affinity(cpu),
					  0, 0),
			   PSCI_IS_ON, "AFFINITY_INFO says it is on");
}

/* Leaves by a ping that is not answered with a pong, or is: both are fine. */
static void turn_off(unsigned cpu)
{
	leave[cpu] = true;
	gic_send(cpu, PING);
	check(wait_until(psci(PSCI_AFFINITY_INFO, cpu_affinity(cpu), 0, 0) ==
			 PSCI_IS_OFF),
	      "CPU_OFF, and AFFINITY_INFO says so");
}

static void ping(unsigned cpu)
{
	uint64_t before = pings[cpu], answers = pongs;

	for (unsigned i = 1; i <= ROUNDS; i++) {
		gic_send(cpu, PING);
		if (!wait_until(pings[cpu] == before + i &&
				(!cpu || pongs == answers + i)))
			break;
	}
	check_equal(pings[cpu], before + ROUNDS, "its interrupts arrive");
	if (cpu)
		check_equal(pongs, answers + ROUNDS, "its answers arrive");
	check_equal(strange[cpu], 0, "it gets no others");
}

void guest_main(uint64_t fdt)
{
	unsigned count = cpu_count();

	(void)fdt;
	put_label("cpus: ", count);
	on_interrupt = count_interrupt;
	gic_init(0);
	unmask_interrupts();
	check(psci(PSCI_VERSION, 0, 0, 0) >= 0x10000, "PSCI 1.0 or later");
	check_equal((uint64_t)cpu_on(0), (uint64_t)PSCI_ALREADY_ON,
		    "CPU_ON of itself is refused");
	check_equal((uint64_t)psci(PSCI_CPU_ON, 0xff00, 0, 0),
		    (uint64_t)PSCI_INVALID_PARAMETERS,
		    "CPU_ON of no vCPU is refused");
	put_label("cpu ", 0);
	ping(0);
	for (unsigned i = 1; i < count; i++) {
		put_label("cpu ", i);
		if (!turn_on(i, 1))
			continue;
		ping(i);
		turn_off(i);
		if (turn_on(i, 2))
			ping(i);
	}
}
