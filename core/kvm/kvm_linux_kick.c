/* SPDX-License-Identifier: Apache-2.0 */
/* Kicks: interrupting a vCPU's KVM_RUN from another thread. */
#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/base/now.h"
#include "core/kvm/kvm.h"
#include "core/thread/thread.h"

static int kick_signal(void)
{
	return SIGRTMIN;
}

static _Thread_local struct kvm_vcpu *own;

static bool is_kicked(const struct kvm_vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->run->immediate_exit, __ATOMIC_SEQ_CST);
}

/* The CPU time of this thread, in ticks of the counter. */
static uint64_t ran(void)
{
	return clock_now_ns(CLOCK_THREAD_CPUTIME_ID) / 1000 * kvm_counter_hz() /
	       1000000;
}

/*
 * The guest can have run until the next beat was due.  If the timer's interrupt
 * came late, this thread kept running, which its CPU time tells.  Another beat
 * is for a thread that lost its CPU in between.
 */
static void miss_beats(struct kvm_vcpu *vcpu)
{
	const uint64_t more = ran() - vcpu->ran;

	vcpu->missed_beats = true;
	vcpu->left = vcpu->seen + vcpu->beat +
		     (more > vcpu->beat ? more : vcpu->beat);
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
}

/* This thread runs now. */
static void see(struct kvm_vcpu *vcpu, uint64_t now)
{
	vcpu->seen = now;
	if (vcpu->beat)
		vcpu->ran = ran();
}

/*
 * The signal's main effect is to interrupt KVM_RUN.  While immediate_exit is
 * set, KVM does not enter the guest again, so the guest's last run ended before
 * this moment.  A signal without immediate_exit is a beat, or proves nothing.
 *
 * After a stop of more than a beat one is pending, and delivered before
 * anything else runs on this thread.
 */
static void on_kick(int number)
{
	uint64_t now;

	(void)number;
	if (!own || own->missed_beats)
		return;
	now = kvm_counter_read();
	if (own->beat && now - own->seen > KVM_STALL_BEATS * own->beat) {
		miss_beats(own);
		return;
	}
	see(own, now);
	if (is_kicked(own))
		own->left = now;
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
	vcpu->missed_beats = false;
	see(vcpu, kvm_counter_read());
}

/* ------------------------------------------------------------------- beats */

int kvm_vcpu_start_beats(struct kvm_vcpu *vcpu)
{
	/* This clock also counts while the host sleeps, so that a beat is
	 * pending when it wakes up. */
	const struct itimerspec each = {
		.it_value.tv_nsec = 1000000000 / KVM_BEATS_PER_S,
		.it_interval.tv_nsec = 1000000000 / KVM_BEATS_PER_S,
	};
	struct sigevent event = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = kick_signal(),
		._sigev_un._tid = gettid(),
	};
	int timer;

	vcpu->beat = kvm_counter_hz() / KVM_BEATS_PER_S;
	see(vcpu, kvm_counter_read());
	/* Not timer_create(), which brings a thread of its own. */
	if (syscall(SYS_timer_create, CLOCK_BOOTTIME, &event, &timer) ||
	    syscall(SYS_timer_settime, timer, 0, &each, NULL))
		return -errno;
	return 0;
}

/* A pending signal keeps its timer from expiring again. */
void kvm_vcpu_hold_beats(const struct kvm_vcpu *vcpu, bool parked)
{
	sigset_t kick;

	if (!vcpu->beat)
		return;
	sigemptyset(&kick);
	sigaddset(&kick, kick_signal());
	pthread_sigmask(parked ? SIG_BLOCK : SIG_UNBLOCK, &kick, NULL);
}

uint64_t kvm_vcpu_unseen(const struct kvm_vcpu *vcpu)
{
	const uint64_t least =
		KVM_STALL_BEATS * (uint64_t)kvm_counter_hz() / KVM_BEATS_PER_S;

	if (vcpu->missed_beats)
		return vcpu->seen;
	if (vcpu->beat || is_kicked(vcpu) ||
	    kvm_counter_read() - vcpu->seen <= least)
		return 0;
	return vcpu->seen;
}
