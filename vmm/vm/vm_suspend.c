/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that suspends itself (PSCI SYSTEM_SUSPEND): the VM is then paused as
 * if a client had asked for it, and a vCPU's state says that it sleeps, also in
 * a snapshot.  A resume wakes it.
 */
#include <sys/eventfd.h>

#include "arch/suspend.h"
#include "core/base/err.h"
#include "vmm/vm/vm_internal.h"

bool vm_is_suspended(const struct vm *vm)
{
	return vm->clock.asleep;
}

void vm_look_at_suspend(struct vm *vm)
{
	struct vcpu *asks = vcpu_set_take_suspender(&vm->vcpus);
	struct err e;

	if (asks && arch_suspend(&vm->arch, &asks->kvm, &vm->mem,
				 &vm->clock.asleep, &e))
		vcpu_set_fail(&vm->vcpus, e.text);
}

void vm_wake(struct vm *vm)
{
	if (vm->clock.asleep)
		arch_wake(&vm->arch);
}

void vm_await_wake(struct vm *vm)
{
	vm->knocked = false;
	virtio_slots_await_wake(&vm->virtio);
	/* The alarm may be over already. */
	(void)eventfd_write(vm->told_fd, 1);
}

void vm_look_at_knock(struct vm *vm)
{
	const struct vm_host host = vm->host;

	if (!vm->clock.asleep || !host.woken ||
	    (!vm->knocked && !rtc_has_alarm(&vm->rtc)))
		return;
	vm->knocked = false;
	host.woken(host.context);
}
