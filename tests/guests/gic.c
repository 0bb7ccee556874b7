/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GICv3 or GICv2, whichever this VM has: Arm IHI 0069 and IHI 0048.  The map is
 * the VMM's: all ends at 1 GiB.
 */
#include "tests/guests/lib.h"

#define GICD_V3    0x3fff0000ull
#define GICR_SIZE  0x20000ull
#define GICR_SGIS  0x10000ull
#define GICD_V2    0x3ffff000ull
#define GICC_V2    0x3fffd000ull
#define SERIAL_BIT (1u << (INTID_SERIAL % 32))
#define PRIVATE_ALL                                             \
	(0xffffu | 1u << INTID_TIMER | 1u << INTID_TIMER_PHYS | \
	 1u << INTID_TIMER_EL2)

enum {
	GICD_CTLR = 0x000,
	GICD_IGROUPR = 0x080,
	GICD_ISENABLER = 0x100,
	GICD_ICENABLER = 0x180,
	GICD_ITARGETSR = 0x800,
	GICD_ICFGR = 0xc00,
	GICD_SGIR = 0xf00,
	GICD_IROUTER = 0x6000,
	GICR_TYPER = 0x008,
	GICC_CTLR = 0x00,
	GICC_PMR = 0x04,
	GICC_IAR = 0x0c,
	GICC_EOIR = 0x10,
	EDGE_SERIAL = 2 << 2 * (INTID_SERIAL % 16),
};

bool gic_is_v3(void)
{
	return READ_SYSREG(id_aa64pfr0_el1) >> 24 & 15;
}

static uint64_t redistributor(unsigned cpu)
{
	static uint64_t first;

	if (!first)
		first = GICD_V3 - cpu_count() * GICR_SIZE;
	return first + cpu * GICR_SIZE;
}

/* Where @cpu, which this is, finds the registers of its SGIs and PPIs. */
static uint64_t own_registers(unsigned cpu)
{
	return gic_is_v3() ? redistributor(cpu) + GICR_SGIS : GICD_V2;
}

uint32_t gic_enabled(unsigned cpu)
{
	return read32(own_registers(cpu) + GICD_ISENABLER);
}

void gic_enable_only(unsigned cpu, uint32_t intids)
{
	write32(own_registers(cpu) + GICD_ICENABLER, ~intids);
	write32(own_registers(cpu) + GICD_ISENABLER, intids);
}

static void init_v3(unsigned cpu)
{
	uint64_t sgis = redistributor(cpu) + GICR_SGIS;

	if (!cpu) {
		write32(GICD_V3 + GICD_CTLR, 1 << 4 | 1 << 1);
		write32(GICD_V3 + GICD_IGROUPR + 4, ~0u);
		write32(GICD_V3 + GICD_ICFGR + 8, EDGE_SERIAL);
		write64(GICD_V3 + GICD_IROUTER + 8 * INTID_SERIAL, 0);
		write32(GICD_V3 + GICD_ISENABLER + 4, SERIAL_BIT);
	}
	write32(sgis + GICD_IGROUPR, ~0u);
	write32(sgis + GICD_ISENABLER, PRIVATE_ALL);
	WRITE_SYSREG(icc_sre_el1, 7);
	WRITE_SYSREG(icc_pmr_el1, 0xff);
	WRITE_SYSREG(icc_igrpen1_el1, 1);
}

static void init_v2(unsigned cpu)
{
	if (!cpu) {
		write32(GICD_V2 + GICD_CTLR, 1);
		write32(GICD_V2 + GICD_ICFGR + 8, EDGE_SERIAL);
		write8(GICD_V2 + GICD_ITARGETSR + INTID_SERIAL, 1);
		write32(GICD_V2 + GICD_ISENABLER + 4, SERIAL_BIT);
	}
	write32(GICD_V2 + GICD_ISENABLER, PRIVATE_ALL);
	write32(GICC_V2 + GICC_PMR, 0xff);
	write32(GICC_V2 + GICC_CTLR, 1);
}

void gic_init(unsigned cpu)
{
	if (gic_is_v3())
		init_v3(cpu);
	else
		init_v2(cpu);
}

/* GICv2 tells who sent it, too; GICC_EOIR wants that back. */
static uint32_t acknowledged[CPUS_MAX];

unsigned gic_acknowledge(void)
{
	unsigned cpu = (unsigned)READ_SYSREG(mpidr_el1) & 15;

	if (gic_is_v3())
		return (unsigned)READ_SYSREG(icc_iar1_el1);
	acknowledged[cpu] = read32(GICC_V2 + GICC_IAR);
	return acknowledged[cpu] & 0x3ff;
}

void gic_finish(unsigned intid)
{
	unsigned cpu = (unsigned)READ_SYSREG(mpidr_el1) & 15;

	if (gic_is_v3())
		WRITE_SYSREG(icc_eoir1_el1, intid);
	else
		write32(GICC_V2 + GICC_EOIR, acknowledged[cpu]);
}

void gic_send(unsigned cpu, unsigned intid)
{
	/* What the receiver is to see must be there first. */
	__asm__ volatile("dsb sy" ::: "memory");
	if (gic_is_v3())
		WRITE_SYSREG(icc_sgi1r_el1, (uint64_t)(cpu / 16) << 16 |
						    intid << 24 |
						    1u << cpu % 16);
	else
		write32(GICD_V2 + GICD_SGIR, 1u << (16 + cpu) | intid);
}
