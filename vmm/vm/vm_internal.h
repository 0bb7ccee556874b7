/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a VM, for the files that implement vm.h.  Main thread. */
#pragma once

#include <stdbool.h>

#include "arch/arch.h"
#include "core/io/loop.h"
#include "core/kvm/kvm.h"
#include "core/machine/mem.h"
#include "core/machine/mmio_bus.h"
#include "devices/boot_timer.h"
#include "devices/gpio.h"
#include "devices/rtc.h"
#include "devices/serial.h"
#include "snapshot/memory/memory_mark.h"
#include "snapshot/memory/uffd.h"
#include "vmm/vm/time/time_follow.h"
#include "vmm/vm/time/time_pages.h"
#include "vmm/vm/vcpu.h"
#include "vmm/vm/virtio_slots.h"
#include "vmm/vm/vm.h"

/*
 * How to find the pages that changed since a memory file was mapped.  Decided
 * once for the life of a VM, because the two disagree about a page that was
 * written and has its old contents again.
 */
enum vm_changes_by { BY_UNDECIDED, BY_PAGEMAP, BY_COMPARING };

struct vm {
	struct vm_host host;
	struct guest_mem mem;
	bool keep_memory; /* vm_destroy() leaves RAM and this struct */
	bool is_last;     /* it leaves what the process's end frees */
	/* A snapshot holds all of RAM but the pages that changed since. */
	bool has_base;
	bool is_mapped; /* RAM is a private mapping of a memory file */
	enum vm_changes_by changes_by;
	/* BY_COMPARING: pages that differed from the file at any earlier
	 * snapshot, a bit each; owned. */
	uint64_t *differed[GUEST_MEM_REGIONS_MAX];
	/* Snapshot ids: restored from; saved last. */
	uint8_t loaded[16], saved[16];
	struct memory_mark mark; /* of the snapshot being written */
	/* The guest has not run since .mark was made: its memory is that of the
	 * snapshot before, so the next one has the same id. */
	bool same_memory;
	struct uffd uffd; /* fd -1 unless a page server fills RAM */
	struct vm_paging {
		struct prefault *prefault; /* NULL: no page server */
		struct event_source server, tick;
		unsigned ticks, strikes; /* see vm_paging.c */
		long served;             /* pages, at the last tick */
		/* vm_restore_finish() waits for pages that it touches. */
		bool is_awaited;
	} paging;
	struct mmio_bus bus;
	struct kvm_vm kvm;
	struct arch_vm arch;
	struct arch_clock clock;
	struct vcpu_set vcpus;

	/* eventfd, written by vCPU threads: the guest has ended, or all vCPUs
	 * have parked. */
	int told_fd;
	char host_kernel[65]; /* its release; of uname() */
	struct event_source told;
	/* What the loop waits for. */
	enum vm_waits { VM_WAITS_FOR_NOTHING, VM_PAUSING, VM_ENDING } waits;
	struct event_source deadline; /* a timer, while the loop waits */
	bool parking;                 /* vCPUs have been asked to park */
	bool knocked; /* something that wakes a guest that sleeps */
	unsigned pause_timeout_ms;
	uint64_t pause_deadline_ns; /* CLOCK_MONOTONIC */

	struct boot_timer boot_timer;
	struct rtc rtc;
	struct serial *serial; /* NULL: the command line has no console */
	struct gpio *gpio;
	struct virtio_slots virtio;
	int serial_irq_fd;
	struct time_pages time_pages;
	struct time_follow time_follow;
};

/* vm_paging.c: start to fetch pages from the page server, and to watch it. */
int vm_paging_start(struct vm *vm, struct err *e);
/* Stop that, and fill missing pages with zeroes, so that no thread waits for
 * one.  All vCPU threads must have been asked to end before. */
void vm_paging_stop(struct vm *vm);
/* Stop watching the page server. */
void vm_paging_unwatch(struct vm *vm);

struct vm_saved;
/* vm_host_details.c: remove what describes this host from @saved, which is
 * about to be saved.  Its lists of drives and interfaces become copies that the
 * caller frees, also after a failure. */
int vm_host_details_omit(struct vm_saved *saved, struct err *e);

/* What a restored VM takes from its snapshot when it is built. */
struct vm_origin {
	const struct arch_saved *arch;
	const struct vm_ram_source *ram;
};

/* Create a VM and its memory; @origin NULL: it will boot. */
struct vm *vm_build(const struct vm_config *config, const struct vm_host *host,
		    const struct vm_origin *origin, struct err *e);
/* Then build the rest of it, without vCPU threads. */
int vm_build_machine(struct vm *vm, const struct vm_config *config,
		     struct err *e);
/* Last: confine the process, and start vCPU threads, which park. */
int vm_start_vcpus(struct vm *vm, const struct vm_config *config,
		   struct err *e);

/* vm_suspend.c: all vCPUs are parked.  If one asks to be suspended and may, the
 * guest sleeps (vm_is_suspended()). */
void vm_look_at_suspend(struct vm *vm);
/* vCPUs are about to be released: wake those that sleep. */
void vm_wake(struct vm *vm);
/* Call woken() if something has come. */
void vm_look_at_knock(struct vm *vm);

/* vm_run.c: create told_fd and watch it.  0, or negative with errno set. */
int vm_listen(struct vm *vm);
/* Disarm the deadline: the loop waits for nothing. */
void vm_stop_waiting(struct vm *vm);

/*
 * Create all devices and put them on the bus, in the order of their addresses.
 * On failure, vm_destroy() destroys those that were created.
 */
/* The kinds of virtio devices there are; NULL after the last. */
enum { VM_KINDS_MAX = 8 };
const struct virtio_kind *vm_device_kind(unsigned i);

int vm_attach_devices(struct vm *vm, const struct vm_config *config,
		      struct err *e);
/* Switch interfaces to vhost, once per VM: when it is created, or when its
 * state has been loaded, because the section that says which ones comes after
 * the devices. */
int vm_use_vhost(struct vm *vm, const struct vm_config *config, struct err *e);
