/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interrupt controller: GICv3, or GICv2 if the host has only that; and the
 * PMU's interrupt, which can be set up only once the controller exists.
 *
 * Linux, Documentation/virt/kvm/devices/{arm-vgic,arm-vgic-v3,vcpu}.rst.
 * There is no ITS, because no device sends message-signalled interrupts.
 */
#include <errno.h>
#include <linux/kvm.h>

#include "arch/aarch64/internal.h"
#include "arch/arch.h"
#include "core/base/err.h"
#include "core/kvm/kvm.h"

enum { GIC_V2_VCPUS_MAX = 8 };

struct attr {
	unsigned group;
	uint64_t attr;
	const void *value;
};

static int set_attrs(int fd, const struct attr *attrs, unsigned count,
		     const char *what, struct err *e)
{
	for (unsigned i = 0; i < count; i++) {
		int r = kvm_set_attr(fd, attrs[i].group, attrs[i].attr,
				     attrs[i].value);

		if (r) {
			errno = -r;
			return err_errno(e, "cannot set up the %s (step %u)",
					 what, i + 1);
		}
	}
	return 0;
}

static int init_v3(struct arch_vm *a, struct err *e)
{
	uint64_t dist = GIC_V3_DIST_GPA;
	uint64_t redist = gic_v3_redist_gpa(a->vcpu_count);
	uint32_t irqs = GIC_IRQS;
	const struct attr attrs[] = {
		{KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, &dist},
		{KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST,
		 &redist},
		{KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &irqs},
		{KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL},
	};

	return set_attrs(a->gic_fd, attrs, ARRAY_SIZE(attrs), "GICv3", e);
}

static int init_v2(struct arch_vm *a, struct err *e)
{
	uint64_t dist = GIC_V2_DIST_GPA, cpu = GIC_V2_CPU_GPA;
	uint32_t irqs = GIC_IRQS;
	const struct attr attrs[] = {
		{KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V2_ADDR_TYPE_DIST, &dist},
		{KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V2_ADDR_TYPE_CPU, &cpu},
		{KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &irqs},
		{KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL},
	};

	return set_attrs(a->gic_fd, attrs, ARRAY_SIZE(attrs), "GICv2", e);
}

static int init_pmu(struct kvm_vcpu *vcpu, struct err *e)
{
	int irq = 16 + PPI_PMU;
	const struct attr attrs[] = {
		{KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_IRQ, &irq},
		{KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_INIT, NULL},
	};

	return set_attrs(vcpu->fd, attrs, ARRAY_SIZE(attrs), "PMU", e);
}

static int create_failed(struct arch_vm *a, const char *what, struct err *e)
{
	errno = -a->gic_fd;
	a->gic_fd = -1;
	return err_errno(e, "%s", what);
}

static int create(struct arch_vm *a, struct kvm_vm *vm, struct err *e)
{
	a->gic_version = 3;
	a->gic_fd = kvm_vm_create_device(vm, KVM_DEV_TYPE_ARM_VGIC_V3, false);
	if (a->gic_fd >= 0)
		return 0;
	if (a->gic_fd != -ENODEV)
		return create_failed(a, "KVM cannot create a GICv3", e);
	if (a->vcpu_count > GIC_V2_VCPUS_MAX)
		return err_set(e,
			       "this host has no GICv3 for guests, and GICv2 "
			       "serves at most %d vCPUs; use fewer",
			       GIC_V2_VCPUS_MAX);
	a->gic_version = 2;
	a->gic_fd = kvm_vm_create_device(vm, KVM_DEV_TYPE_ARM_VGIC_V2, false);
	if (a->gic_fd >= 0)
		return 0;
	return create_failed(a, "KVM offers neither GICv3 nor GICv2 to guests",
			     e);
}

int arch_irqchip_init(struct arch_vm *a, struct kvm_vm *vm, struct err *e)
{
	if (create(a, vm, e))
		return -1;
	if (a->saved && a->saved->gic_version != a->gic_version)
		return err_set(e,
			       "the snapshot's guest has a GICv%u, and this "
			       "host's KVM gives a GICv%u; restore it on a "
			       "host like its own",
			       a->saved->gic_version, a->gic_version);
	if (a->gic_version != 3 && a->has[ARCH_NESTED])
		return err_set(e, "nested virtualisation needs a GICv3, which "
				  "this host does not give to guests; leave "
				  "nested out");
	if (a->gic_version == 3 ? init_v3(a, e) : init_v2(a, e))
		return -1;
	for (unsigned i = 0; a->has[ARCH_PMU] && i < a->vcpu_count; i++) {
		if (init_pmu(a->vcpu[i], e))
			return -1;
	}
	return 0;
}

void arch_vm_fini(struct arch_vm *a)
{
	util_close(&a->gic_fd);
}
