/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/kvm_fake.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/err.h"
#include "vmm/base/util.h"

struct kvm_fake kvm_fake;

/* Guards the vCPUs' scripts and kicks; tests look when all is at rest. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t kicked = PTHREAD_COND_INITIALIZER;
static unsigned running; /* vCPUs */

enum { MPIDR_BASE = 0x80000000 };

#define MPIDR ARM64_SYS_REG(3, 0, 0, 0, 5)

void kvm_fake_reset(void)
{
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

static struct fake_reg *find_reg(struct fake_vcpu *v, uint64_t id)
{
	for (unsigned i = 0; i < v->reg_count; i++) {
		if (v->regs[i].id == id)
			return &v->regs[i];
	}
	return NULL;
}

uint64_t kvm_fake_reg(unsigned index, uint64_t id)
{
	struct fake_reg *r = find_reg(&kvm_fake.vcpu[index], id);

	if (!r) {
		fprintf(stderr, "register 0x%llx was never set\n",
			(unsigned long long)id);
		abort();
	}
	return r->value;
}

/* 0, or -errno if this is the call that is to fail. */
static int call(void)
{
	if (++kvm_fake.calls == kvm_fake.fail_at)
		return -kvm_fake.fail_errno;
	return 0;
}

static int call_err(const char *what, struct err *e)
{
	int r = call();

	if (!r)
		return 0;
	errno = -r;
	return err_errno(e, "%s", what);
}

static struct fake_vcpu *fake_of(const struct kvm_vcpu *vcpu)
{
	return &kvm_fake.vcpu[vcpu->index];
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
	int r = call();

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
	int r = call();

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
	int r = call();

	(void)vm;
	(void)eventfd;
	(void)gpa;
	(void)value;
	if (!r)
		kvm_fake.ioeventfds++;
	return r;
}

int kvm_vm_irqfd(struct kvm_vm *vm, int eventfd, unsigned gsi)
{
	int r = call();

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
	int r = call();

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
	if (!kvm_fake.ignore_offset)
		kvm_fake.offset = offset;
	return 0;
}

int kvm_vm_preferred_target(struct kvm_vm *vm, struct kvm_vcpu_init *init)
{
	(void)vm;
	*init = (struct kvm_vcpu_init){.target = 5};
	return call();
}

int kvm_vm_create_device(struct kvm_vm *vm, unsigned type, bool test)
{
	int r = call();

	(void)vm;
	if (r)
		return r;
	if ((type == KVM_DEV_TYPE_ARM_VGIC_V3 && kvm_fake.no_gic_v3) ||
	    (type == KVM_DEV_TYPE_ARM_VGIC_V2 && kvm_fake.no_gic_v2))
		return -ENODEV;
	return test ? 0 : eventfd(0, EFD_CLOEXEC);
}

bool kvm_has_attr(int fd, unsigned group, uint64_t attr)
{
	(void)fd;
	(void)group;
	(void)attr;
	return true;
}

int kvm_set_attr(int fd, unsigned group, uint64_t attr, const void *value)
{
	struct fake_attr *a = &kvm_fake.attr[kvm_fake.attr_count];
	int r = call();

	if (r)
		return r;
	if (kvm_fake.attr_count == FAKE_ATTRS_MAX)
		return -ENOMEM;
	*a = (struct fake_attr){.fd = fd, .group = group, .attr = attr};
	if (value)
		memcpy(&a->value, value, sizeof(uint32_t));
	kvm_fake.attr_count++;
	return 0;
}

int kvm_get_attr(int fd, unsigned group, uint64_t attr, void *value)
{
	uint32_t out = kvm_fake_attr(group, attr);
	int r = call();

	(void)fd;
	if (!r)
		memcpy(value, &out, sizeof(out));
	return r;
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
	int r = call();

	if (!r)
		fake_of(vcpu)->features = init->features[0];
	return r;
}

int kvm_vcpu_finalize(struct kvm_vcpu *vcpu, int feature)
{
	int r = call();

	(void)feature;
	if (!r)
		fake_of(vcpu)->finalized = true;
	return r;
}

/* The counters are the host's minus the offset; all else is storage. */
int kvm_vcpu_get_reg(struct kvm_vcpu *vcpu, uint64_t id, void *value)
{
	struct fake_vcpu *v = fake_of(vcpu);
	struct fake_reg *r = find_reg(v, id);
	uint64_t out = 0;
	int failed = call();

	if (failed)
		return failed;
	if (id == KVM_REG_ARM_TIMER_CNT || id == KVM_REG_ARM_PTIMER_CNT)
		out = kvm_counter_read() - kvm_fake.offset;
	else if (r)
		out = r->value;
	else if (kvm_fake.reg_list_is_closed)
		return -ENOENT;
	memcpy(value, &out, sizeof(out));
	return 0;
}

int kvm_vcpu_set_reg(struct kvm_vcpu *vcpu, uint64_t id, const void *value)
{
	struct fake_vcpu *v = fake_of(vcpu);
	struct fake_reg *r = find_reg(v, id);
	int failed = call();
	uint64_t in;

	if (failed)
		return failed;
	memcpy(&in, value, sizeof(in));
	if (id == KVM_REG_ARM_TIMER_CNT && !kvm_fake.offset_sets)
		kvm_fake.offset = kvm_counter_read() - in;
	if (!r)
		r = &v->regs[v->reg_count++];
	*r = (struct fake_reg){.id = id, .value = in};
	return 0;
}

int kvm_vcpu_reg_list(struct kvm_vcpu *vcpu, uint64_t *ids, unsigned max,
		      unsigned *count)
{
	const struct fake_vcpu *v = fake_of(vcpu);
	int r = call();

	if (r)
		return r;
	*count = v->reg_count;
	if (v->reg_count > max)
		return -E2BIG;
	for (unsigned i = 0; i < v->reg_count; i++)
		ids[i] = v->regs[i].id;
	return 0;
}

int kvm_vcpu_get_mp_state(struct kvm_vcpu *vcpu, uint32_t *state)
{
	*state = fake_of(vcpu)->mp_state;
	return call();
}

int kvm_vcpu_set_mp_state(struct kvm_vcpu *vcpu, uint32_t state)
{
	int r = call();

	if (!r)
		fake_of(vcpu)->mp_state = state;
	return r;
}

int kvm_vcpu_get_serror(struct kvm_vcpu *vcpu, struct kvm_serror *serror)
{
	*serror = fake_of(vcpu)->serror;
	return call();
}

int kvm_vcpu_set_serror(struct kvm_vcpu *vcpu, const struct kvm_serror *serror)
{
	int r = call();

	if (!r)
		fake_of(vcpu)->serror = *serror;
	return r;
}

int kvm_vcpu_inject_abort(struct kvm_vcpu *vcpu)
{
	int r = call();

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

static enum kvm_exit take_step(struct fake_vcpu *v)
{
	struct fake_step *s = &v->steps[v->step];

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

int kvm_prepare_kicks(void)
{
	return call();
}

void kvm_unmask_kicks(sigset_t *blocked)
{
	(void)blocked;
}

void kvm_vcpu_set_thread(struct kvm_vcpu *vcpu)
{
	(void)vcpu;
}

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
	pthread_mutex_unlock(&lock);
}
