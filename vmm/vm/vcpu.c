/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vm/vcpu.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "arch/suspend.h"
#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/seccomp/seccomp.h"
#include "core/thread/thread.h"

enum {
	/* Bytes of address space: only what the deepest exit handler touches
	 * becomes memory. */
	STACK_SIZE = 256 * 1024,
	/* Iterations: several times as long as setting an offset takes. */
	READY_LOOKS = 10000,
	/* More than the coalesced MMIO ring can hold, with pages of 64 KiB. */
	LATE_WRITES_MAX = 4096,
	/* How many requests to be suspended are looked at. */
	SUSPENDS_PER_S = 10,
};

/*
 * Park until something else than VCPUS_PARK and @not_yet is wanted, and return
 * that.  @left: the host's counter when this vCPU left the guest.
 */
static enum vcpus_wanted park(struct vcpu *vcpu, uint64_t left,
			      enum vcpus_wanted not_yet)
{
	struct vcpu_set *set = vcpu->set;
	enum vcpus_wanted wanted;

	vcpu_lock_take(&set->lock);
	/* The last vCPU to park need not be the last that left the guest. */
	if ((int64_t)(left - set->left) > 0)
		set->left = left;
	set->parked++;
	vcpu->parked = true;
	pthread_cond_broadcast(&set->changed);
	if (set->awaited && set->parked == set->started) {
		set->awaited = false;
		(void)eventfd_write(set->told_fd, 1);
	}
	kvm_vcpu_hold_beats(&vcpu->kvm, true);
	while ((wanted = set->wanted) == VCPUS_PARK || wanted == not_yet)
		pthread_cond_wait(&set->changed, &set->lock.mutex);
	set->parked--;
	vcpu->parked = false;
	if (set->suspender == vcpu)
		set->suspender = NULL;
	/*
	 * Under the lock, so that this cannot clear the kick of a later
	 * request: want_locked() makes requests under the same lock.
	 */
	kvm_vcpu_clear_kick(&vcpu->kvm);
	kvm_vcpu_hold_beats(&vcpu->kvm, false);
	vcpu_lock_release(&set->lock);
	return wanted;
}

/*
 * Spin until VCPUS_READY is followed by something else: guest time already runs
 * when the main thread releases the vCPUs, so a wake-up in between would cost
 * the guest time.  Bounded, and not on the CPU that the main thread needs.
 */
static enum vcpus_wanted watch(const struct vcpu_set *set)
{
	unsigned looks = READY_LOOKS;

	while (set->wanted == VCPUS_READY && looks-- &&
	       set->ready_cpu != thread_cpu())
		continue;
	return set->wanted;
}

/* Park until the guest may run.  False when the thread must end instead. */
static bool wait_to_run(struct vcpu *vcpu, uint64_t left)
{
	enum vcpus_wanted wanted = park(vcpu, left, VCPUS_PARK);

	if (wanted == VCPUS_READY)
		wanted = watch(vcpu->set);
	while (wanted != VCPUS_RUN && wanted != VCPUS_EXIT)
		wanted = park(vcpu, left, VCPUS_READY);
	return wanted == VCPUS_RUN;
}

/* Request a state of all vCPUs, and kick those that must leave the guest. */
static void want_locked(struct vcpu_set *set, enum vcpus_wanted wanted)
	REQUIRES(vcpu_lock)
{
	set->wanted = wanted;
	set->awaited = false;
	pthread_cond_broadcast(&set->changed);
	if (wanted != VCPUS_PARK && wanted != VCPUS_EXIT)
		return;
	for (unsigned i = 0; i < set->started; i++) {
		if (!set->vcpu[i].parked)
			kvm_vcpu_kick(&set->vcpu[i].kvm);
	}
}

/* Record how the guest ended, park all vCPUs and notify the main thread.  Only
 * the first call has an effect.  Any thread. */
static void end_guest(struct vcpu_set *set, enum vcpu_end end,
		      const char *reason)
{
	vcpu_lock_take(&set->lock);
	if (set->end == VCPU_END_NONE) {
		set->end = end;
		snprintf(set->reason, sizeof(set->reason), "%s", reason);
		if (set->wanted == VCPUS_RUN)
			want_locked(set, VCPUS_PARK);
		(void)eventfd_write(set->told_fd, 1);
	}
	vcpu_lock_release(&set->lock);
}

/* This vCPU was interrupted.  Unless that was a kick, it was kept from running:
 * park all vCPUs, and let the main thread see to their time. */
static void report_stall(struct vcpu *vcpu)
{
	struct vcpu_set *set = vcpu->set;
	uint64_t seen = kvm_vcpu_unseen(&vcpu->kvm);

	if (!seen)
		return;
	vcpu_lock_take(&set->lock);
	if (!set->stalled || (int64_t)(seen - set->seen) > 0)
		set->seen = seen;
	set->stalled++;
	if (set->wanted == VCPUS_RUN)
		want_locked(set, VCPUS_PARK);
	(void)eventfd_write(set->told_fd, 1);
	vcpu_lock_release(&set->lock);
}

void vcpu_late_writes(struct vcpu *vcpu)
{
	struct vcpu_set *set = vcpu->set;
	struct kvm_mmio m;

	if (!kvm_vcpu_late_write(&vcpu->kvm, &m))
		return;
	late_lock_take(&set->late_lock);
	for (unsigned i = 0;
	     i < LATE_WRITES_MAX && kvm_vcpu_late_write(&vcpu->kvm, &m); i++) {
		mmio_bus_write(set->bus, m.gpa, m.len, m.value);
		kvm_vcpu_late_done(&vcpu->kvm);
	}
	late_lock_release(&set->late_lock);
}

/*
 * The guest asks to be suspended.  That fails, unless the main thread agrees
 * while all vCPUs are parked.  A guest that asks more often than it can mean it
 * must not keep the main thread busy.
 */
static void ask_to_suspend(struct vcpu *vcpu)
{
	struct vcpu_set *set = vcpu->set;
	const uint64_t now = kvm_counter_read();

	if (arch_suspend_deny(&vcpu->kvm)) {
		vcpu_exit_error(vcpu);
		return;
	}
	vcpu_lock_take(&set->lock);
	if (now - set->asked >= kvm_counter_hz() / SUSPENDS_PER_S) {
		set->asked = now;
		set->suspender = vcpu;
		if (set->wanted == VCPUS_RUN)
			want_locked(set, VCPUS_PARK);
		(void)eventfd_write(set->told_fd, 1);
	}
	vcpu_lock_release(&set->lock);
}

/* Run the guest until it is interrupted or ends. */
static void run_guest(struct vcpu *vcpu)
{
	for (;;) {
		switch (kvm_vcpu_run(&vcpu->kvm)) {
		case KVM_EXITED_MMIO:
			vcpu_exit_mmio(vcpu);
			break;
		case KVM_EXITED_NO_SYNDROME:
			vcpu_exit_undecoded(vcpu);
			break;
		case KVM_EXITED_INTERRUPTED:
			report_stall(vcpu);
			return;
		case KVM_EXITED_OFF:
			end_guest(vcpu->set, VCPU_END_OFF, "");
			return;
		case KVM_EXITED_RESET:
			end_guest(vcpu->set, VCPU_END_RESET, "");
			return;
		case KVM_EXITED_SUSPEND:
			ask_to_suspend(vcpu);
			break;
		case KVM_EXITED_ERROR:
			vcpu_exit_error(vcpu);
			return;
		}
	}
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *vcpu = arg;
	uint64_t left = kvm_counter_read();
	char name[16];

	snprintf(name, sizeof(name), "fc_vcpu %u", vcpu->kvm.index);
	thread_set_name(name);
	kvm_vcpu_set_thread(&vcpu->kvm);
	log_defer(vcpu->set->told_fd);
	if (vcpu->set->beats && kvm_vcpu_start_beats(&vcpu->kvm))
		end_guest(vcpu->set, VCPU_END_ERROR,
			  "no timer for `on_stop`: \"frozen\" "
			  "(RLIMIT_SIGPENDING?)");
	seccomp_enter(SECCOMP_VCPU);
	while (wait_to_run(vcpu, left)) {
		run_guest(vcpu);
		left = kvm_vcpu_left(&vcpu->kvm);
	}
	vcpu_lock_take(&vcpu->set->lock);
	vcpu->set->gone++;
	pthread_cond_broadcast(&vcpu->set->changed);
	vcpu_lock_release(&vcpu->set->lock);
	return NULL;
}

/* --------------------------------------------------------- the main thread */

void vcpu_set_init(struct vcpu_set *set, const struct mmio_bus *bus,
		   int told_fd)
{
	pthread_condattr_t attr;

	*set = (struct vcpu_set){
		.bus = bus,
		.told_fd = told_fd,
		.left = kvm_counter_read(),
	};
	for (unsigned i = 0; i < ARCH_VCPUS_MAX; i++) {
		set->vcpu[i].set = set;
		set->vcpu[i].kvm.fd = -1;
	}
	late_lock_init(&set->late_lock);
	vcpu_lock_init(&set->lock);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&set->changed, &attr);
	pthread_condattr_destroy(&attr);
}

static int start_thread(struct vcpu *vcpu, const pthread_attr_t *attr)
{
	int r = pthread_create(&vcpu->thread, attr, vcpu_thread, vcpu);

	if (r)
		return r;
	vcpu->set->started++;
	return 0;
}

int vcpu_set_start(struct vcpu_set *set, struct err *e)
{
	static const int faults[] = {SIGBUS,  SIGSEGV, SIGILL, SIGFPE,
				     SIGABRT, SIGSYS,  SIGTRAP};
	pthread_attr_t attr;
	sigset_t all, old;
	int r = kvm_prepare_kicks();

	if (r) {
		errno = -r;
		return err_errno(e, "cannot install a signal handler");
	}
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	/*
	 * Block all signals, because the main thread handles those for the
	 * process, but not those that report a fault of this thread: with
	 * SIGBUS blocked, KVM would meet the same memory error for ever, and
	 * with the others blocked, a crash would leave the terminal raw.
	 */
	sigfillset(&all);
	for (unsigned i = 0; i < ARRAY_SIZE(faults); i++)
		sigdelset(&all, faults[i]);
	kvm_unmask_kicks(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (unsigned i = 0; i < set->count && !r; i++)
		r = start_thread(&set->vcpu[i], &attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (r) {
		errno = r;
		return err_errno(e, "cannot start a vCPU thread");
	}
	return 0;
}

static struct timespec deadline_in(unsigned ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

bool vcpu_set_park(struct vcpu_set *set, unsigned timeout_ms)
{
	struct timespec deadline = deadline_in(timeout_ms);
	bool parked;

	vcpu_lock_take(&set->lock);
	want_locked(set, VCPUS_PARK);
	while (set->parked < set->started &&
	       !pthread_cond_timedwait(&set->changed, &set->lock.mutex,
				       &deadline))
		continue;
	parked = set->parked == set->started;
	set->awaited = !parked;
	vcpu_lock_release(&set->lock);
	if (parked && set->count)
		vcpu_late_writes(&set->vcpu[0]);
	return parked;
}

uint64_t vcpu_set_left(struct vcpu_set *set)
{
	uint64_t left;

	vcpu_lock_take(&set->lock);
	left = set->left;
	vcpu_lock_release(&set->lock);
	return left;
}

bool vcpu_set_has_asked(struct vcpu_set *set)
{
	bool any;

	vcpu_lock_take(&set->lock);
	any = set->stalled || set->suspender;
	vcpu_lock_release(&set->lock);
	return any;
}

uint64_t vcpu_set_take_stall(struct vcpu_set *set)
{
	uint64_t seen;

	vcpu_lock_take(&set->lock);
	seen = set->stalled > (set->beats ? set->count - 1 : 0) ? set->seen : 0;
	set->stalled = 0;
	vcpu_lock_release(&set->lock);
	return seen;
}

struct vcpu *vcpu_set_take_suspender(struct vcpu_set *set)
{
	struct vcpu *vcpu;

	vcpu_lock_take(&set->lock);
	vcpu = set->suspender;
	set->suspender = NULL;
	vcpu_lock_release(&set->lock);
	return vcpu;
}

void vcpu_set_ready(struct vcpu_set *set)
{
	vcpu_lock_take(&set->lock);
	set->ready_cpu = thread_cpu();
	if (set->end == VCPU_END_NONE)
		want_locked(set, VCPUS_READY);
	vcpu_lock_release(&set->lock);
}

void vcpu_set_release(struct vcpu_set *set)
{
	vcpu_lock_take(&set->lock);
	/* vCPUs may be parked again before they enter the guest. */
	set->left = kvm_counter_read();
	if (set->end == VCPU_END_NONE)
		want_locked(set, VCPUS_RUN);
	vcpu_lock_release(&set->lock);
}

void vcpu_set_fail(struct vcpu_set *set, const char *reason)
{
	end_guest(set, VCPU_END_ERROR, reason);
}

enum vcpu_end vcpu_set_end(struct vcpu_set *set, char reason[VCPU_REASON_MAX])
{
	enum vcpu_end end;

	vcpu_lock_take(&set->lock);
	end = set->end;
	if (reason)
		memcpy(reason, set->reason, VCPU_REASON_MAX);
	vcpu_lock_release(&set->lock);
	return end;
}

/* Waits on `changed`, which costs a wake-up more than vcpu_set_stop(), so only
 * VMs that need the timeout use it. */
bool vcpu_set_stop_within(struct vcpu_set *set, unsigned timeout_ms)
{
	struct timespec deadline = deadline_in(timeout_ms);
	bool all;

	vcpu_lock_take(&set->lock);
	want_locked(set, VCPUS_EXIT);
	while (set->gone < set->started &&
	       !pthread_cond_timedwait(&set->changed, &set->lock.mutex,
				       &deadline))
		continue;
	all = set->gone == set->started;
	vcpu_lock_release(&set->lock);
	return all;
}

void vcpu_set_stop(struct vcpu_set *set)
{
	vcpu_lock_take(&set->lock);
	want_locked(set, VCPUS_EXIT);
	vcpu_lock_release(&set->lock);
	for (unsigned i = 0; i < set->started; i++)
		pthread_join(set->vcpu[i].thread, NULL);
	set->started = 0;
}

void vcpu_set_fini(struct vcpu_set *set)
{
	for (unsigned i = 0; i < set->count; i++)
		kvm_vcpu_destroy(&set->vcpu[i].kvm);
	pthread_cond_destroy(&set->changed);
	vcpu_lock_fini(&set->lock);
	late_lock_fini(&set->late_lock);
}
