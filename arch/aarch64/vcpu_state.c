/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vCPUs in a snapshot: every register that KVM lists, whether the vCPU is on,
 * and a pending SError.
 *
 * Linux, Documentation/virt/kvm/api.rst, 4.68 and 4.69.  The order in which a
 * restore writes registers: Linux, Documentation/virt/kvm/arm/
 * fw-pseudo-registers.rst and vcpu-features.rst.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/aarch64/internal.h"
#include "arch/arch.h"
#include "core/base/err.h"
#include "core/base/util.h"
#include "core/kvm/kvm.h"
#include "snapshot/codec.h"
#include "snapshot/schema_table.h"

enum {
	REGS_MAX = 2048,
	REG_BYTES_MAX = 256, /* an SVE vector of 2048 bits */
};

#define ARM_SYS_OP0(id)                            \
	(((id) & KVM_REG_ARM64_SYSREG_OP0_MASK) >> \
	 KVM_REG_ARM64_SYSREG_OP0_SHIFT)
#define ARM_SYS_CRN(id)                            \
	(((id) & KVM_REG_ARM64_SYSREG_CRN_MASK) >> \
	 KVM_REG_ARM64_SYSREG_CRN_SHIFT)

static size_t bytes_of(uint64_t id)
{
	return (size_t)1 << ((id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT);
}

/*
 * Registers of lower rank are written first: firmware features, then ID
 * registers, because the other registers depend on them.
 */
static unsigned rank(uint64_t id)
{
	switch (id & KVM_REG_ARM_COPROC_MASK) {
	case KVM_REG_ARM_FW:
	case KVM_REG_ARM_FW_FEAT_BMAP:
		return 0;
	case KVM_REG_ARM64_SYSREG:
		return ARM_SYS_OP0(id) == 3 && ARM_SYS_CRN(id) == 0 ? 1 : 2;
	default:
		return 2;
	}
}

static int by_rank(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	if (rank(x) != rank(y))
		return rank(x) < rank(y) ? -1 : 1;
	return x < y ? -1 : x > y;
}

/*
 * Is the register handled elsewhere?  The counters belong to struct arch_clock.
 * The vector lengths are written before the vCPU is finalized, after which they
 * cannot be changed.
 */
static bool is_of_the_vm(uint64_t id)
{
	return id == KVM_REG_ARM_TIMER_CNT || id == KVM_REG_ARM_PTIMER_CNT ||
	       id == KVM_REG_ARM64_SVE_VLS;
}

static int reg_failed(const struct kvm_vcpu *vcpu, uint64_t id, int r,
		      const char *what, struct err *e)
{
	errno = -r;
	return err_errno(e, "%s register 0x%llx of vCPU %u", what,
			 (unsigned long long)id, vcpu->index);
}

/* ------------------------------------------------------------------- saving */

static int list_regs(struct kvm_vcpu *vcpu, uint64_t *ids, unsigned *count,
		     struct err *e)
{
	unsigned n, kept = 0;
	int r = kvm_vcpu_reg_list(vcpu, ids, REGS_MAX, &n);

	if (r) {
		errno = -r;
		return err_errno(e, "cannot list the registers of vCPU %u",
				 vcpu->index);
	}
	for (unsigned i = 0; i < n; i++) {
		if (!is_of_the_vm(ids[i]))
			ids[kept++] = ids[i];
	}
	qsort(ids, kept, sizeof(ids[0]), by_rank);
	*count = kept;
	return 0;
}

static int save_regs(struct kvm_vcpu *vcpu, struct snap *s, struct err *e)
{
	AUTO_FREE uint64_t *ids = calloc(REGS_MAX, sizeof(ids[0]));
	unsigned count;

	if (!ids)
		return err_errno(e, "cannot save vCPU %u", vcpu->index);
	if (list_regs(vcpu, ids, &count, e))
		return -1;
	snap_count(s, &count, REGS_MAX);
	for (unsigned i = 0; i < count; i++) {
		uint8_t value[REG_BYTES_MAX];
		size_t len = bytes_of(ids[i]);
		int r = len <= sizeof(value)
				? kvm_vcpu_get_reg(vcpu, ids[i], value)
				: -EMSGSIZE;

		if (r)
			return reg_failed(vcpu, ids[i], r, "cannot read", e);
		snap_u64(s, &ids[i]);
		snap_bytes(s, value, len);
	}
	return 0;
}

/* ------------------------------------------------------------------ loading */

/* DBGBVR<n>_EL1, DBGBCR<n>_EL1, DBGWVR<n>_EL1, DBGWCR<n>_EL1. */
static bool is_of_debug(uint64_t id)
{
	unsigned n = id & 0xffff; /* op0:2 op1:3 CRn:4 CRm:4 op2:3 */

	return (id & KVM_REG_ARM_COPROC_MASK) == KVM_REG_ARM64_SYSREG &&
	       n >> 7 == 2u << 7 && (n & 7) >= 4;
}

/*
 * Does this register hold what a new vCPU has?  KVM resets the general, the
 * vector and the debug registers to zero (kvm_reset_vcpu()), and with 160 of
 * them a restore would spend a seventh of its time.
 */
static bool is_as_new(uint64_t id, const uint8_t *value)
{
	static const uint8_t zeroes[REG_BYTES_MAX];
	unsigned word = id & 0xffff; /* of struct kvm_regs */
	bool general = word < offsetof(struct kvm_regs, regs.sp) / 4;
	bool vector = word >= offsetof(struct kvm_regs, fp_regs.vregs) / 4 &&
		      word < offsetof(struct kvm_regs, fp_regs.fpsr) / 4;

	if ((id & KVM_REG_ARM_COPROC_MASK) == KVM_REG_ARM_CORE)
		return (general || vector) &&
		       !memcmp(value, zeroes, bytes_of(id));
	return ((id & KVM_REG_ARM_COPROC_MASK) == KVM_REG_ARM64_SVE ||
		is_of_debug(id)) &&
	       !memcmp(value, zeroes, bytes_of(id));
}

static int load_regs(struct kvm_vcpu *vcpu, struct snap *s, struct err *e)
{
	unsigned count = 0;

	snap_count(s, &count, REGS_MAX);
	for (unsigned i = 0; i < count && !snap_failed(s); i++) {
		uint8_t value[REG_BYTES_MAX];
		uint64_t id = 0;
		int r;

		snap_u64(s, &id);
		snap_require(s,
			     (id & KVM_REG_ARCH_MASK) == KVM_REG_ARM64 &&
				     bytes_of(id) <= sizeof(value),
			     "register id");
		if (snap_failed(s))
			break;
		snap_bytes(s, value, bytes_of(id));
		if (snap_failed(s) || is_of_the_vm(id) || is_as_new(id, value))
			continue;
		r = kvm_vcpu_set_reg(vcpu, id, value);
		if (r)
			return reg_failed(vcpu, id, r,
					  "this host's KVM does not take the "
					  "saved value of",
					  e);
	}
	return 0;
}

/* --------------------------------------------------------------------- both */

static int mp_and_events(struct kvm_vcpu *vcpu, struct snap *s, struct err *e)
{
	struct kvm_serror serror = {0};
	uint32_t mp = 0;
	int r = 0;

	if (!snap_loading(s)) {
		r = kvm_vcpu_get_mp_state(vcpu, &mp);
		if (!r)
			r = kvm_vcpu_get_serror(vcpu, &serror);
	}
	snap_u32(s, &mp);
	snap_bool(s, &serror.pending);
	snap_bool(s, &serror.has_esr);
	snap_u64(s, &serror.esr);
	if (!r && snap_loading(s) && !snap_failed(s)) {
		if (serror.pending)
			r = kvm_vcpu_set_serror(vcpu, &serror);
		if (!r)
			r = kvm_vcpu_set_mp_state(vcpu, mp);
	}
	if (!r)
		return 0;
	errno = -r;
	return err_errno(e,
			 "cannot %s of vCPU %u whether it is on, and its "
			 "errors",
			 snap_loading(s) ? "tell KVM" : "ask KVM", vcpu->index);
}

int arch_vcpu_state(struct kvm_vcpu *vcpu, struct snap *s, struct err *e)
{
	int r;

	snap_begin(s, SNAP_TAG('v', 'c', 'p', 'u'));
	r = snap_loading(s) ? load_regs(vcpu, s, e) : save_regs(vcpu, s, e);
	/*
	 * Registers first: KVM's documentation requires that for events, and
	 * KVM sets the first register values of a vCPU that is being switched
	 * on only when its registers are accessed.
	 */
	if (!r)
		r = mp_and_events(vcpu, s, e);
	snap_end(s);
	return r;
}

/* --------------------------------------------------------- how it is built */

int arch_saved_get(const struct arch_vm *a, struct arch_saved *saved,
		   struct err *e)
{
	int r;

	if (a->has[ARCH_NESTED] && gic_check_el2(a, e))
		return -1;
	*saved = (struct arch_saved){
		.target = a->target,
		.features = a->features,
		.gic_version = a->gic_version,
		.pvtime = a->pvtime,
	};
	if (!a->has[ARCH_SVE])
		return 0;
	r = kvm_vcpu_get_reg(a->vcpu[0], KVM_REG_ARM64_SVE_VLS,
			     saved->vector_lengths);
	return r ? reg_failed(a->vcpu[0], KVM_REG_ARM64_SVE_VLS, r,
			      "cannot read", e)
		 : 0;
}

void arch_saved_state(struct arch_saved *saved, struct snap *s)
{
	snap_begin(s, SNAP_TAG('a', 'r', 'c', 'h'));
	snap_u32(s, &saved->target);
	snap_u32(s, &saved->features);
	snap_u32(s, &saved->gic_version);
	snap_bool(s, &saved->pvtime);
	for (unsigned i = 0; i < ARRAY_SIZE(saved->vector_lengths); i++)
		snap_u64(s, &saved->vector_lengths[i]);
	snap_end(s);
}

/* ----------------------------------------------------- for `stasis inspect` */

/*
 * The assembler's name for a register id of KVM (Linux, Documentation/virt/kvm/
 * api.rst, 4.68).  The id of a core register is its offset in struct kvm_regs,
 * in 4-byte words.
 */
static void name_register(uint64_t id, char *name, size_t size)
{
	static const char *const core[] = {
		"sp",       "pc",       "pstate",   "sp_el1",   "elr_el1",
		"spsr_el1", "spsr_abt", "spsr_und", "spsr_irq", "spsr_fiq",
	};
	unsigned kind = id >> 16 & 0xfff, n = id & 0xffff;

	if (kind == 0x13)
		snprintf(name, size, "s%u_%u_c%u_c%u_%u", n >> 14, n >> 11 & 7,
			 n >> 7 & 15, n >> 3 & 15, n & 7);
	else if (kind == 0x10 && n < 62)
		snprintf(name, size, "x%u", n / 2);
	else if (kind == 0x10 && n < 62 + 2 * ARRAY_SIZE(core))
		snprintf(name, size, "%s", core[(n - 62) / 2]);
	else if (kind == 0x10 && n >= 84 && n < 212)
		snprintf(name, size, "v%u", (n - 84) / 4);
	else
		snprintf(name, size, "0x%llx", (unsigned long long)id);
}

static const struct schema table[] = {
	{"arch", "architecture",
	 "target:4 features:x4 gic_version:4 pvtime:b vector_lengths:h64"},
	{"vcpu", "vcpu",
	 "registers:r mp_state:4 serror_pending:b serror_has_esr:b "
	 "serror_esr:x8"},
	{"gic ", "gic", "registers:z"},
	{"el2 ", "gic_el2", "registers:z"},
};

const struct schema_arch arch_schema = {
	.table = table,
	.count = ARRAY_SIZE(table),
	.name_register = name_register,
};
