/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile guest: thousands of random accesses of all kinds to devices, the
 * interrupt controller, holes and the end of RAM, and random hypercalls; the
 * same in every run, from all vCPUs at once.  It must be able to go on, and the
 * VMM with it.
 *
 * It wants 32 MiB of RAM, the end of which it knows.
 */
#include "tests/guests/lib.h"

#define GIC_V2   0x3fffd000ull /* its CPU interface, then the distributor */
#define GICC_END 0x3ffff000ull
#define RAM_BASE 0x80000000ull
#define RAM_END  0x82000000ull

enum { ACCESSES = 16000, LCR = 3, MCR = 4, IER = 1, FCR = 2, LSR = 5 };

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static const struct {
	uint64_t base, size;
} targets[] = {
	{BOOT_TIMER, WINDOW},
	{RTC, WINDOW},
	{SERIAL, WINDOW},
	{SERIAL, 8},
	{0x3fff0000, 0x10000}, /* GICv3: distributor */
	{0x3ffd0000, 0x20000}, /* its first redistributor */
	{GIC_V2, 0x3000},      /* GICv2 */
	{0x0, 0x10000},        /* holes */
	{0x40003000, 0x10000},
	{0x50000000, 0x10000000},
	{RAM_BASE - 0x1000, 0x1000},
	{RAM_BASE, 0x200000 - 0x40}, /* what the VMM and KVM share with us */
	{RAM_END - 0x40, 0x80},      /* across the end of RAM */
	{RAM_END, 0x10000000},
	{1ull << 32, 1ull << 36}, /* beyond the address space */
	{1ull << 47, 1ull << 47},
};

enum { TARGETS = sizeof(targets) / sizeof(targets[0]) };

/* Loads and stores in forms that KVM may be unable to decode. */
#define ACCESS(instruction)                                     \
	__asm__ volatile(".arch armv8.1-a+simd\n\t" instruction \
			 : "+r"(base), "+r"(value)              \
			 :                                      \
			 : "x9", "x10", "w11", "memory")

static void access_plain(unsigned kind, uint64_t base, uint64_t value)
{
	unsigned width = 1u << (kind & 3);

	/* Aligned or not. */
	if (kind & 4)
		base &= ~(uint64_t)(width - 1);
	if (kind & 8)
		write_width(base, width, value);
	else
		read_width(base, width);
}

static void access_by_general_registers(unsigned kind, uint64_t base,
					uint64_t value)
{
	switch (kind) {
	case 0:
		ACCESS("ldp x9, x10, [%0]");
		break;
	case 1:
		ACCESS("stp %1, %1, [%0]");
		break;
	case 2:
		ACCESS("ldp w9, w10, [%0], #8");
		break;
	case 3:
		ACCESS("stp w9, %w1, [%0, #-16]!");
		break;
	case 4:
		ACCESS("ldr x9, [%0], #8");
		break;
	case 5:
		ACCESS("str %1, [%0], #8");
		break;
	case 6:
		ACCESS("ldrb w9, [%0, #1]!");
		break;
	default:
		ACCESS("ldrsw x9, [%0]");
		break;
	}
}

static void access_otherwise(unsigned kind, uint64_t base, uint64_t value)
{
	switch (kind) {
	case 8:
		ACCESS("ldr q0, [%0]");
		break;
	case 9:
		ACCESS("str q0, [%0]");
		break;
	case 10:
		ACCESS("ld1 {v0.16b, v1.16b}, [%0]");
		break;
	case 11:
		ACCESS("st4 {v0.8b, v1.8b, v2.8b, v3.8b}, [%0]");
		break;
	case 12:
		ACCESS("dc zva, %0");
		break;
	case 13:
		ACCESS("dc civac, %0");
		break;
	case 14:
		ACCESS("prfm pldl1keep, [%0]");
		break;
	default:
		ACCESS("ldar w9, [%0]\n\tstlr w9, [%0]");
		break;
	}
}

static void access_odd(unsigned kind, uint64_t base, uint64_t value)
{
	base &= ~15ull;
	if (kind < 8)
		access_by_general_registers(kind, base, value);
	else
		access_otherwise(kind, base, value);
}

static bool has_atomics(void)
{
	return READ_SYSREG(id_aa64isar0_el1) >> 20 & 15;
}

static void access_exclusive(unsigned kind, uint64_t base, uint64_t value)
{
	base &= ~15ull;
	switch (kind & 3) {
	case 0:
		ACCESS("ldxr x9, [%0]\n\tstxr w11, %1, [%0]");
		break;
	case 1:
		ACCESS("ldxp x9, x10, [%0]\n\tstxp w11, %1, %1, [%0]");
		break;
	case 2:
		if (has_atomics())
			ACCESS("ldadd %1, x9, [%0]");
		break;
	default:
		if (has_atomics())
			ACCESS("cas %w1, w9, [%0]");
		break;
	}
}

/* Only where there is no RAM: a page of it might hold instructions. */
static void fetch(uint64_t at)
{
	if (at >= RAM_BASE - 8 && at < RAM_END + 0x1000)
		at = SERIAL;
	__asm__ volatile("blr %0" ::"r"(at) : "x30", "memory");
}

/* All but those that would end the guest, or put a vCPU to sleep. */
static void hypercall(uint64_t random, uint64_t value)
{
	static const uint32_t functions[] = {
		0x80000000, 0x80000001, 0x80003fff, 0x80007fff, 0x8000ff01,
		0x84000000, 0x84000004, 0x84000006, 0x8400000a, 0x8400000e,
		0x84000050, 0x84000053, 0xc4000003, 0xc4000004, 0xc400000d,
		0xc400000e, 0xc4000053, 0xc5000020, 0xc5000021, 0x86000000,
		0x86000001, 0x8600ff01, 0xbf00ff01, 0xc3000000, 0xffffffff,
	};
	unsigned count = sizeof(functions) / sizeof(functions[0]);

	/* No vCPU with that affinity: CPU_ON would start it anywhere. */
	psci(functions[random % count], value | 1ull << 40, random, value);
}

static void scribble(uint64_t *state)
{
	uint64_t random = next_random(state), value = next_random(state);
	unsigned target = (unsigned)(random >> 8) % TARGETS;
	uint64_t at =
		targets[target].base + (random >> 16) % targets[target].size;
	unsigned kind = (unsigned)(random & 15);

	/*
	 * GICv2's CPU interface is the host's hardware.  It is for whole words;
	 * others fault in ways after which KVM does not let the guest go on.
	 */
	if (!gic_is_v3() && at >= GIC_V2 - 64 && at < GICC_END) {
		read32(GIC_V2 + (at & 0xfc));
		return;
	}
	switch (random >> 4 & 7) {
	case 0:
		access_odd(kind, at, value);
		break;
	case 1:
		access_exclusive(kind, at, value);
		break;
	case 2:
		fetch(at & ~(uint64_t)(kind & 3));
		break;
	case 3:
		if (kind < 4) {
			hypercall(random >> 32, value);
			break;
		}
		/* fall through */
	default:
		access_plain(kind, at, value);
		break;
	}
}

static void scribble_much(unsigned cpu)
{
	uint64_t state = 0x9e3779b97f4a7c15 * (cpu + 1);

	for (unsigned i = 0; i < ACCESSES; i++)
		scribble(&state);
}

static volatile bool done[CPUS_MAX];

void guest_secondary(uint64_t index)
{
	scribble_much((unsigned)index);
	done[index] = true;
}

static void calm_serial(void)
{
	write8(SERIAL + LCR, 3);
	write8(SERIAL + MCR, 0);
	write8(SERIAL + IER, 0);
	write8(SERIAL + FCR, 6);
}

static void put_count(const char *what, uint64_t count)
{
	put_text(what);
	put_number(count);
	put_text("\r\n");
}

void guest_main(uint64_t fdt)
{
	unsigned count = cpu_count();
	bool others_done = true;

	(void)fdt;
	check(read8(SERIAL + LSR) & 0x20, "the serial port works");
	for (unsigned i = 1; i < count; i++)
		cpu_on(i);
	scribble_much(0);
	for (unsigned i = 1; i < count; i++)
		others_done &= wait_until(done[i]);
	calm_serial();
	put_text("\r\n");
	put_count("data aborts: ", data_aborts);
	put_count("fetch aborts: ", fetch_aborts);
	put_count("undefined: ", undefined);
	check(others_done, "every vCPU came to the end");
	check(data_aborts > 0, "what cannot be emulated aborts");
	check(fetch_aborts > 0, "nothing can be executed from devices");
	check_equal(undefined, 0, "no instruction was refused");
}
