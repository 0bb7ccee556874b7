/* SPDX-License-Identifier: Apache-2.0 */
/* Kicks: interrupting a vCPU's KVM_RUN from another thread. */
#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "core/base/thread.h"
#include "core/kvm/kvm.h"

static int kick_signal(void)
{
	return SIGRTMIN;
}

static _Thread_local struct kvm_vcpu *own;

/*
 * The signal's main effect is to interrupt KVM_RUN.  While immediate_exit is
 * set, KVM does not enter the guest again, so the guest's last run ended before
 * this moment.  A signal without immediate_exit proves nothing.
 */
static void on_kick(int number)
{
	(void)number;
	if (own && __atomic_load_n(&own->run->immediate_exit, __ATOMIC_SEQ_CST))
		own->left = kvm_counter_read();
}

uint64_t kvm_vcpu_left(const struct kvm_vcpu *vcpu)
{
	return vcpu->left ? vcpu->left : kvm_counter_read();
}

int kvm_prepare_kicks(void)
{
	struct sigaction action = {.sa_handler = on_kick};

	thread_process(); /* not in a handler for the first time */
	return sigaction(kick_signal(), &action, NULL) ? -errno : 0;
}

void kvm_unmask_kicks(sigset_t *blocked)
{
	sigdelset(blocked, kick_signal());
}

void kvm_vcpu_set_thread(struct kvm_vcpu *vcpu)
{
	own = vcpu;
	atomic_store(&vcpu->thread, gettid());
}

void kvm_vcpu_kick(struct kvm_vcpu *vcpu)
{
	pid_t tid;

	/*
	 * The flag stops a thread that is about to enter KVM_RUN, the signal
	 * one that is inside.  The flag must be set first.
	 */
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	tid = atomic_load(&vcpu->thread);
	/* Not pthread_kill(): its three extra system calls delay the kick. */
	if (tid)
		tgkill(thread_process(), tid, kick_signal());
}

void kvm_vcpu_clear_kick(struct kvm_vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	vcpu->left = 0;
}
