/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only access to /dev/kvm.  A binary links exactly one implementation:
 * kvm_linux*.c in the product, tests/fake/kvm_fake.c in unit tests.
 *
 * Thin on purpose: one function per ioctl or idiom, named after it; Linux,
 * Documentation/virt/kvm/api.rst, says what each does.  Functions without a
 * `struct err` return 0 (or a descriptor, or a value) or -errno.
 *
 * Threads: a vCPU belongs to its own thread while that runs the guest, and to
 * the main thread while it is parked (vmm/vm/vcpu.c).  kvm_vcpu_kick() may be
 * called from any thread.
 */
#pragma once

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/machine/gpa.h"

struct err;
struct kvm_coalesced_mmio_ring;
struct kvm_run;
struct kvm_vcpu_init;

struct kvm_vm {
	int kvm_fd; /* /dev/kvm */
	int fd;     /* -1 until created */
	size_t run_size;
};

struct kvm_vcpu {
	int fd; /* -1 until created */
	unsigned index;
	struct kvm_run *run;
	size_t run_size;
	/* The coalesced-MMIO ring, one for all vCPUs; NULL if KVM has none. */
	struct kvm_coalesced_mmio_ring *late;
	_Atomic pid_t thread; /* the thread that a kick interrupts; 0: none */
	uint64_t left;        /* own thread only: see kvm_vcpu_left() */
	/* Own thread only: the host's counter when this thread last was known
	 * to run, and the ticks between two beats; 0: there are none. */
	uint64_t seen, beat;
	uint64_t ran;      /* with beats: its CPU time then, in ticks */
	bool missed_beats; /* see kvm_vcpu_unseen() */
	int run_errno;     /* after KVM_EXITED_ERROR: errno of KVM_RUN, or 0 */
};

/* ------------------------------------------------------------- the system */

/* Open @path (normally /dev/kvm) and check the API version.  Returns an fd. */
int kvm_open(const char *path, struct err *e);

/* KVM_CHECK_EXTENSION on /dev/kvm or on a VM; 0 means absent. */
int kvm_check(int fd, unsigned cap);

/*
 * Read the host's system counter (CNTVCT_EL0, whose offset is 0 on a host) in
 * program order.
 */
uint64_t kvm_counter_read(void);

/* CNTFRQ_EL0 of this host in Hz; 0 if this is not an arm64 build. */
uint32_t kvm_counter_hz(void);

/* -------------------------------------------------------------------- VMs */

/*
 * KVM_CREATE_VM.  @ipa_bits: width of guest-physical addresses; 0 for the
 * default of 40.
 */
int kvm_vm_create(struct kvm_vm *vm, int kvm_fd, unsigned ipa_bits,
		  struct err *e);

/* Close the VM, but not /dev/kvm. */
void kvm_vm_destroy(struct kvm_vm *vm);

/* KVM_ENABLE_CAP, without arguments. */
int kvm_vm_enable(struct kvm_vm *vm, unsigned cap);

/* KVM_SET_USER_MEMORY_REGION.  @log: keep a dirty log of the slot. */
int kvm_vm_set_memory(struct kvm_vm *vm, unsigned slot, gpa_t gpa,
		      uint64_t size, void *host, bool log, struct err *e);

/*
 * KVM_GET_DIRTY_LOG: one bit for each page of @slot that the guest wrote since
 * the last call.
 */
int kvm_vm_dirty_log(struct kvm_vm *vm, unsigned slot, uint64_t *bitmap);

/* irqfd: a write to @eventfd raises @gsi (an SPI number), edge-triggered. */
int kvm_vm_irqfd(struct kvm_vm *vm, int eventfd, unsigned gsi);

/* Raise the edge-triggered interrupt @spi once. */
void kvm_vm_irq_pulse(struct kvm_vm *vm, unsigned spi);

/*
 * ioeventfd: a guest write of the 4-byte @value to @gpa signals @eventfd and
 * does not end kvm_vcpu_run().
 */
int kvm_vm_ioeventfd(struct kvm_vm *vm, int eventfd, gpa_t gpa, uint32_t value);

/*
 * Coalesced MMIO: from now on KVM batches 4-byte writes to @gpa in a ring
 * instead of ending kvm_vcpu_run(); kvm_vcpu_late_write() reads the ring.  Some
 * writes may still exit, for example while the ring is full.  -errno without
 * KVM_CAP_COALESCED_MMIO.
 */
int kvm_vm_tell_late(struct kvm_vm *vm, gpa_t gpa);

/*
 * KVM_ARM_SET_COUNTER_OFFSET: KVM subtracts @offset from the host's counter to
 * get the guest's virtual and physical counters.  -EBUSY while any thread is
 * inside a vCPU ioctl.
 */
int kvm_vm_set_counter_offset(struct kvm_vm *vm, uint64_t offset);

/* KVM_ARM_PREFERRED_TARGET. */
int kvm_vm_preferred_target(struct kvm_vm *vm, struct kvm_vcpu_init *init);

/*
 * KVM_CREATE_DEVICE: returns the device's fd.  @test: only check that KVM
 * supports the type; nothing is created.
 */
int kvm_vm_create_device(struct kvm_vm *vm, unsigned type, bool test);

/* KVM_{SET,GET}_DEVICE_ATTR on a device, a vCPU or a VM. */
int kvm_set_attr(int fd, unsigned group, uint64_t attr, const void *value);
int kvm_get_attr(int fd, unsigned group, uint64_t attr, void *value);

/* ------------------------------------------------------------------ vCPUs */

/*
 * KVM_CREATE_VCPU, and map its struct kvm_run.  Call kvm_vcpu_destroy() also
 * after a failure.
 */
int kvm_vcpu_create(struct kvm_vm *vm, struct kvm_vcpu *vcpu, unsigned index,
		    struct err *e);
void kvm_vcpu_destroy(struct kvm_vcpu *vcpu);

/* KVM_ARM_VCPU_INIT, KVM_ARM_VCPU_FINALIZE. */
int kvm_vcpu_init(struct kvm_vcpu *vcpu, const struct kvm_vcpu_init *init);
int kvm_vcpu_finalize(struct kvm_vcpu *vcpu, int feature);

/* KVM_{GET,SET}_ONE_REG.  @id encodes the size of *value. */
int kvm_vcpu_get_reg(struct kvm_vcpu *vcpu, uint64_t id, void *value);
int kvm_vcpu_set_reg(struct kvm_vcpu *vcpu, uint64_t id, const void *value);

/*
 * KVM_GET_REG_LIST: store the ids of all registers in @ids, which has room for
 * @max, and their number in *count.  -E2BIG if there are more than @max; *count
 * is their number then, too.
 */
int kvm_vcpu_reg_list(struct kvm_vcpu *vcpu, uint64_t *ids, unsigned max,
		      unsigned *count);

/* KVM_{GET,SET}_MP_STATE: KVM_MP_STATE_RUNNABLE and so on. */
int kvm_vcpu_get_mp_state(struct kvm_vcpu *vcpu, uint32_t *state);
int kvm_vcpu_set_mp_state(struct kvm_vcpu *vcpu, uint32_t state);

/* KVM_{GET,SET}_VCPU_EVENTS: a pending SError. */
struct kvm_serror {
	bool pending, has_esr;
	uint64_t esr;
};
int kvm_vcpu_get_serror(struct kvm_vcpu *vcpu, struct kvm_serror *serror);
int kvm_vcpu_set_serror(struct kvm_vcpu *vcpu, const struct kvm_serror *serror);

/* Make the guest's last access take a synchronous external abort. */
int kvm_vcpu_inject_abort(struct kvm_vcpu *vcpu);

enum kvm_exit {
	KVM_EXITED_MMIO,        /* see kvm_vcpu_mmio() */
	KVM_EXITED_NO_SYNDROME, /* a device access KVM could not decode */
	KVM_EXITED_INTERRUPTED, /* by kvm_vcpu_kick() or another signal */
	KVM_EXITED_OFF,         /* PSCI SYSTEM_OFF */
	KVM_EXITED_RESET,       /* PSCI SYSTEM_RESET, SYSTEM_RESET2 */
	KVM_EXITED_SUSPEND,     /* PSCI SYSTEM_SUSPEND; see arch.h */
	KVM_EXITED_ERROR,       /* this vCPU cannot continue */
};

/* KVM_RUN: run the guest until it exits.  On the vCPU's thread. */
enum kvm_exit kvm_vcpu_run(struct kvm_vcpu *vcpu);

struct kvm_mmio {
	gpa_t gpa;
	unsigned len; /* 1, 2, 4 or 8 */
	bool is_write;
	uint64_t value; /* only if is_write */
};

/*
 * After KVM_EXITED_MMIO: the guest's access.  Answer a read with
 * kvm_vcpu_mmio_answer(); the next kvm_vcpu_run() completes it.
 */
void kvm_vcpu_mmio(const struct kvm_vcpu *vcpu, struct kvm_mmio *mmio);
void kvm_vcpu_mmio_answer(struct kvm_vcpu *vcpu, uint64_t value);

/*
 * The oldest write in the coalesced-MMIO ring, by any vCPU of the VM; it stays
 * in the ring until kvm_vcpu_late_done().  False if the ring is empty.  Any
 * thread may check for that; only one thread at a time may take writes.
 */
bool kvm_vcpu_late_write(const struct kvm_vcpu *vcpu, struct kvm_mmio *mmio);
void kvm_vcpu_late_done(struct kvm_vcpu *vcpu);

/*
 * After KVM_EXITED_NO_SYNDROME: the address of the access.  After
 * KVM_EXITED_ERROR: the reason, in words, for a message.
 */
gpa_t kvm_vcpu_fault_gpa(const struct kvm_vcpu *vcpu);
void kvm_vcpu_explain(const struct kvm_vcpu *vcpu, char *text, size_t size);

/*
 * Make kvm_vcpu_run() return KVM_EXITED_INTERRUPTED, now or at the next call,
 * until kvm_vcpu_clear_kick().  Any thread may kick.
 */
void kvm_vcpu_kick(struct kvm_vcpu *vcpu);
void kvm_vcpu_clear_kick(struct kvm_vcpu *vcpu);

/*
 * After kvm_vcpu_run(): the earliest known reading of the host's counter since
 * the guest last ran.  Early, because guest time runs until this reading while
 * the guest itself does not.  On the vCPU's thread.
 */
uint64_t kvm_vcpu_left(const struct kvm_vcpu *vcpu);

/*
 * Whether something else than a kick keeps a vCPU from running (SIGSTOP, the
 * cgroup freezer, a debugger, a host that sleeps) is only seen afterwards,
 * because KVM_RUN is interrupted then.  When the stop began is not, so beats
 * bound it: a timer interrupts the vCPU KVM_BEATS_PER_S times a second, except
 * while it is parked.  A vCPU that missed beats does not enter the guest again
 * before kvm_vcpu_clear_kick(), so the guest never sees the time of the stop.
 *
 * kvm_vcpu_start_beats(): on the vCPU's thread, before its first
 * kvm_vcpu_run().
 */
enum { KVM_BEATS_PER_S = 10, KVM_STALL_BEATS = 5 };
int kvm_vcpu_start_beats(struct kvm_vcpu *vcpu);
/* @parked: beats do not wake this thread.  On the vCPU's thread. */
void kvm_vcpu_hold_beats(const struct kvm_vcpu *vcpu, bool parked);
/*
 * After KVM_EXITED_INTERRUPTED: the host's counter when the vCPU was last known
 * to run, if it may not have run for more than KVM_STALL_BEATS since; otherwise
 * 0.  With beats kvm_vcpu_left() is then the latest moment at which the guest
 * can have run.
 */
uint64_t kvm_vcpu_unseen(const struct kvm_vcpu *vcpu);

/*
 * Kicks are delivered as a signal.  Call kvm_prepare_kicks() once, before
 * threads exist.  A thread that runs a vCPU must not block the signal
 * (kvm_unmask_kicks() removes it from a mask), calls kvm_vcpu_set_thread()
 * before its first kvm_vcpu_run(), and must outlive the last kick.
 */
int kvm_prepare_kicks(void);
void kvm_unmask_kicks(sigset_t *blocked);
void kvm_vcpu_set_thread(struct kvm_vcpu *vcpu);
