/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Linux promises of guest counters, asked of it directly: that which
 * `stasis doctor` does not try, because nothing of ours does it.  In TAP.
 *
 * Documentation/virt/kvm/api.rst, 4.138; arch/arm64/include/uapi/asm/kvm.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int kvm, failures, count;

static uint64_t counter(void)
{
	uint64_t now;

	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(now)::"memory");
	return now;
}

static void check(bool good, const char *what)
{
	failures += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", ++count, what);
}

static int create_vm(void)
{
	int bits = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE);

	return ioctl(kvm, KVM_CREATE_VM, bits > 0 && bits < 40 ? bits : 0);
}

static int create_vcpu(int vm, long index)
{
	struct kvm_vcpu_init init = {0};
	int vcpu = ioctl(vm, KVM_CREATE_VCPU, index);

	ioctl(vm, KVM_ARM_PREFERRED_TARGET, &init);
	return ioctl(vcpu, KVM_ARM_VCPU_INIT, &init) ? -1 : vcpu;
}

static int get(int vcpu, uint64_t id, uint64_t *value)
{
	struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)value};

	return ioctl(vcpu, KVM_GET_ONE_REG, &reg) ? errno : 0;
}

static int set(int vcpu, uint64_t id, uint64_t value)
{
	struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)&value};

	return ioctl(vcpu, KVM_SET_ONE_REG, &reg) ? errno : 0;
}

static int set_offset(int vm, uint64_t offset, uint64_t reserved)
{
	struct kvm_arm_counter_offset o = {offset, reserved};

	return ioctl(vm, KVM_ARM_SET_COUNTER_OFFSET, &o) ? errno : 0;
}

static bool is_listed(int vcpu, uint64_t id)
{
	struct kvm_reg_list *list = calloc(1, 8 + 8 * 4096ul);
	bool found = false;

	list->n = 4096;
	if (!ioctl(vcpu, KVM_GET_REG_LIST, list)) {
		for (uint64_t i = 0; i < list->n; i++)
			found |= list->reg[i] == id;
	}
	free(list);
	return found;
}

/* As they are, not as their names would have it. */
static void registers(int vcpu, bool has_offset)
{
	const uint64_t base = 0x6030000000130000;
	uint64_t value;

	check(KVM_REG_ARM_TIMER_CNT == (base | 0xdf1a) &&
		      KVM_REG_ARM_TIMER_CVAL == (base | 0xdf02),
	      "the ids of the virtual counter and its compare value are "
	      "swapped");
	check(is_listed(vcpu, base | 0xdf1a) &&
		      is_listed(vcpu, base | 0xdf02) &&
		      is_listed(vcpu, base | 0xdf19),
	      "the virtual timer's registers are listed");
	check(is_listed(vcpu, base | 0xdf01) == has_offset &&
		      is_listed(vcpu, base | 0xdf11) == has_offset &&
		      is_listed(vcpu, base | 0xdf12) == has_offset,
	      "the physical timer's are where there is the offset");
	check(get(vcpu, KVM_REG_ARM_PTIMER_CNT, &value) ==
		      (has_offset ? 0 : ENOENT),
	      "and can be read there only");
	check(!set(vcpu, KVM_REG_ARM_TIMER_CTL, 7) &&
		      !get(vcpu, KVM_REG_ARM_TIMER_CTL, &value) &&
		      (value & 3) == 3,
	      "a timer's control is kept, but for its status");
	set(vcpu, KVM_REG_ARM_TIMER_CTL, 0);
}

/* Without the offset, a value counts until the next vCPU is created. */
static void without_offset(void)
{
	const uint64_t far = 1ull << 40;
	int vm = create_vm(), vcpu = create_vcpu(vm, 0);
	uint64_t value = 0, hz;

	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(hz));
	check(!get(vcpu, KVM_REG_ARM_TIMER_CNT, &value) && value < 10 * hz,
	      "without an offset a guest's counter begins at 0");
	check(!set(vcpu, KVM_REG_ARM_TIMER_CNT, far) &&
		      !get(vcpu, KVM_REG_ARM_TIMER_CNT, &value) &&
		      value - far < 10 * hz,
	      "and goes on from a value that is set");
	create_vcpu(vm, 1);
	check(!get(vcpu, KVM_REG_ARM_TIMER_CNT, &value) && value < 10 * hz,
	      "which the next vCPU resets");
	close(vcpu);
	close(vm);
}

static void with_offset(void)
{
	int vm = create_vm(), vcpu, later;
	uint64_t offset = counter(), value = 0, second = 0;

	check(set_offset(vm, offset, 1) == EINVAL,
	      "what is reserved must be 0");
	check(!set_offset(vm, offset, 0), "an offset is taken before vCPUs");
	vcpu = create_vcpu(vm, 0);
	later = create_vcpu(vm, 1);
	check(!get(vcpu, KVM_REG_ARM_TIMER_CNT, &value) &&
		      !get(later, KVM_REG_ARM_PTIMER_CNT, &second) &&
		      second >= value && second <= counter() - offset,
	      "and no vCPU resets it");
	check(!set(vcpu, KVM_REG_ARM_TIMER_CNT, 1ull << 50) &&
		      !set(vcpu, KVM_REG_ARM_PTIMER_CNT, 1ull << 50) &&
		      !get(vcpu, KVM_REG_ARM_TIMER_CNT, &value) &&
		      value >= second && value <= counter() - offset,
	      "values that are written are ignored");
	registers(vcpu, true);
	close(later);
	close(vcpu);
	close(vm);
}

int main(void)
{
	bool has_offset;

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	has_offset = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_COUNTER_OFFSET);
	without_offset();
	if (has_offset) {
		with_offset();
	} else {
		int vm = create_vm();

		check(set_offset(vm, 0, 0) == EINVAL,
		      "where there is no offset it is refused");
		registers(create_vcpu(vm, 0), false);
	}
	printf("# %d of %d failed\n", failures, count);
	return failures > 0;
}
