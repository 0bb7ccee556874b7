/* SPDX-License-Identifier: Apache-2.0 */
/* The state that a snapshot reads from KVM, and a restore writes back. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "core/base/util.h"
#include "core/kvm/kvm.h"

static int call(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

int kvm_get_attr(int fd, unsigned group, uint64_t attr, void *value)
{
	struct kvm_device_attr arg = {
		.group = group,
		.attr = attr,
		.addr = (uintptr_t)value,
	};

	return call(fd, KVM_GET_DEVICE_ATTR, &arg);
}

int kvm_vm_dirty_log(struct kvm_vm *vm, unsigned slot, uint64_t *bitmap)
{
	struct kvm_dirty_log arg = {.slot = slot, .dirty_bitmap = bitmap};

	return call(vm->fd, KVM_GET_DIRTY_LOG, &arg);
}

int kvm_vcpu_reg_list(struct kvm_vcpu *vcpu, uint64_t *ids, unsigned max,
		      unsigned *count)
{
	/* Layout of struct kvm_reg_list: a count, then that many ids. */
	uint64_t *words = calloc(1 + max, sizeof(words[0]));
	struct kvm_reg_list *list = (struct kvm_reg_list *)words;
	int r;

	if (!words)
		return -ENOMEM;
	list->n = max;
	r = call(vcpu->fd, KVM_GET_REG_LIST, list);
	*count = (unsigned)list->n;
	if (!r)
		memcpy(ids, list->reg, list->n * sizeof(ids[0]));
	free(words);
	return r;
}

int kvm_vcpu_get_mp_state(struct kvm_vcpu *vcpu, uint32_t *state)
{
	struct kvm_mp_state arg = {0};
	int r = call(vcpu->fd, KVM_GET_MP_STATE, &arg);

	*state = arg.mp_state;
	return r;
}

int kvm_vcpu_set_mp_state(struct kvm_vcpu *vcpu, uint32_t state)
{
	struct kvm_mp_state arg = {.mp_state = state};

	return call(vcpu->fd, KVM_SET_MP_STATE, &arg);
}

int kvm_vcpu_get_serror(struct kvm_vcpu *vcpu, struct kvm_serror *serror)
{
	struct kvm_vcpu_events arg = {0};
	int r = call(vcpu->fd, KVM_GET_VCPU_EVENTS, &arg);

	*serror = (struct kvm_serror){
		.pending = arg.exception.serror_pending,
		.has_esr = arg.exception.serror_has_esr,
		.esr = arg.exception.serror_esr,
	};
	return r;
}

int kvm_vcpu_set_serror(struct kvm_vcpu *vcpu, const struct kvm_serror *serror)
{
	struct kvm_vcpu_events arg = {
		.exception.serror_pending = serror->pending,
		.exception.serror_has_esr = serror->has_esr,
		.exception.serror_esr = serror->esr,
	};

	return call(vcpu->fd, KVM_SET_VCPU_EVENTS, &arg);
}
