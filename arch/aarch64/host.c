/* SPDX-License-Identifier: Apache-2.0 */
/* What this host offers to guests, for `stasis doctor`. */
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "arch/aarch64/internal.h"
#include "arch/arch.h"
#include "core/base/err.h"
#include "core/kvm/kvm.h"

struct arch_check *arch_check_add(struct arch_checks *checks, const char *name,
				  int result, const char *format, ...)
{
	struct arch_check *c = &checks->check[checks->count++];
	va_list args;

	*c = (struct arch_check){.name = name};
	c->result = (typeof(c->result))result;
	va_start(args, format);
	vsnprintf(c->finding, sizeof(c->finding), format, args);
	va_end(args);
	return c;
}

void arch_check_remedy(struct arch_check *check, const char *text)
{
	snprintf(check->remedy, sizeof(check->remedy), "%s", text);
}

static void required_capabilities(struct arch_checks *r, int kvm_fd)
{
	static const struct {
		unsigned cap;
		const char *name;
	} required[] = {
		{KVM_CAP_USER_MEMORY, "USER_MEMORY"},
		{KVM_CAP_ONE_REG, "ONE_REG"},
		{KVM_CAP_ARM_PSCI_0_2, "ARM_PSCI_0_2"},
		{KVM_CAP_DEVICE_CTRL, "DEVICE_CTRL"},
		{KVM_CAP_IRQFD, "IRQFD"},
		{KVM_CAP_IOEVENTFD, "IOEVENTFD"},
		{KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT"},
	};
	char missing[120] = "";
	size_t len = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(required); i++) {
		if (kvm_check(kvm_fd, required[i].cap) <= 0)
			len += (size_t)snprintf(missing + len,
						sizeof(missing) - len, " %s",
						required[i].name);
	}
	if (!len)
		arch_check_add(r, "capabilities", ARCH_CHECK_OK,
			       "all that is needed");
	else
		arch_check_remedy(arch_check_add(r, "capabilities",
						 ARCH_CHECK_FAIL, "missing:%s",
						 missing),
				  "use a newer host kernel (6.1 or later)");
}

static void gic_kind(struct arch_checks *r, struct kvm_vm *vm)
{
	if (!kvm_vm_create_device(vm, KVM_DEV_TYPE_ARM_VGIC_V3, true))
		arch_check_add(r, "interrupt controller", ARCH_CHECK_OK,
			       "GICv3");
	else if (!kvm_vm_create_device(vm, KVM_DEV_TYPE_ARM_VGIC_V2, true))
		arch_check_remedy(
			arch_check_add(r, "interrupt controller",
				       ARCH_CHECK_WARN,
				       "GICv2 only: at most 8 vCPUs"),
			"nothing to do: this is the machine's hardware");
	else
		arch_check_remedy(
			arch_check_add(r, "interrupt controller",
				       ARCH_CHECK_FAIL,
				       "neither GICv3 nor GICv2 for guests"),
			"this machine's interrupt controller cannot be "
			"virtualised; use another machine");
}

/* Does setting a counter offset work, beyond KVM offering it? */
static bool offset_works(struct kvm_vm *vm)
{
	return kvm_check(vm->fd, KVM_CAP_COUNTER_OFFSET) > 0 &&
	       !kvm_vm_set_counter_offset(vm, kvm_counter_read());
}

static void counters_follow(struct arch_checks *r, int kvm_fd,
			    unsigned ipa_bits)
{
	struct err e;

	if (!clock_probe(kvm_fd, ipa_bits, &e))
		arch_check_add(
			r, "guest counters", ARCH_CHECK_OK,
			"follow it on every vCPU, whatever is written to them");
	else
		arch_check_remedy(
			arch_check_add(r, "guest counters", ARCH_CHECK_FAIL,
				       "%.150s", e.text),
			"this kernel would get guest time wrong: use another, "
			"Linux 6.6 or later");
}

static void counter(struct arch_checks *r, struct kvm_vm *vm, unsigned ipa_bits)
{
	uint32_t hz = kvm_counter_hz();

	if (offset_works(vm)) {
		arch_check_add(r, "counter offset", ARCH_CHECK_OK,
			       "KVM_ARM_SET_COUNTER_OFFSET works: guest time "
			       "can be held "
			       "exactly");
		counters_follow(r, vm->kvm_fd, ipa_bits);
	} else {
		arch_check_remedy(
			arch_check_add(
				r, "counter offset", ARCH_CHECK_WARN,
				"KVM_ARM_SET_COUNTER_OFFSET is missing: guests "
				"boot, but their physical counter shows the "
				"host's"),
			"use Linux 6.4 or later, better 6.6");
	}
	if (hz)
		arch_check_add(r, "counter frequency", ARCH_CHECK_OK,
			       "%u Hz (CNTFRQ_EL0); a snapshot can be restored "
			       "only on "
			       "hosts with the same",
			       hz);
	else
		arch_check_remedy(
			arch_check_add(r, "counter frequency", ARCH_CHECK_FAIL,
				       "CNTFRQ_EL0 reads as 0"),
			"the firmware did not set it; update the firmware");
}

static void sizes(struct arch_checks *r, int kvm_fd)
{
	int bits = kvm_check(kvm_fd, KVM_CAP_ARM_VM_IPA_SIZE);
	int vcpus = kvm_check(kvm_fd, KVM_CAP_MAX_VCPUS);

	if (bits <= 0)
		bits = 40;
	arch_check_add(r, "vCPUs", ARCH_CHECK_OK, "up to %u (KVM: %d)",
		       (unsigned)min_u64((uint64_t)vcpus, ARCH_VCPUS_MAX),
		       vcpus);
	arch_check_add(
		r, "guest addresses", ARCH_CHECK_OK,
		"up to %d bits: %llu GiB RAM", bits,
		(unsigned long long)(bits > 39 ? (RAM_LOW_MAX + (1ull << bits) -
						  RAM_HIGH_BASE) >>
							 30
					       : (min_u64(1ull << bits,
							  RAM_BASE +
								  RAM_LOW_MAX) -
						  RAM_BASE) >>
							 30));
}

static void optional_features(struct arch_checks *r, struct kvm_vm *vm)
{
	static const struct {
		const char *name;
		unsigned cap;
		const char *with, *without;
	} optional[] = {
		{"SVE", KVM_CAP_ARM_SVE,
		 "given to guests; --cpu sve=off takes it away",
		 "not offered by this host"},
		{"pointer authentication", KVM_CAP_ARM_PTRAUTH_ADDRESS,
		 "given to guests; --cpu pauth=off takes it away",
		 "not offered by this host"},
		{"PMU", KVM_CAP_ARM_PMU_V3,
		 "given to guests on request: --cpu pmu=on",
		 "not offered by this host"},
		{"nested virtualisation", KVM_CAP_ARM_EL2,
		 "given to guests on request: --cpu nested=on",
		 "not offered by this host"},
		{"steal time", KVM_CAP_STEAL_TIME, "reported to guests",
		 "not reported: this kernel has no paravirtual time"},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(optional); i++)
		arch_check_add(r, optional[i].name, ARCH_CHECK_OK, "%s",
			       kvm_check(vm->fd, optional[i].cap) > 0
				       ? optional[i].with
				       : optional[i].without);
}

static void stray_accesses(struct arch_checks *r, struct kvm_vm *vm)
{
	if (kvm_check(vm->fd, KVM_CAP_ARM_NISV_TO_USER) > 0)
		arch_check_add(r, "stray device accesses", ARCH_CHECK_OK,
			       "answered with an abort to the guest");
	else
		arch_check_remedy(
			arch_check_add(
				r, "stray device accesses", ARCH_CHECK_WARN,
				"some of them end the VM that makes them"),
			"use Linux 5.5 or later");
}

void arch_examine_host(int kvm_fd, struct arch_checks *checks)
{
	int limit = kvm_check(kvm_fd, KVM_CAP_ARM_VM_IPA_SIZE);
	/* Some hosts have fewer than the default of 40 bits. */
	unsigned bits = (unsigned)min_u64(limit > 0 ? (unsigned)limit : 0, 40);
	struct kvm_vm vm;
	struct err e;

	required_capabilities(checks, kvm_fd);
	sizes(checks, kvm_fd);
	if (kvm_vm_create(&vm, kvm_fd, bits, &e)) {
		arch_check_remedy(
			arch_check_add(checks, "VM", ARCH_CHECK_FAIL, "%.140s",
				       e.text),
			"look at the kernel's log (dmesg) for lines of kvm");
		return;
	}
	gic_kind(checks, &vm);
	counter(checks, &vm, bits);
	optional_features(checks, &vm);
	stray_accesses(checks, &vm);
	kvm_vm_destroy(&vm);
}
