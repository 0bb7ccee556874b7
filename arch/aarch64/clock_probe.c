/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does this host's KVM behave as guest time requires?  Tested on a separate VM
 * with a guest of two instructions, because a patched kernel may differ from
 * the released ones.  Linux, arch/arm64/kvm/arch_timer.c.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "arch/aarch64/clock_model.h"
#include "arch/aarch64/internal.h"
#include "core/base/err.h"
#include "core/base/util.h"
#include "core/kvm/kvm.h"

#define REG_PC                                                 \
	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | \
	 KVM_REG_ARM_CORE_REG(regs.pc))

enum { VCPUS = 2, PAGE = 65536, PATIENCE = 1000 /* ms */ };

struct probe {
	struct kvm_vm vm;
	struct kvm_vcpu vcpu[VCPUS];
	uint64_t offset;
};

static int create_vcpu(struct probe *p, unsigned i, struct err *e)
{
	struct kvm_vcpu_init init = {0};

	if (kvm_vcpu_create(&p->vm, &p->vcpu[i], i, e))
		return -1;
	if (kvm_vm_preferred_target(&p->vm, &init) ||
	    kvm_vcpu_init(&p->vcpu[i], &init))
		return err_set(e, "a vCPU cannot be initialised");
	return 0;
}

static bool shows(struct probe *p, unsigned vcpu, uint64_t id, uint64_t offset)
{
	uint64_t before = kvm_counter_read(), guest;

	return !kvm_vcpu_get_reg(&p->vcpu[vcpu], id, &guest) &&
	       clock_bracketed(before, guest, kvm_counter_read(), offset);
}

/* Check that both counters of all vCPUs are the host's minus @offset. */
static int check_offset(struct probe *p, unsigned vcpus, uint64_t offset,
			const char *when, struct err *e)
{
	for (unsigned i = 0; i < vcpus; i++) {
		if (!shows(p, i, KVM_REG_ARM_TIMER_CNT, offset) ||
		    !shows(p, i, KVM_REG_ARM_PTIMER_CNT, offset))
			return err_set(e,
				       "a counter of vCPU %u is not the host's "
				       "less an offset of %llu %s",
				       i, (unsigned long long)offset, when);
	}
	return 0;
}

static int set_offset(struct probe *p, uint64_t offset, struct err *e)
{
	int r = kvm_vm_set_counter_offset(&p->vm, offset);

	if (r)
		return err_set(e, "an offset of %llu is refused: %s",
			       (unsigned long long)offset, strerrordesc_np(-r));
	p->offset = offset;
	return 0;
}

static int check_values(struct probe *p, struct err *e)
{
	const uint64_t host = kvm_counter_read();
	const uint64_t offsets[] = {
		0, 1, host, host + 1, host - (1ull << 63), host + (1ull << 40),
	};

	for (unsigned i = 0; i < ARRAY_SIZE(offsets); i++) {
		if (set_offset(p, offsets[i], e) ||
		    check_offset(p, VCPUS, offsets[i], "after it was set", e))
			return -1;
	}
	return 0;
}

/*
 * Check that writing the registers that a restore writes does not move the
 * counters, and that the timers' compare values are kept.
 */
static int check_registers(struct probe *p, struct err *e)
{
	static const uint64_t counters[] = {KVM_REG_ARM_TIMER_CNT,
					    KVM_REG_ARM_PTIMER_CNT};
	static const uint64_t compares[] = {KVM_REG_ARM_TIMER_CVAL,
					    KVM_REG_ARM_PTIMER_CVAL};
	const uint64_t value = 0x123456789abcdef0;
	uint64_t back = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(counters); i++) {
		kvm_vcpu_set_reg(&p->vcpu[0], counters[i], &value);
		if (check_offset(p, VCPUS, p->offset,
				 "after one was written to", e))
			return -1;
		if (kvm_vcpu_set_reg(&p->vcpu[0], compares[i], &value) ||
		    kvm_vcpu_get_reg(&p->vcpu[0], compares[i], &back) ||
		    back != value)
			return err_set(e, "a timer does not keep its compare "
					  "value");
	}
	return 0;
}

/* ------------------------------------------------------ while a vCPU runs */

static void *run(void *arg)
{
	struct kvm_vcpu *vcpu = arg;

	kvm_vcpu_set_thread(vcpu);
	while (kvm_vcpu_run(vcpu) != KVM_EXITED_INTERRUPTED)
		continue;
	return NULL;
}

/*
 * Check that KVM rejects an offset with -EBUSY while a vCPU runs: the thread
 * gets one second to enter the guest.
 */
static int check_busy(struct probe *p, struct err *e)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	for (unsigned i = 0; i < PATIENCE; i++) {
		int r = kvm_vm_set_counter_offset(&p->vm, p->offset);

		if (r == -EBUSY)
			return 0;
		if (r)
			break;
		nanosleep(&ms, NULL);
	}
	return err_set(e, "an offset is not refused while a vCPU runs");
}

static int with_running_vcpu(struct probe *p, struct err *e)
{
	static const uint32_t sleep_for_ever[] = {
		0xd503207f, /* wfi */
		0x17ffffff, /* b .-4 */
	};
	const uint64_t pc = RAM_BASE;
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t thread;
	int r;

	if (page == MAP_FAILED)
		return err_errno(e, "cannot map a page");
	memcpy(page, sleep_for_ever, sizeof(sleep_for_ever));
	if (kvm_vm_set_memory(&p->vm, 0, RAM_BASE, PAGE, page, false, e) ||
	    kvm_vcpu_set_reg(&p->vcpu[0], REG_PC, &pc) || kvm_prepare_kicks() ||
	    pthread_create(&thread, NULL, run, &p->vcpu[0])) {
		munmap(page, PAGE);
		return err_set(e, "a vCPU cannot be run");
	}
	r = check_busy(p, e);
	kvm_vcpu_kick(&p->vcpu[0]);
	pthread_join(thread, NULL);
	if (!r)
		r = set_offset(p, kvm_counter_read(), e);
	if (!r)
		r = check_offset(p, VCPUS, p->offset, "after a vCPU ran", e);
	munmap(page, PAGE);
	return r;
}

static int probe(struct probe *p, struct err *e)
{
	if (set_offset(p, kvm_counter_read(), e))
		return -1;
	for (unsigned i = 0; i < VCPUS; i++) {
		if (create_vcpu(p, i, e) ||
		    check_offset(p, i + 1, p->offset, "set before it was made",
				 e))
			return -1;
	}
	if (check_values(p, e) || check_registers(p, e))
		return -1;
	return with_running_vcpu(p, e);
}

int clock_probe(int kvm_fd, unsigned ipa_bits, struct err *e)
{
	struct probe p = {0};
	int r;

	for (unsigned i = 0; i < VCPUS; i++)
		p.vcpu[i].fd = -1;
	if (kvm_vm_create(&p.vm, kvm_fd, ipa_bits, e))
		return -1;
	r = probe(&p, e);
	for (unsigned i = 0; i < VCPUS; i++)
		kvm_vcpu_destroy(&p.vcpu[i]);
	kvm_vm_destroy(&p.vm);
	return r;
}
