/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interrupt controller in a snapshot: a list of registers, in the order in
 * which a restore must write them.
 *
 * Linux, Documentation/virt/kvm/devices/arm-vgic-v3.rst and arm-vgic.rst.
 * Reading a pending register through this API returns only the latch; the line
 * levels of level-triggered interrupts are separate (LINES).  There is no ITS,
 * so there are no tables in guest memory to be saved.
 */
#include <errno.h>
#include <linux/kvm.h>

#include "arch/aarch64/internal.h"
#include "arch/arch.h"
#include "core/base/err.h"
#include "core/kvm/kvm.h"
#include "snapshot/codec.h"

enum { SPIS = GIC_IRQS - 32 };

enum gic_reg_flags {
	/* Not on every host; saved as 0 if it is absent. */
	OPTIONAL = 1,
	/*
	 * In a new VM all of them are equal, and nothing but the guest and a
	 * restore changes them: those that are saved with that value are not
	 * written.
	 */
	UNIFORM = 2,
	/*
	 * Writing sets bits, and in a new VM those of the SGIs are set; the
	 * register CLEARS bytes further on clears bits.
	 */
	SETS = 4,
};

enum { CLEARS = 0x80, SGIS = 0xffff };

/* @count registers of @size bytes each, from @offset. */
struct gic_reg {
	uint32_t group, offset;
	uint16_t count;
	uint8_t size;
	bool per_vcpu;
	uint8_t flags; /* enum gic_reg_flags */
};

#define DIST(offset, count) \
	{KVM_DEV_ARM_VGIC_GRP_DIST_REGS, offset, count, 4, false, 0}
#define BANKED(offset, count) \
	{KVM_DEV_ARM_VGIC_GRP_DIST_REGS, offset, count, 4, true, 0}
#define REDIST(offset, count) \
	{KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, offset, count, 4, true, 0}
#define PRIVATE(offset, count) REDIST(0x10000 + (offset), count)
#define GICC(offset, count) \
	{KVM_DEV_ARM_VGIC_GRP_CPU_REGS, offset, count, 4, true, 0}
/* The attribute of the system register s3_<op1>_c<crn>_c<crm>_<op2>. */
#define SYSREG(op1, crn, crm, op2) \
	(3 << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 | (op2))
#define CPU_SYSREG(attr, count, optional)                        \
	{KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, attr, count, 8, true, \
	 (optional) ? OPTIONAL : 0}
#define ICC(crn, crm, op2, optional) \
	CPU_SYSREG(SYSREG(0, crn, crm, op2), 1, optional)
#define ICH(crm, op2, optional) CPU_SYSREG(SYSREG(4, 12, crm, op2), 1, optional)
/* The list registers ICH_LR<n>_EL2 with this CRm. */
#define ICH_LRS(crm)                                                        \
	ICH(crm, 0, false), ICH(crm, 1, false), ICH(crm, 2, false),         \
		ICH(crm, 3, false), ICH(crm, 4, false), ICH(crm, 5, false), \
		ICH(crm, 6, false), ICH(crm, 7, false)
#define ICH_VTR SYSREG(4, 12, 11, 1)
/* The line levels of 32 interrupts from @intid. */
#define LINES(intid, per_vcpu) \
	{KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, intid, 1, 4, per_vcpu, 0}

/* Distributor registers with @bits bits per interrupt: those of all SPIs. */
#define SHARED(offset, bits) \
	DIST((offset) + 32 * (bits) / 8, SPIS * (bits) / 32)
#define EQUAL(offset, bits)              \
	{KVM_DEV_ARM_VGIC_GRP_DIST_REGS, \
	 (offset) + 32 * (bits) / 8,     \
	 SPIS * (bits) / 32,             \
	 4,                              \
	 false,                          \
	 UNIFORM}

static const struct gic_reg v3[] = {
	DIST(0x008, 1),    /* GICD_IIDR: the revision of KVM's GIC */
	DIST(0x000, 1),    /* GICD_CTLR */
	REDIST(0x0014, 1), /* GICR_WAKER */
	/* GICR_PROPBASER; KVM makes another value of a 0 that is written */
	{KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, 0x0070, 2, 4, true, UNIFORM},
	REDIST(0x0078, 2), /* GICR_PENDBASER */
	REDIST(0x0000, 1), /* GICR_CTLR: locks the two above */
	PRIVATE(0x080, 1), /* GICR_IGROUPR0 */
	/* GICR_ISENABLER0 */
	{KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, 0x10100, 1, 4, true, SETS},
	PRIVATE(0xc04, 1), /* GICR_ICFGR1: before lines and pending bits */
	LINES(0, true),
	PRIVATE(0x200, 1), /* GICR_ISPENDR0 */
	PRIVATE(0x300, 1), /* GICR_ISACTIVER0 */
	PRIVATE(0x400, 8), /* GICR_IPRIORITYR */
	SHARED(0x080, 1),  /* GICD_IGROUPR */
	SHARED(0x100, 1),  /* GICD_ISENABLER */
	EQUAL(0x6000, 64), /* GICD_IROUTER: before pending bits */
	EQUAL(0xc00, 2),   /* GICD_ICFGR */
	LINES(32, false),
	LINES(64, false),
	LINES(96, false),
	SHARED(0x200, 1),      /* GICD_ISPENDR */
	SHARED(0x300, 1),      /* GICD_ISACTIVER */
	EQUAL(0x400, 8),       /* GICD_IPRIORITYR */
	ICC(12, 12, 5, false), /* ICC_SRE_EL1 */
	ICC(12, 12, 4, false), /* ICC_CTLR_EL1 */
	ICC(12, 12, 6, false), /* ICC_IGRPEN0_EL1 */
	ICC(12, 12, 7, false), /* ICC_IGRPEN1_EL1 */
	ICC(4, 6, 0, false),   /* ICC_PMR_EL1 */
	ICC(12, 8, 3, false),  /* ICC_BPR0_EL1 */
	ICC(12, 12, 3, false), /* ICC_BPR1_EL1 */
	ICC(12, 8, 4, true),   /* ICC_AP0R<n>_EL1: their number depends */
	ICC(12, 8, 5, true),   /* on the number of priority bits */
	ICC(12, 8, 6, true),
	ICC(12, 8, 7, true),
	ICC(12, 9, 0, true), /* ICC_AP1R<n>_EL1 */
	ICC(12, 9, 1, true),
	ICC(12, 9, 2, true),
	ICC(12, 9, 3, true),
};

/*
 * What a guest with EL2 gives its own guests, which KVM keeps apart from what
 * the guest itself is given.  KVM takes ICH_VTR_EL2 only if it is the host's:
 * the number of list registers and of priorities are the same there.
 */
static const struct gic_reg el2[] = {
	CPU_SYSREG(ICH_VTR, 1, false),
	ICH(11, 7, false), /* ICH_VMCR_EL2 */
	ICH(8, 0, true),   /* ICH_AP0R<n>_EL2 */
	ICH(8, 1, true),
	ICH(8, 2, true),
	ICH(8, 3, true),
	ICH(9, 0, true), /* ICH_AP1R<n>_EL2 */
	ICH(9, 1, true),
	ICH(9, 2, true),
	ICH(9, 3, true),
	ICH_LRS(12),
	ICH_LRS(13),
	ICH(11, 0, false), /* ICH_HCR_EL2: switches on what the others say */
};

static const struct gic_reg v2[] = {
	DIST(0x008, 1),   /* GICD_IIDR */
	DIST(0x000, 1),   /* GICD_CTLR */
	BANKED(0x080, 1), /* GICD_IGROUPR0 */
	/* GICD_ISENABLER0 */
	{KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0x100, 1, 4, true, SETS},
	BANKED(0xc04, 1), /* GICD_ICFGR1 */
	BANKED(0x200, 1), /* GICD_ISPENDR0 */
	BANKED(0x300, 1), /* GICD_ISACTIVER0 */
	BANKED(0x400, 8), /* GICD_IPRIORITYR */
	BANKED(0xf20, 4), /* GICD_SPENDSGIR */
	SHARED(0x080, 1), /* GICD_IGROUPR */
	SHARED(0x100, 1), /* GICD_ISENABLER */
	EQUAL(0x800, 8),  /* GICD_ITARGETSR: before pending bits */
	EQUAL(0xc00, 2),  /* GICD_ICFGR */
	SHARED(0x200, 1), /* GICD_ISPENDR */
	SHARED(0x300, 1), /* GICD_ISACTIVER */
	EQUAL(0x400, 8),  /* GICD_IPRIORITYR */
	GICC(0x00, 1),    /* GICC_CTLR */
	GICC(0x04, 1),    /* GICC_PMR */
	GICC(0x08, 1),    /* GICC_BPR */
	GICC(0x1c, 1),    /* GICC_ABPR */
	GICC(0xd0, 4),    /* GICC_APR */
};

/* The bits of an attribute that select the vCPU. */
static int address_of(const struct arch_vm *a, unsigned vcpu, uint64_t *address,
		      struct err *e)
{
	uint64_t mpidr;
	int r;

	if (a->gic_version == 2) {
		*address = (uint64_t)vcpu << 32;
		return 0;
	}
	r = kvm_vcpu_get_reg(a->vcpu[vcpu], ARM64_SYS_REG(3, 0, 0, 0, 5),
			     &mpidr);
	if (r) {
		errno = -r;
		return err_errno(e, "cannot read MPIDR_EL1 of vCPU %u", vcpu);
	}
	/* MPIDR_EL1 has Aff3 in bits 32 to 39, apart from Aff0 to Aff2. */
	*address = (mpidr & 0xffffff) << 32 | (mpidr >> 32 & 0xff) << 56;
	return 0;
}

static int write_reg(struct arch_vm *a, const struct gic_reg *reg,
		     uint64_t attr, uint64_t value)
{
	uint64_t cleared = ~value & SGIS;
	int r = 0;

	if (reg->flags & SETS && cleared)
		r = kvm_set_attr(a->gic_fd, reg->group, attr + CLEARS,
				 &cleared);
	/* Do not write an optional register that is 0: it may be absent. */
	return r || (!value && reg->flags & OPTIONAL)
		       ? r
		       : kvm_set_attr(a->gic_fd, reg->group, attr, &value);
}

/* @fresh: what the register has in a new VM; NULL: not known. */
static int value_state(struct arch_vm *a, const struct gic_reg *reg,
		       uint64_t attr, const uint64_t *fresh, struct snap *s)
{
	uint64_t value = 0;
	uint32_t half;
	int r = 0;

	if (!snap_loading(s))
		r = kvm_get_attr(a->gic_fd, reg->group, attr, &value);
	if (reg->size == 8) {
		snap_u64(s, &value);
	} else {
		half = (uint32_t)value;
		snap_u32(s, &half);
		value = half;
	}
	if (fresh && value == *fresh)
		return 0;
	if (snap_loading(s) && !snap_failed(s))
		return write_reg(a, reg, attr, value);
	/* KVM reports an absent register by one of these two errors. */
	return reg->flags & OPTIONAL && (r == -EINVAL || r == -ENXIO) ? 0 : r;
}

/* @address: the bits of an attribute that select the vCPU. */
static int reg_state(struct arch_vm *a, const struct gic_reg *reg,
		     unsigned vcpu, uint64_t address, struct snap *s,
		     struct err *e)
{
	uint64_t first = 0;
	bool known = reg->flags & UNIFORM && snap_loading(s) &&
		     !kvm_get_attr(a->gic_fd, reg->group, address | reg->offset,
				   &first);

	for (unsigned i = 0; i < reg->count; i++) {
		uint32_t offset = reg->offset + i * reg->size;
		int r = value_state(a, reg, address | offset,
				    known ? &first : NULL, s);

		if (r) {
			errno = -r;
			return err_errno(e,
					 "cannot %s register 0x%x of the GIC "
					 "(group %u, vCPU %u)",
					 snap_loading(s) ? "set" : "read",
					 offset, reg->group, vcpu);
		}
	}
	return 0;
}

static int table_state(struct arch_vm *a, const struct gic_reg *table,
		       unsigned rows, struct snap *s, struct err *e)
{
	uint64_t address[ARCH_VCPUS_MAX] = {0};

	for (unsigned v = 0; v < a->vcpu_count; v++) {
		if (address_of(a, v, &address[v], e))
			return -1;
	}
	for (unsigned i = 0; i < rows; i++) {
		unsigned times = table[i].per_vcpu ? a->vcpu_count : 1;

		for (unsigned v = 0; v < times; v++) {
			if (reg_state(a, &table[i], v, address[v], s, e))
				return -1;
		}
	}
	return 0;
}

int arch_irqchip_state(struct arch_vm *a, struct snap *s, struct err *e)
{
	const struct gic_reg *table = a->gic_version == 3 ? v3 : v2;
	unsigned rows = a->gic_version == 3 ? ARRAY_SIZE(v3) : ARRAY_SIZE(v2);

	snap_begin(s, SNAP_TAG('g', 'i', 'c', ' '));
	if (table_state(a, table, rows, s, e))
		return -1;
	snap_end(s);
	return 0;
}

int arch_hypervisor_state(struct arch_vm *a, struct snap *s, struct err *e)
{
	if (!a->has[ARCH_NESTED])
		return 0;
	snap_begin(s, SNAP_TAG('e', 'l', '2', ' '));
	if (table_state(a, el2, ARRAY_SIZE(el2), s, e))
		return snap_loading(s)
			       ? err_prefix(e, "the snapshot's guest is a "
					       "hypervisor, and needs a host "
					       "like its own")
			       : -1;
	snap_end(s);
	return 0;
}

int gic_check_el2(const struct arch_vm *a, struct err *e)
{
	uint64_t address = 0, vtr;
	int r;

	if (address_of(a, 0, &address, e))
		return -1;
	r = kvm_get_attr(a->gic_fd, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS,
			 address | ICH_VTR, &vtr);
	if (!r)
		return 0;
	return err_set(e, "the guest is a hypervisor (`nested`), and this "
			  "host's KVM does not tell what its interrupt "
			  "controller gives the guest's guests (Linux 6.17 "
			  "does); pause it instead, or take the snapshot on a "
			  "newer Linux");
}
