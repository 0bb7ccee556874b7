/* SPDX-License-Identifier: Apache-2.0 */
/* vCPUs: their features, and their registers at boot and when they wake up. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>

#include "arch/aarch64/internal.h"
#include "arch/arch.h"
#include "arch/suspend.h"
#include "core/base/err.h"
#include "core/io/log.h"
#include "core/kvm/kvm.h"
#include "core/machine/mem.h"

#define CORE_REG(name)                                         \
	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | \
	 KVM_REG_ARM_CORE_REG(name))

/*
 * Arm ARM C5.2.22 SPSR_EL1: D, A, I and F masked.  arch_vcpu_boot() adds the
 * mode, EL1h or EL2h.
 */
#define PSTATE_BOOT (PSR_D_BIT | PSR_A_BIT | PSR_I_BIT | PSR_F_BIT)

/* ---------------------------------------------------------------- features */

static const struct {
	uint32_t bits; /* of struct kvm_vcpu_init, word 0 */
	unsigned caps[2];
	bool by_default;
} features[ARCH_FEATURE_COUNT] = {
	[ARCH_SVE] =
		{
			.bits = 1u << KVM_ARM_VCPU_SVE,
			.caps = {KVM_CAP_ARM_SVE, KVM_CAP_ARM_SVE},
			.by_default = true,
		},
	/* KVM requires both kinds of authentication or none. */
	[ARCH_PAUTH] =
		{
			.bits = 1u << KVM_ARM_VCPU_PTRAUTH_ADDRESS |
				1u << KVM_ARM_VCPU_PTRAUTH_GENERIC,
			.caps = {KVM_CAP_ARM_PTRAUTH_ADDRESS,
				 KVM_CAP_ARM_PTRAUTH_GENERIC},
			.by_default = true,
		},
	[ARCH_PMU] =
		{
			.bits = 1u << KVM_ARM_VCPU_PMU_V3,
			.caps = {KVM_CAP_ARM_PMU_V3, KVM_CAP_ARM_PMU_V3},
			.by_default = false,
		},
	[ARCH_NESTED] =
		{
			.bits = 1u << KVM_ARM_VCPU_HAS_EL2,
			.caps = {KVM_CAP_ARM_EL2, KVM_CAP_ARM_EL2},
			.by_default = false,
		},
};

bool arch_feature_of_bit(unsigned bit, enum arch_feature *feature)
{
	for (unsigned f = 0; f < ARCH_FEATURE_COUNT; f++) {
		if (bit < 32 && features[f].bits & 1u << bit) {
			*feature = (enum arch_feature)f;
			return true;
		}
	}
	return false;
}

/* A restored VM has the features that it was saved with. */
static enum arch_toggle wanted(const struct arch_vm *a, enum arch_feature f)
{
	if (!a->saved)
		return a->want[f];
	return a->saved->features & features[f].bits ? ARCH_ON : ARCH_OFF;
}

static int choose_feature(struct arch_vm *a, struct kvm_vm *vm,
			  enum arch_feature f, struct err *e)
{
	bool offered, want = features[f].by_default;

	if (wanted(a, f) != ARCH_AUTO)
		want = wanted(a, f) == ARCH_ON;
	if (!want)
		return 0;
	offered = kvm_check(vm->fd, features[f].caps[0]) > 0 &&
		  kvm_check(vm->fd, features[f].caps[1]) > 0;
	if (!offered && a->saved)
		return err_set(e,
			       "the snapshot's guest has %s, which this host's "
			       "CPU and KVM do not offer; restore it on a host "
			       "like its own",
			       arch_feature_name[f]);
	if (!offered && wanted(a, f) == ARCH_ON)
		return err_set(e,
			       "this host's CPU and KVM do not offer %s to "
			       "guests; leave it out (%s=off)",
			       arch_feature_name[f], arch_feature_name[f]);
	if (offered) {
		a->has[f] = true;
		a->features |= features[f].bits;
	}
	return 0;
}

/*
 * Have KVM report device accesses that it cannot decode (pairs, write-back
 * addressing) as exits instead of letting KVM_RUN fail, so that a guest cannot
 * end its VM with one.
 */
static void accept_undecoded_accesses(struct kvm_vm *vm)
{
	if (kvm_check(vm->fd, KVM_CAP_ARM_INJECT_EXT_DABT) <= 0 ||
	    kvm_vm_enable(vm, KVM_CAP_ARM_NISV_TO_USER))
		log_debug("KVM cannot hand us accesses it does not decode");
}

/* Check that this host provides what the saved VM had beyond features. */
static int check_saved(struct arch_vm *a, struct err *e)
{
	const struct arch_saved *saved = a->saved;

	if (saved->target != a->target || saved->features != a->features)
		return err_set(e,
			       "the snapshot's vCPUs are of kind %u with "
			       "features 0x%x, this host's of kind %u with "
			       "0x%x; restore it on a host like its own",
			       saved->target, saved->features, a->target,
			       a->features);
	if (saved->pvtime && !a->pvtime)
		return err_set(e, "the snapshot's guest is told of stolen "
				  "time, which this host's KVM cannot; "
				  "restore it on a newer Linux");
	a->pvtime = saved->pvtime;
	return 0;
}

int arch_vm_init(struct arch_vm *a, struct kvm_vm *vm, struct err *e)
{
	struct kvm_vcpu_init init;
	int r = kvm_vm_preferred_target(vm, &init);

	a->gic_fd = -1;
	if (r) {
		errno = -r;
		return err_errno(e, "KVM cannot run guests on this CPU");
	}
	a->target = init.target;
	a->features = 1u << KVM_ARM_VCPU_PSCI_0_2;
	for (unsigned f = 0; f < ARCH_FEATURE_COUNT; f++) {
		if (choose_feature(a, vm, f, e))
			return -1;
	}
	a->pvtime = kvm_check(vm->fd, KVM_CAP_STEAL_TIME) > 0;
	accept_undecoded_accesses(vm);
	/* Where KVM cannot, or the guest has EL2, it is told that there is no
	 * such call. */
	if (!a->has[ARCH_NESTED])
		(void)kvm_vm_enable(vm, KVM_CAP_ARM_SYSTEM_SUSPEND);
	return a->saved ? check_saved(a, e) : 0;
}

/* ------------------------------------------------------------------- vCPUs */

static int enable_pvtime(struct kvm_vcpu *vcpu, struct err *e)
{
	uint64_t gpa = PVTIME_GPA + vcpu->index * PVTIME_SIZE;
	int r = kvm_set_attr(vcpu->fd, KVM_ARM_VCPU_PVTIME_CTRL,
			     KVM_ARM_VCPU_PVTIME_IPA, &gpa);

	if (!r)
		return 0;
	errno = -r;
	return err_errno(e, "cannot give vCPU %u its steal-time record",
			 vcpu->index);
}

unsigned arch_reg_bits(uint64_t id)
{
	if ((id & KVM_REG_ARCH_MASK) != KVM_REG_ARM64)
		return 0;
	switch (id & KVM_REG_SIZE_MASK) {
	case KVM_REG_SIZE_U32:
		return 32;
	case KVM_REG_SIZE_U64:
		return 64;
	case KVM_REG_SIZE_U128:
		return 128;
	default:
		return 0;
	}
}

static int modify_reg(struct kvm_vcpu *vcpu, const struct arch_reg_modifier *m,
		      struct err *e)
{
	/* Little-endian, so this also works for 32- and 64-bit registers. */
	uint64_t value[2] = {0};
	int r = kvm_vcpu_get_reg(vcpu, m->id, value);

	for (unsigned i = 0; i < 2; i++)
		value[i] = (value[i] & ~m->mask[i]) | m->value[i];
	if (!r)
		r = kvm_vcpu_set_reg(vcpu, m->id, value);
	if (!r)
		return 0;
	errno = -r;
	return err_errno(e, "KVM does not let register 0x%llx be modified so",
			 (unsigned long long)m->id);
}

int arch_vcpu_init(struct arch_vm *a, struct kvm_vcpu *vcpu, struct err *e)
{
	struct kvm_vcpu_init init = {
		.target = a->target,
		.features[0] = a->features,
	};
	int r;

	a->vcpu[vcpu->index] = vcpu;
	/* All but vCPU 0 wait for PSCI CPU_ON. */
	if (vcpu->index)
		init.features[0] |= 1u << KVM_ARM_VCPU_POWER_OFF;
	r = kvm_vcpu_init(vcpu, &init);
	/* SVE's vector lengths cannot be changed after it is finalized. */
	if (!r && a->has[ARCH_SVE] && a->saved)
		r = kvm_vcpu_set_reg(vcpu, KVM_REG_ARM64_SVE_VLS,
				     a->saved->vector_lengths);
	if (!r && a->has[ARCH_SVE])
		r = kvm_vcpu_finalize(vcpu, KVM_ARM_VCPU_SVE);
	if (r) {
		errno = -r;
		return err_errno(e, "KVM cannot initialise vCPU %u",
				 vcpu->index);
	}
	for (unsigned i = 0; i < a->modifier_count; i++) {
		if (modify_reg(vcpu, &a->modifier[i], e))
			return -1;
	}
	return a->pvtime ? enable_pvtime(vcpu, e) : 0;
}

int arch_hide_host_time(struct kvm_vcpu *vcpu, struct err *e)
{
	uint64_t offered = 0;
	int r = kvm_vcpu_get_reg(vcpu, KVM_REG_ARM_VENDOR_HYP_BMAP, &offered);

	offered &= ~(1ull << KVM_REG_ARM_VENDOR_HYP_BIT_PTP);
	if (!r)
		r = kvm_vcpu_set_reg(vcpu, KVM_REG_ARM_VENDOR_HYP_BMAP,
				     &offered);
	if (!r)
		return 0;
	errno = -r;
	return err_errno(e, "`realtime`: this host's KVM does not hide its "
			    "clock from guests (Linux 6.0 does); leave it out");
}

static int set_core(struct kvm_vcpu *vcpu, uint64_t id, uint64_t value,
		    struct err *e)
{
	int r = kvm_vcpu_set_reg(vcpu, id, &value);

	if (!r)
		return 0;
	errno = -r;
	return err_errno(e, "cannot set register 0x%llx of vCPU %u",
			 (unsigned long long)id, vcpu->index);
}

int arch_vcpu_boot(struct kvm_vcpu *vcpu, gpa_t entry, uint64_t fdt,
		   struct err *e)
{
	uint64_t mode = 0;

	/*
	 * Linux, Documentation/arch/arm64/booting.rst, 4.  KVM resets PSTATE to
	 * the highest exception level that the vCPU has.
	 */
	if (kvm_vcpu_get_reg(vcpu, CORE_REG(regs.pstate), &mode))
		return err_set(e, "cannot read a vCPU's PSTATE");
	mode = (mode & PSR_MODE_MASK) == PSR_MODE_EL2h ? PSR_MODE_EL2h
						       : PSR_MODE_EL1h;
	if (set_core(vcpu, CORE_REG(regs.pstate), PSTATE_BOOT | mode, e) ||
	    set_core(vcpu, CORE_REG(regs.pc), entry, e) ||
	    set_core(vcpu, CORE_REG(regs.regs[0]), fdt, e))
		return -1;
	return 0;
}

/* ----------------------------------------------------------------- suspend */

/*
 * PSCI SYSTEM_SUSPEND (Arm DEN 0022, 5.19).  KVM leaves the call to us: it ends
 * KVM_RUN with the call's arguments in the registers, of which x1 is the
 * address at which the guest wakes up, and x2 what it then finds in x0.
 *
 * A vCPU that sleeps is in KVM_MP_STATE_SUSPENDED, which a snapshot has, and
 * never runs in that state.  Its registers are already those of the wake-up.
 */

enum { PSCI_DENIED = -3, PSCI_INVALID_ADDRESS = -9 };

#define SCTLR_EL1 ARM64_SYS_REG(3, 0, 1, 0, 0)
/* As KVM resets it, for CPU_ON, too: no MMU, no caches.  The byte order is the
 * caller's. */
#define SCTLR_RESET 0x00c50078ull
#define SCTLR_EE    (1ull << 25)

static int answer(struct kvm_vcpu *vcpu, int64_t result)
{
	return kvm_vcpu_set_reg(vcpu, CORE_REG(regs.regs[0]), &result);
}

int arch_suspend_deny(struct kvm_vcpu *vcpu)
{
	return answer(vcpu, PSCI_DENIED);
}

static bool is_in(struct kvm_vcpu *vcpu, uint32_t wanted)
{
	uint32_t state;

	return !kvm_vcpu_get_mp_state(vcpu, &state) && state == wanted;
}

static bool is_alone(struct arch_vm *a, const struct kvm_vcpu *vcpu)
{
	for (unsigned i = 0; i < a->vcpu_count; i++) {
		if (i != vcpu->index &&
		    !is_in(a->vcpu[i], KVM_MP_STATE_STOPPED))
			return false;
	}
	return true;
}

int arch_suspend(struct arch_vm *a, struct kvm_vcpu *asks,
		 const struct guest_mem *mem, bool *asleep, struct err *e)
{
	uint64_t entry, context, sctlr;

	if (!is_alone(a, asks))
		return 0;
	if (kvm_vcpu_get_reg(asks, CORE_REG(regs.regs[1]), &entry) ||
	    kvm_vcpu_get_reg(asks, CORE_REG(regs.regs[2]), &context) ||
	    kvm_vcpu_get_reg(asks, SCTLR_EL1, &sctlr))
		return err_set(e, "cannot read where the guest wakes up");
	if (entry % 4 || !guest_mem_at(mem, entry, 4)) {
		(void)answer(asks, PSCI_INVALID_ADDRESS);
		return 0;
	}
	sctlr = (sctlr & SCTLR_EE) | SCTLR_RESET;
	if (kvm_vcpu_set_reg(asks, SCTLR_EL1, &sctlr) ||
	    arch_vcpu_boot(asks, entry, context, e) ||
	    kvm_vcpu_set_mp_state(asks, KVM_MP_STATE_SUSPENDED))
		return err_set(e, "cannot suspend the guest");
	*asleep = true;
	return 0;
}

bool arch_is_asleep(struct arch_vm *a)
{
	for (unsigned i = 0; i < a->vcpu_count; i++) {
		if (is_in(a->vcpu[i], KVM_MP_STATE_SUSPENDED))
			return true;
	}
	return false;
}

void arch_wake(struct arch_vm *a)
{
	for (unsigned i = 0; i < a->vcpu_count; i++) {
		if (is_in(a->vcpu[i], KVM_MP_STATE_SUSPENDED))
			(void)kvm_vcpu_set_mp_state(a->vcpu[i],
						    KVM_MP_STATE_RUNNABLE);
	}
}

/* --------------------------------------------------------------- messages */

void arch_vcpu_describe(struct kvm_vcpu *vcpu, char *text, size_t size)
{
	uint64_t pc = 0, lr = 0, pstate = 0;

	if (kvm_vcpu_get_reg(vcpu, CORE_REG(regs.pc), &pc) ||
	    kvm_vcpu_get_reg(vcpu, CORE_REG(regs.regs[30]), &lr) ||
	    kvm_vcpu_get_reg(vcpu, CORE_REG(regs.pstate), &pstate)) {
		snprintf(text, size, "registers not readable");
		return;
	}
	snprintf(text, size, "pc 0x%llx, lr 0x%llx, pstate 0x%llx",
		 (unsigned long long)pc, (unsigned long long)lr,
		 (unsigned long long)pstate);
}
