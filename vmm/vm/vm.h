/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual machine: created, booted, paused, resumed, destroyed.  All
 * functions and callbacks: main thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/arch.h"
#include "core/base/token_bucket.h"

struct err;
struct event_loop;
struct vm;
struct vm_config;

enum vm_end {
	VM_END_OFF,   /* the guest powered off */
	VM_END_RESET, /* the guest requested a reset */
	VM_END_ERROR, /* a vCPU failed and cannot run any more */
};

/* What a VM uses of the process that contains it. */
struct vm_host {
	const char *kvm_path; /* "/dev/kvm" */
	struct event_loop *loop;
	int serial_out;  /* fd for the guest's serial output; -1: none */
	int serial_room; /* eventfd: serial input has room again; -1: none */
	struct token_bucket_config serial_limit; /* of the serial output */
	unsigned serial_patience_ms;         /* as in struct serial_config */
	const struct responder_server *mmds; /* the metadata service */

	/* May be NULL.  All files of @config are open, and no vCPU thread has
	 * been created: confine the process, which then runs the guest.  What
	 * can fail afterwards does not need to open a file. */
	void (*confine)(void *context, const struct vm_config *config);
	/* Called from the loop, once, when the guest has ended; @reason is for
	 * people.  It may destroy the VM. */
	void (*ended)(void *context, enum vm_end end, const char *reason);
	/* Called from the loop when a pause completes that returned
	 * VM_PAUSE_LATER: @result is 0, or -1 and *e says why it failed.  Also
	 * without such a pause, when the guest has suspended itself. */
	void (*paused)(void *context, int result, const struct err *e);
	/* May be NULL.  Called from the loop: something else than stasis kept
	 * the guest from running (CLOCK_STALLED). */
	void (*stalled)(void *context, const struct arch_clock_event *stall);
	/* May be NULL.  Called from the loop after vm_await_wake(): something
	 * came that wakes a guest that sleeps. */
	void (*woken)(void *context);
	/* Called from the loop when the pages have arrived for which
	 * vm_restore_is_ready() returned false. */
	void (*ready)(void *context);
	void *context;
};

/* Create a VM with all its devices and vCPUs, which hold no guest state and
 * have no threads yet.  @config must stay valid until vm_boot() returns. */
struct vm *vm_create(const struct vm_config *config, const struct vm_host *host,
		     struct err *e);

/* Load kernel, initrd and device tree, and start vCPU 0. */
int vm_boot(struct vm *vm, const struct vm_config *config, struct err *e);

/*
 * Quiesce devices, park all vCPUs, and stop guest time.  Returns 0 when that is
 * done, or -1, in which case the guest keeps running.  VM_PAUSE_LATER if it
 * takes longer than 10 ms: then paused() of struct vm_host reports the result,
 * at most @timeout_ms after this call.
 */
enum { VM_PAUSE_LATER = 1 };
int vm_pause_within(struct vm *vm, unsigned timeout_ms, struct err *e);
/* Cancel a pause that returned VM_PAUSE_LATER and has not completed.  Does not
 * call paused().  No effect if there is none. */
void vm_cancel_pause(struct vm *vm);
/*
 * Does the VM stay paused because its guest has suspended itself?  Also after a
 * restore; until it is resumed, which wakes it.
 */
bool vm_is_suspended(const struct vm *vm);
/*
 * From now on woken() of struct vm_host is called when a frame, a program of
 * the host, or console input comes for the guest that sleeps, or its clock's
 * alarm. Again after each time, and after each pause.
 */
void vm_await_wake(struct vm *vm);
/* As vm_pause_within(), but blocks for up to 1 s: for callers that do not run
 * the loop. */
int vm_pause(struct vm *vm, struct err *e);
/* Check whether vm_resume() would reject @clock at this moment.  Changes
 * nothing. */
int vm_may_resume(const struct vm *vm, const struct clock_request *clock,
		  struct err *e);
/* Resume a paused VM; @clock NULL: as configured.  On failure the vCPUs stay
 * parked, because they must not run with a wrong clock. */
int vm_resume(struct vm *vm, const struct clock_request *clock, struct err *e);

/* Does a page server fill guest RAM (userfaultfd), so that touching a page may
 * block? */
bool vm_is_paged(const struct vm *vm);

/* Guest RAM; owned by @vm. */
const struct guest_mem *vm_memory(const struct vm *vm);

/* State and history of guest time; owned by @vm. */
const struct arch_clock *vm_clock(const struct vm *vm);
/* What the guest was told of the host's clock. */
const struct vmclock *vm_vmclock(const struct vm *vm);
/* Store the ids of the vCPUs' threads, at most ARCH_VCPUS_MAX; returns how many
 * there are. */
unsigned vm_vcpu_threads(const struct vm *vm, int *ids);

struct drive_patch;
struct interface_patch;

/* Change a device while the VM runs or is paused.  On failure nothing is
 * changed. */
int vm_patch_drive(struct vm *vm, const struct drive_patch *patch,
		   struct err *e);
int vm_patch_interface(struct vm *vm, const struct interface_patch *patch,
		       struct err *e);

struct virtio_device;

/* The balloon device, for the functions of balloon.h.  NULL and *e if there is
 * none. */
struct virtio_device *vm_balloon(const struct vm *vm, struct err *e);

/* Press the guest's power key: a guest that handles it shuts down. */
void vm_press_power(struct vm *vm);

bool vm_has_serial(const struct vm *vm);

/* Send input to the guest's serial console.  Returns how many bytes were
 * accepted. */
size_t vm_serial_receive(struct vm *vm, const uint8_t *data, size_t len);

/*
 * Make vm_destroy() leave guest RAM mapped, and vm_memory() valid, until the
 * process ends, because a thread that could not be joined may still read it.
 * NULL is fine.
 */
void vm_keep_memory(struct vm *vm);

/*
 * Prepare a VM for vm_destroy(): the guest does not run again, and threads that
 * wait for pages of the page server stop waiting.  Missing pages that they
 * waited for are filled with zeroes, so guest RAM must not be saved afterwards.
 */
void vm_abandon(struct vm *vm);

/*
 * The process ends after vm_destroy(): threads and devices end there, and what
 * the kernel frees at the end of a process is left to it, as it does that in
 * less time.  NULL is fine.
 */
void vm_is_last(struct vm *vm);

/* From any state; NULL is fine. */
void vm_destroy(struct vm *vm);
