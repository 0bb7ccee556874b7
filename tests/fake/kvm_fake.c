/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/kvm_fake.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "tests/fake/kvm_fake_internal.h"

struct kvm_fake kvm_fake;

/* Guards the vCPUs' scripts and kicks; tests look when all is at rest. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t kicked = PTHREAD_COND_INITIALIZER;
static unsigned running; /* vCPUs */
static bool let_go;      /* of those that are stuck */
static unsigned stuck;

enum { MPIDR_BASE = 0x80000000 };

#define MPIDR ARM64_SYS_REG(3, 0, 0, 0, 5)

void kvm_fake_reset(void)
{
	let_go = false;
	stuck = 0;
	kvm_fake = (struct kvm_fake){
		.hz = 62500000,
		.counter = 1ull << 40,
		.tick = 10,
	};
	kvm_fake.caps[KVM_CAP_ARM_VM_IPA_SIZE] = 48;
	kvm_fake.caps[KVM_CAP_COUNTER_OFFSET] = 1;
	kvm_fake.caps[KVM_CAP_STEAL_TIME] = 1;
	kvm_fake.caps[KVM_CAP_ARM_PMU_V3] = 1;
	kvm_fake.caps[KVM_CAP_ARM_INJECT_EXT_DABT] = 1;
	kvm_fake.caps[KVM_CAP_ARM_NISV_TO_USER] = 1;
	kvm_fake.caps[KVM_CAP_MAX_VCPUS] = 512;
}

void kvm_fake_step(unsigned index, struct fake_step step)
{
	struct fake_vcpu *v = &kvm_fake.vcpu[index];

	v->steps[v->step_count++] = step;
}

unsigned kvm_fake_entries(unsigned index)
{
	unsigned entries;

	pthread_mutex_lock(&lock);
	entries = kvm_fake.vcpu[index].entries;
	pthread_mutex_unlock(&lock);
	return entries;
}

void kvm_fake_await_stuck(void)
{
	pthread_mutex_lock(&lock);
	while (!stuck)
		pthread_cond_wait(&kicked, &lock);
	pthread_mutex_unlock(&lock);
}

void kvm_fake_let_go(void)
{
	pthread_mutex_lock(&lock);
	let_go = true;
	pthread_cond_broadcast(&kicked);
	pthread_mutex_unlock(&lock);
}

int kvm_fake_call(void)
{
	if (++kvm_fake.calls == kvm_fake.fail_at)
		return -kvm_fake.fail_errno;
	return 0;
}

static int call_err(const char *what, struct err *e)
{
	int r = kvm_fake_call();

	if (!r)
		return 0;
	errno = -r;
	return err_errno(e, "%s", what);
}

/* ------------------------------------------------------------- the system */

int kvm_open(const char *path, struct err *e)
{
	if (call_err(path, e))
		return -1;
	return eventfd(0, EFD_CLOEXEC);
}

int kvm_check(int fd, unsigned cap)
{
	(void)fd;
	return cap < FAKE_CAPS_MAX ? kvm_fake.caps[cap] : 0;
}

uint64_t kvm_counter_read(void)
{
	return __atomic_add_fetch(&kvm_fake.counter, kvm_fake.tick,
				  __ATOMIC_RELAXED);
}

uint32_t kvm_counter_hz(void)
{
	return kvm_fake.hz;
}

/* -------------------------------------------------------------------- VMs */

int kvm_vm_create(struct kvm_vm *vm, int kvm_fd, unsigned ipa_bits,
		  struct err *e)
{
	*vm = (struct kvm_vm){.kvm_fd = kvm_fd, .fd = -1};
	if (call_err("create VM", e))
		return -1;
	kvm_fake.ipa_bits = ipa_bits;
	vm->fd = eventfd(0, EFD_CLOEXEC);
	return 0;
}

void kvm_vm_destroy(struct kvm_vm *vm)
{
	util_close(&vm->fd);
	vm->fd = -1;
}

int kvm_vm_enable(struct kvm_vm *vm, unsigned cap)
{
	int r = kvm_fake_call();

	(void)vm;
	if (!r)
		kvm_fake.enabled[cap] = true;
	return r;
}

int kvm_vm_set_memory(struct kvm_vm *vm, unsigned slot, gpa_t gpa,
		      uint64_t size, void *host, bool log, struct err *e)
{
	(void)vm;
	kvm_fake.log[slot] = log;
	if (call_err("set memory", e))
		return -1;
	kvm_fake.slot[slot].gpa = gpa;
	kvm_fake.slot[slot].size = size;
	kvm_fake.slot[slot].host = host;
	kvm_fake.slots++;
	return 0;
}

int kvm_vm_dirty_log(struct kvm_vm *vm, unsigned slot, uint64_t *bitmap)
{
	int r = kvm_fake_call();

	(void)vm;
	if (r)
		return r;
	if (!kvm_fake.log[slot])
		return -ENOENT;
	bitmap[0] |= kvm_fake.dirty[slot];
	kvm_fake.dirty[slot] = 0;
	return 0;
}

int kvm_vm_ioeventfd(struct kvm_vm *vm, int eventfd, gpa_t gpa, uint32_t value)
{
	int r = kvm_fake_call();

	(void)vm;
	(void)eventfd;
	(void)gpa;
	(void)value;
	if (!r)
		kvm_fake.ioeventfds++;
	return r;
}

int kvm_vm_tell_late(struct kvm_vm *vm, gpa_t gpa)
{
	(void)vm;
	if (kvm_fake.no_late)
		return -ENOTSUP;
	kvm_fake.late_at[kvm_fake.late_ats++] = gpa;
	return 0;
}

int kvm_vm_irqfd(struct kvm_vm *vm, int eventfd, unsigned gsi)
{
	int r = kvm_fake_call();

	(void)vm;
	(void)eventfd;
	(void)gsi;
	if (!r)
		kvm_fake.irqfds++;
	return r;
}

void kvm_vm_irq_pulse(struct kvm_vm *vm, unsigned spi)
{
	(void)vm;
	kvm_fake.pulses[spi]++;
}

int kvm_vm_set_counter_offset(struct kvm_vm *vm, uint64_t offset)
{
	int r = kvm_fake_call();

	(void)vm;
	if (r)
		return r;
	if (!kvm_fake.caps[KVM_CAP_COUNTER_OFFSET])
		return -EINVAL;
	if (kvm_fake.busy) {
		kvm_fake.busy--;
		return -EBUSY;
	}
	if (__atomic_load_n(&running, __ATOMIC_RELAXED) && !kvm_fake.never_busy)
		return -EBUSY;
	kvm_fake.offset_sets++;
	kvm_fake.offset_when = kvm_fake.calls;
	if (!kvm_fake.ignore_offset)
		kvm_fake.offset = offset;
	return 0;
}

int kvm_vm_preferred_target(struct kvm_vm *vm, struct kvm_vcpu_init *init)
{
	(void)vm;
	*init = (struct kvm_vcpu_init){.target = 5};
	return kvm_fake_call();
}

int kvm_vm_create_device(struct kvm_vm *vm, unsigned type, bool test)
{
	int r = kvm_fake_call();

	(void)vm;
	if (r)
		return r;
	if ((type == KVM_DEV_TYPE_ARM_VGIC_V3 && kvm_fake.no_gic_v3) ||
	    (type == KVM_DEV_TYPE_ARM_VGIC_V2 && kvm_fake.no_gic_v2))
		return -ENODEV;
	return test ? 0 : eventfd(0, EFD_CLOEXEC);
}

/* ------------------------------------------------------------------ vCPUs */

int kvm_vcpu_create(struct kvm_vm *vm, struct kvm_vcpu *vcpu, unsigned index,
		    struct err *e)
{
	struct fake_vcpu *v = &kvm_fake.vcpu[index];
	const uint64_t mpidr = MPIDR_BASE | (index & 0xf) | (index >> 4) << 8;

	(void)vm;
	*vcpu = (struct kvm_vcpu){.fd = -1, .index = index};
	if (call_err("create vCPU", e))
		return -1;
	vcpu->fd = eventfd(0, EFD_CLOEXEC);
	v->created_when = kvm_fake.calls;
	v->kvm = vcpu;
	v->regs[v->reg_count++] =
		(struct fake_reg){.id = MPIDR, .value = mpidr};
	kvm_fake.vcpu_count++;
	return 0;
}

void kvm_vcpu_destroy(struct kvm_vcpu *vcpu)
{
	util_close(&vcpu->fd);
	vcpu->fd = -1;
}

int kvm_vcpu_init(struct kvm_vcpu *vcpu, const struct kvm_vcpu_init *init)
{
	int r = kvm_fake_call();

	if (!r)
		fake_of(vcpu)->features = init->features[0];
	return r;
}

int kvm_vcpu_finalize(struct kvm_vcpu *vcpu, int feature)
{
	int r = kvm_fake_call();

	(void)feature;
	if (!r) {
		fake_of(vcpu)->finalized = true;
		fake_of(vcpu)->finalized_when = kvm_fake.calls;
	}
	return r;
}

int kvm_vcpu_inject_abort(struct kvm_vcpu *vcpu)
{
	int r = kvm_fake_call();

	if (!r)
		fake_of(vcpu)->aborts++;
	return r;
}

/* As KVM: a kick that came before counts. */
static enum kvm_exit spin(struct fake_vcpu *v)
{
	while (!v->kicked)
		pthread_cond_wait(&kicked, &lock);
	return KVM_EXITED_INTERRUPTED;
}

/* Does KVM keep this one? */
static bool is_late(const struct fake_step *s)
{
	for (unsigned i = 0; i < kvm_fake.late_ats; i++) {
		if (s->kind == FAKE_WRITE && s->gpa == kvm_fake.late_at[i])
			return s->len == 4 &&
			       kvm_fake.late_last < FAKE_LATE_MAX;
	}
	return false;
}

static void keep(const struct fake_step *s)
{
	kvm_fake.late[kvm_fake.late_last++] = (struct kvm_mmio){
		.gpa = s->gpa,
		.len = s->len,
		.is_write = true,
		.value = s->value,
	};
}

/* Lock held, but for while it may take time. */
static void touch(const struct fake_step *s)
{
	const volatile uint8_t *at = (uint8_t *)kvm_fake.slot[0].host +
				     (s->gpa - kvm_fake.slot[0].gpa);

	stuck++;
	pthread_cond_broadcast(&kicked);
	pthread_mutex_unlock(&lock);
	(void)*at;
	pthread_mutex_lock(&lock);
}

static enum kvm_exit take_step(struct fake_vcpu *v)
{
	struct fake_step *s;

	for (; v->step < v->step_count && is_late(&v->steps[v->step]);
	     v->step++)
		keep(&v->steps[v->step]);
	s = &v->steps[v->step];
	if (v->step < v->step_count && s->kind == FAKE_STUCK) {
		stuck++;
		pthread_cond_broadcast(&kicked);
		while (!let_go)
			pthread_cond_wait(&kicked, &lock);
		v->step++;
		v->unseen = s->unseen;
		v->left = s->left;
		return s->exit;
	}
	if (v->step < v->step_count && s->kind == FAKE_TOUCH) {
		touch(s);
		v->step++;
		return KVM_EXITED_INTERRUPTED;
	}
	while (v->step < v->step_count && s->after_stuck && !stuck &&
	       !v->kicked)
		pthread_cond_wait(&kicked, &lock);
	if (v->kicked)
		return KVM_EXITED_INTERRUPTED;
	if (v->step == v->step_count || s->kind == FAKE_SPIN)
		return spin(v);
	v->step++;
	v->kvm->run_errno = s->error;
	return s->kind == FAKE_EXIT ? s->exit : KVM_EXITED_MMIO;
}

enum kvm_exit kvm_vcpu_run(struct kvm_vcpu *vcpu)
{
	struct fake_vcpu *v = fake_of(vcpu);
	enum kvm_exit exit;

	pthread_mutex_lock(&lock);
	v->entries++;
	__atomic_add_fetch(&running, 1, __ATOMIC_RELAXED);
	exit = take_step(v);
	__atomic_sub_fetch(&running, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&lock);
	return exit;
}

void kvm_vcpu_mmio(const struct kvm_vcpu *vcpu, struct kvm_mmio *mmio)
{
	const struct fake_vcpu *v = fake_of(vcpu);
	const struct fake_step *s = &v->steps[v->step - 1];

	*mmio = (struct kvm_mmio){
		.gpa = s->gpa,
		.len = s->len,
		.is_write = s->kind == FAKE_WRITE,
		.value = s->value,
	};
}

bool kvm_vcpu_late_write(const struct kvm_vcpu *vcpu, struct kvm_mmio *mmio)
{
	bool there;

	(void)vcpu;
	pthread_mutex_lock(&lock);
	there = kvm_fake.late_first != kvm_fake.late_last;
	if (there)
		*mmio = kvm_fake.late[kvm_fake.late_first];
	pthread_mutex_unlock(&lock);
	return there;
}

void kvm_vcpu_late_done(struct kvm_vcpu *vcpu)
{
	(void)vcpu;
	pthread_mutex_lock(&lock);
	kvm_fake.late_first++;
	pthread_mutex_unlock(&lock);
}

void kvm_vcpu_mmio_answer(struct kvm_vcpu *vcpu, uint64_t value)
{
	fake_of(vcpu)->answer = value;
}

gpa_t kvm_vcpu_fault_gpa(const struct kvm_vcpu *vcpu)
{
	const struct fake_vcpu *v = fake_of(vcpu);

	return v->steps[v->step - 1].gpa;
}

void kvm_vcpu_explain(const struct kvm_vcpu *vcpu, char *text, size_t size)
{
	snprintf(text, size, "errno %d", vcpu->run_errno);
}

/* ------------------------------------------------------------------ kicks */

void kvm_vcpu_kick(struct kvm_vcpu *vcpu)
{
	pthread_mutex_lock(&lock);
	fake_of(vcpu)->kicked = true;
	pthread_cond_broadcast(&kicked);
	pthread_mutex_unlock(&lock);
}

void kvm_vcpu_clear_kick(struct kvm_vcpu *vcpu)
{
	pthread_mutex_lock(&lock);
	fake_of(vcpu)->kicked = false;
	fake_of(vcpu)->unseen = fake_of(vcpu)->left = 0;
	pthread_mutex_unlock(&lock);
}
