/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one door to /dev/kvm.  A binary links exactly one implementation:
 * kvm_linux*.c when it ships, tests/fake/kvm_fake.c when it is a unit test.
 *
 * Thin on purpose: one function per ioctl or idiom, named after it; see
 * Documentation/virt/kvm/api.rst of Linux for what each means.  Functions
 * without a `struct err` return 0 (or a descriptor, or a value) or -errno.
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
	struct kvm_coalesced_mmio_ring *late; /* all vCPUs' same; may be NULL */
	_Atomic pid_t thread; /* whom a kick interrupts; 0: nobody yet */
	uint64_t left;        /* own thread: see kvm_vcpu_left() */
	int run_errno; /* after KVM_EXITED_ERROR: why KVM_RUN failed, or 0 */
};

/* ------------------------------------------------------------- the system */

/* Open @path (normally /dev/kvm) and check the API version.  Gives an fd. */
int kvm_open(const char *path, struct err *e);

/* KVM_CHECK_EXTENSION on /dev/kvm or on a VM; 0 means absent. */
int kvm_check(int fd, unsigned cap);

/*
 * The host's system counter (CNTVCT_EL0, which has no offset on a host), read
 * in program order.
 */
uint64_t kvm_counter_read(void);

/* CNTFRQ_EL0 of this host in Hz; 0 where there is no such register. */
uint32_t kvm_counter_hz(void);

/* -------------------------------------------------------------------- VMs */

/* @ipa_bits: guest-physical address width, 0 for the default of 40. */
int kvm_vm_create(struct kvm_vm *vm, int kvm_fd, unsigned ipa_bits,
		  struct err *e);
/* Closes the VM, not /dev/kvm. */
void kvm_vm_destroy(struct kvm_vm *vm);
int kvm_vm_enable(struct kvm_vm *vm, unsigned cap);
/* @log: keep a log of what the guest writes there. */
int kvm_vm_set_memory(struct kvm_vm *vm, unsigned slot, gpa_t gpa,
		      uint64_t size, void *host, bool log, struct err *e);
/* KVM_GET_DIRTY_LOG: the pages of @slot written since the last time, a bit
 * each. */
int kvm_vm_dirty_log(struct kvm_vm *vm, unsigned slot, uint64_t *bitmap);
/* A write to @eventfd raises interrupt @gsi (SPI number), edge-triggered. */
int kvm_vm_irqfd(struct kvm_vm *vm, int eventfd, unsigned gsi);
/* Raise interrupt @spi, edge-triggered, once. */
void kvm_vm_irq_pulse(struct kvm_vm *vm, unsigned spi);
/* A write of the word @value to @gpa signals @eventfd, and nothing else. */
int kvm_vm_ioeventfd(struct kvm_vm *vm, int eventfd, gpa_t gpa, uint32_t value);
/*
 * From now on writes of words to @gpa are told late: they do not end
 * kvm_vcpu_run(), and kvm_vcpu_late_write() has them.  -errno where there is no
 * KVM_CAP_COALESCED_MMIO; some may end it nonetheless.
 */
int kvm_vm_tell_late(struct kvm_vm *vm, gpa_t gpa);
/* What both of the guest's counters lag behind the host's.  -EBUSY while any
 * thread is inside a vCPU ioctl. */
int kvm_vm_set_counter_offset(struct kvm_vm *vm, uint64_t offset);
int kvm_vm_preferred_target(struct kvm_vm *vm, struct kvm_vcpu_init *init);

/* KVM_CREATE_DEVICE: the device's fd.  With @test nothing is created. */
int kvm_vm_create_device(struct kvm_vm *vm, unsigned type, bool test);

/* KVM_{SET,GET}_DEVICE_ATTR on a device, a vCPU or a VM. */
int kvm_set_attr(int fd, unsigned group, uint64_t attr, const void *value);
int kvm_get_attr(int fd, unsigned group, uint64_t attr, void *value);

/* ------------------------------------------------------------------ vCPUs */

int kvm_vcpu_create(struct kvm_vm *vm, struct kvm_vcpu *vcpu, unsigned index,
		    struct err *e);
void kvm_vcpu_destroy(struct kvm_vcpu *vcpu);
int kvm_vcpu_init(struct kvm_vcpu *vcpu, const struct kvm_vcpu_init *init);
int kvm_vcpu_finalize(struct kvm_vcpu *vcpu, int feature);
/* @value has the size that @id says. */
int kvm_vcpu_get_reg(struct kvm_vcpu *vcpu, uint64_t id, void *value);
int kvm_vcpu_set_reg(struct kvm_vcpu *vcpu, uint64_t id, const void *value);
/*
 * KVM_GET_REG_LIST: the ids of all registers; at most @max, of which there are
 * *count.  -E2BIG: there are more; then *count says how many.
 */
int kvm_vcpu_reg_list(struct kvm_vcpu *vcpu, uint64_t *ids, unsigned max,
		      unsigned *count);
/* KVM_{GET,SET}_MP_STATE: KVM_MP_STATE_RUNNABLE and the like. */
int kvm_vcpu_get_mp_state(struct kvm_vcpu *vcpu, uint32_t *state);
int kvm_vcpu_set_mp_state(struct kvm_vcpu *vcpu, uint32_t state);
/* A pending SError: KVM_{GET,SET}_VCPU_EVENTS. */
struct kvm_serror {
	bool pending, has_esr;
	uint64_t esr;
};
int kvm_vcpu_get_serror(struct kvm_vcpu *vcpu, struct kvm_serror *serror);
int kvm_vcpu_set_serror(struct kvm_vcpu *vcpu, const struct kvm_serror *serror);
/* The guest's last access takes a synchronous external abort. */
int kvm_vcpu_inject_abort(struct kvm_vcpu *vcpu);

enum kvm_exit {
	KVM_EXITED_MMIO,        /* see kvm_vcpu_mmio() */
	KVM_EXITED_NO_SYNDROME, /* a device access KVM could not decode */
	KVM_EXITED_INTERRUPTED, /* kicked, or a signal */
	KVM_EXITED_OFF,         /* PSCI SYSTEM_OFF */
	KVM_EXITED_RESET,       /* PSCI SYSTEM_RESET, SYSTEM_RESET2 */
	KVM_EXITED_ERROR,       /* this vCPU cannot go on */
};

/* KVM_RUN. */
enum kvm_exit kvm_vcpu_run(struct kvm_vcpu *vcpu);

struct kvm_mmio {
	gpa_t gpa;
	unsigned len; /* 1, 2, 4 or 8 */
	bool is_write;
	uint64_t value; /* if is_write */
};

/* After KVM_EXITED_MMIO: what the guest did.  A read is answered with
 * kvm_vcpu_mmio_answer(), and is complete at the next kvm_vcpu_run(). */
void kvm_vcpu_mmio(const struct kvm_vcpu *vcpu, struct kvm_mmio *mmio);
void kvm_vcpu_mmio_answer(struct kvm_vcpu *vcpu, uint64_t value);

/*
 * The oldest write, of any vCPU of the VM, that is told late; kept until
 * kvm_vcpu_late_done().  False if there is none: that any thread may ask.  One
 * thread at a time may take them.
 */
bool kvm_vcpu_late_write(const struct kvm_vcpu *vcpu, struct kvm_mmio *mmio);
void kvm_vcpu_late_done(struct kvm_vcpu *vcpu);

/* After KVM_EXITED_NO_SYNDROME: the address; after KVM_EXITED_ERROR: why, in
 * words. */
gpa_t kvm_vcpu_fault_gpa(const struct kvm_vcpu *vcpu);
void kvm_vcpu_explain(const struct kvm_vcpu *vcpu, char *text, size_t size);

/*
 * Make kvm_vcpu_run() return KVM_EXITED_INTERRUPTED, now or when it is next
 * called, until kvm_vcpu_clear_kick().
 */
void kvm_vcpu_kick(struct kvm_vcpu *vcpu);
void kvm_vcpu_clear_kick(struct kvm_vcpu *vcpu);

/*
 * After kvm_vcpu_run(): the host's counter at a moment after the guest ran
 * last, as early as is known: what comes later is lost to the guest.  On the
 * vCPU's thread.
 */
uint64_t kvm_vcpu_left(const struct kvm_vcpu *vcpu);

/*
 * Kicks arrive as a signal: prepare once, before threads are made; threads
 * that run vCPUs must not block it; each calls kvm_vcpu_set_thread() before it
 * runs one, and lives as long as it may be kicked.
 */
int kvm_prepare_kicks(void);
void kvm_unmask_kicks(sigset_t *blocked);
void kvm_vcpu_set_thread(struct kvm_vcpu *vcpu);
