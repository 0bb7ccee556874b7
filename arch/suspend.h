/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest suspends itself with a call (PSCI SYSTEM_SUSPEND) of its last vCPU
 * that is on; it wakes up at the address that the call gives.
 */
#pragma once

#include <stdbool.h>

struct arch_vm;
struct err;
struct guest_mem;
struct kvm_vcpu;

/*
 * arch_suspend_deny(), after KVM_EXITED_SUSPEND, on the vCPU's thread: the call
 * fails, if the vCPU runs on like this.  0 or -errno.
 */
int arch_suspend_deny(struct kvm_vcpu *vcpu);
/*
 * Then, while all vCPUs are parked: if the call is right, let vCPU @asks sleep
 * and *@asleep be true.  -1 if KVM fails; the guest cannot go on then.
 */
int arch_suspend(struct arch_vm *a, struct kvm_vcpu *asks,
		 const struct guest_mem *mem, bool *asleep, struct err *e);
/* Is a vCPU asleep?  While all are parked. */
bool arch_is_asleep(struct arch_vm *a);
/* Wake those that sleep, while all are parked. */
void arch_wake(struct arch_vm *a);
