/* SPDX-License-Identifier: Apache-2.0 */
/* How a vCPU's thread is called out of the guest, from another thread. */
#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/kvm/kvm.h"

static int kick_signal(void)
{
	return SIGRTMIN;
}

static _Thread_local struct kvm_vcpu *own;

/*
 * Most of its work is done by interrupting KVM_RUN.  From when immediate_exit
 * is set until it is cleared the guest is not entered again, so it ran last
 * before now; any other signal says nothing.
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
	 * The flag catches a thread that is just about to enter KVM_RUN, the
	 * signal one that is inside; the flag must be set first.
	 */
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	tid = atomic_load(&vcpu->thread);
	/* pthread_kill() takes three system calls more, in the guest's time. */
	if (tid)
		syscall(SYS_tkill, tid, kick_signal());
}

void kvm_vcpu_clear_kick(struct kvm_vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	vcpu->left = 0;
}
