/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that never yields: all vCPUs spin, with interrupts masked. */
#include "tests/guests/lib.h"

static volatile bool here[CPUS_MAX];

void guest_secondary(uint64_t index)
{
	here[index] = true;
	for (;;)
		__asm__ volatile("" ::: "memory");
}

void guest_main(uint64_t fdt)
{
	unsigned count = cpu_count();

	(void)fdt;
	for (unsigned i = 1; i < count; i++) {
		cpu_on(i);
		check(wait_until(here[i]), "a vCPU spins");
	}
	put_text("spinning\r\n");
	guest_secondary(0);
}
