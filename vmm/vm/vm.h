/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual machine: built, booted, paused, resumed, ended.  All of it is
 * the main thread's.
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
	VM_END_RESET, /* the guest asked for a reset */
	VM_END_ERROR, /* a vCPU cannot go on */
};

/* What a VM uses of the process it lives in. */
struct vm_host {
	const char *kvm_path; /* "/dev/kvm" */
	struct event_loop *loop;
	int serial_out;  /* fd for what the guest prints; -1: nowhere */
	int serial_room; /* eventfd: the guest made room for input; -1: none */
	struct token_bucket_config serial_limit; /* of what it prints */
	unsigned serial_patience_ms; /* with who reads it; 0: without end */

	/* From the loop, once; @reason is for people.  It may destroy the VM.
	 */
	void (*ended)(void *context, enum vm_end end, const char *reason);
	/* From the loop: how a pause ended that took its time: 0, or -1 and
	 * why it failed. */
	void (*paused)(void *context, int result, const struct err *e);
	/* From the loop, once vm_restore_is_ready(), if it was not. */
	void (*ready)(void *context);
	void *context;
};

/* A VM with all its parts, whose vCPUs are parked and hold no guest state.
 * @config is used only until vm_boot() returns. */
struct vm *vm_create(const struct vm_config *config, const struct vm_host *host,
		     struct err *e);

/* Load kernel, initrd and device tree, and let vCPU 0 start. */
int vm_boot(struct vm *vm, const struct vm_config *config, struct err *e);

/*
 * Bring all vCPUs to rest, and guest time with them: 0, or -1, and then they
 * run on.  VM_PAUSE_LATER if they take longer than a moment: then paused() of
 * struct vm_host tells the end of it, at most @timeout_ms after the call.
 */
enum { VM_PAUSE_LATER = 1 };
int vm_pause_within(struct vm *vm, unsigned timeout_ms, struct err *e);
/* A pause that is being waited for does not take place; else nothing. */
void vm_cancel_pause(struct vm *vm);
/* The same, waiting up to a second: for who has no loop. */
int vm_pause(struct vm *vm, struct err *e);
/* As things are, would vm_resume() refuse?  Changes nothing. */
int vm_may_resume(const struct vm *vm, const struct clock_request *clock,
		  struct err *e);
/* Let them run; @clock NULL: as configured.  On failure they stay paused:
 * never with a wrong clock. */
int vm_resume(struct vm *vm, const struct clock_request *clock, struct err *e);

/* May pages of it be elsewhere until they are touched? */
bool vm_is_paged(const struct vm *vm);

/* Its RAM. */
const struct guest_mem *vm_memory(const struct vm *vm);

/* Guest time as it is. */
const struct arch_clock *vm_clock(const struct vm *vm);

struct drive_patch;
struct interface_patch;

/* Change a device while it runs or is paused; nothing is changed on failure. */
int vm_patch_drive(struct vm *vm, const struct drive_patch *patch,
		   struct err *e);
int vm_patch_interface(struct vm *vm, const struct interface_patch *patch,
		       struct err *e);

struct virtio_device;

/* Its balloon, for what can be done with one; NULL if it has none. */
struct virtio_device *vm_balloon(const struct vm *vm, struct err *e);

/* Press its power key: a guest that listens shuts down. */
void vm_press_power(struct vm *vm);

bool vm_has_serial(const struct vm *vm);

/* Type at the guest's serial console: how many bytes it took. */
size_t vm_serial_receive(struct vm *vm, const uint8_t *data, size_t len);

/*
 * A thread that cannot be waited for may still look at guest RAM: vm_destroy()
 * is to leave that, and vm_memory(), until the process ends.  NULL is fine.
 */
void vm_keep_memory(struct vm *vm);

/*
 * It is about to be destroyed: its guest does not run again, and nobody waits
 * for its pages any more.  If any of those were missing, its memory is not what
 * it was.
 */
void vm_abandon(struct vm *vm);

/* From any state; NULL is fine. */
void vm_destroy(struct vm *vm);
