/* SPDX-License-Identifier: Apache-2.0 */
/* What vCPUs and devices of the fake KVM remember. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fake/kvm_fake_internal.h"

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

void kvm_fake_put_reg(unsigned index, uint64_t id, uint64_t value)
{
	struct fake_vcpu *v = &kvm_fake.vcpu[index];
	struct fake_reg *r = find_reg(v, id);

	if (!r && v->reg_count == FAKE_REGS_MAX)
		abort();
	if (!r)
		r = &v->regs[v->reg_count++];
	*r = (struct fake_reg){.id = id, .value = value};
}

/* Is it one of the registers ICH_<...>_EL2? */
static bool is_of_el2(unsigned group, uint64_t attr)
{
	return group == KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS &&
	       (attr >> 11 & 7) == 4;
}

int kvm_set_attr(int fd, unsigned group, uint64_t attr, const void *value)
{
	struct fake_attr *a = &kvm_fake.attr[kvm_fake.attr_count];
	int r = kvm_fake_call();

	if (!r && kvm_fake.no_gic_el2 && is_of_el2(group, attr))
		r = -ENXIO;
	if (r)
		return r;
	if (kvm_fake.attr_count == FAKE_ATTRS_MAX)
		return -ENOMEM;
	*a = (struct fake_attr){
		.fd = fd,
		.group = group,
		.attr = attr,
		.when = kvm_fake.calls,
	};
	if (value)
		memcpy(&a->value, value, sizeof(uint32_t));
	kvm_fake.attr_count++;
	return 0;
}

int kvm_get_attr(int fd, unsigned group, uint64_t attr, void *value)
{
	uint32_t out = kvm_fake_attr(group, attr);
	int r = kvm_fake_call();

	(void)fd;
	if (!r && kvm_fake.no_gic_el2 && is_of_el2(group, attr))
		return -ENXIO;
	if (!r)
		memcpy(value, &out, sizeof(out));
	return r;
}

/* --------------------------------------------------------------- registers */

/* The counters are the host's minus the offset; all else is storage. */
int kvm_vcpu_get_reg(struct kvm_vcpu *vcpu, uint64_t id, void *value)
{
	struct fake_vcpu *v = fake_of(vcpu);
	struct fake_reg *r = find_reg(v, id);
	uint64_t out = 0;
	int failed = kvm_fake_call();

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
	int failed = kvm_fake_call();
	uint64_t in;

	if (failed)
		return failed;
	memcpy(&in, value, sizeof(in));
	if (id == KVM_REG_ARM_TIMER_CNT && !kvm_fake.offset_sets)
		kvm_fake.offset = kvm_counter_read() - in;
	if (!r && v->reg_count == FAKE_REGS_MAX)
		return -ENOENT;
	if (!r)
		r = &v->regs[v->reg_count++];
	*r = (struct fake_reg){.id = id, .value = in, .when = kvm_fake.calls};
	return 0;
}

int kvm_vcpu_reg_list(struct kvm_vcpu *vcpu, uint64_t *ids, unsigned max,
		      unsigned *count)
{
	const struct fake_vcpu *v = fake_of(vcpu);
	int r = kvm_fake_call();

	if (r)
		return r;
	*count = v->reg_count;
	if (v->reg_count > max)
		return -E2BIG;
	for (unsigned i = 0; i < v->reg_count; i++)
		ids[i] = v->regs[i].id;
	return 0;
}

/* ---------------------------------------------------------- the rest of it */

int kvm_vcpu_get_mp_state(struct kvm_vcpu *vcpu, uint32_t *state)
{
	*state = fake_of(vcpu)->mp_state;
	return kvm_fake_call();
}

int kvm_vcpu_set_mp_state(struct kvm_vcpu *vcpu, uint32_t state)
{
	int r = kvm_fake_call();

	if (!r) {
		fake_of(vcpu)->mp_state = state;
		fake_of(vcpu)->mp_when = kvm_fake.calls;
	}
	return r;
}

int kvm_vcpu_get_serror(struct kvm_vcpu *vcpu, struct kvm_serror *serror)
{
	*serror = fake_of(vcpu)->serror;
	return kvm_fake_call();
}

int kvm_vcpu_set_serror(struct kvm_vcpu *vcpu, const struct kvm_serror *serror)
{
	int r = kvm_fake_call();

	if (!r) {
		fake_of(vcpu)->serror = *serror;
		fake_of(vcpu)->serror_when = kvm_fake.calls;
	}
	return r;
}

/* ------------------------------------------------------------------ kicks */

int kvm_prepare_kicks(void)
{
	return kvm_fake_call();
}

void kvm_unmask_kicks(sigset_t *blocked)
{
	(void)blocked;
}

void kvm_vcpu_set_thread(struct kvm_vcpu *vcpu)
{
	(void)vcpu;
}

uint64_t kvm_vcpu_left(const struct kvm_vcpu *vcpu)
{
	uint64_t left = fake_of(vcpu)->left;

	return left ? left : kvm_counter_read();
}

uint64_t kvm_vcpu_unseen(const struct kvm_vcpu *vcpu)
{
	return fake_of(vcpu)->unseen;
}

int kvm_vcpu_start_beats(struct kvm_vcpu *vcpu)
{
	fake_of(vcpu)->beats = true;
	return 0;
}

void kvm_vcpu_hold_beats(const struct kvm_vcpu *vcpu, bool parked)
{
	(void)vcpu;
	(void)parked;
}
