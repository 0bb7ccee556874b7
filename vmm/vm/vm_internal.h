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
#include "vmm/vm/time_pages.h"
#include "vmm/vm/vcpu.h"
#include "vmm/vm/virtio_slots.h"
#include "vmm/vm/vm.h"

/* How to find out what changed in a mapped snapshot; for good, as the two do
 * not see the same in a page that was written and is as it was. */
enum vm_changes_by { BY_UNDECIDED, BY_PAGEMAP, BY_COMPARING };

struct vm {
	struct vm_host host;
	struct guest_mem mem;
	bool keep_memory; /* and this struct, beyond vm_destroy() */
	bool has_base;  /* all of it is in a snapshot, but for what is dirty */
	bool is_mapped; /* and that snapshot is mapped */
	enum vm_changes_by changes_by;
	/* By comparing: those that were not the snapshot's at any save; owned.
	 */
	uint64_t *differed[GUEST_MEM_REGIONS_MAX];
	uint8_t loaded[16], saved[16]; /* ids: where it is from, and its last */
	struct memory_mark mark;       /* of the one that is being written */
	struct uffd uffd;              /* or somebody serves it */
	struct vm_paging {
		struct prefault *prefault; /* NULL: nobody does */
		struct event_source server, tick;
		unsigned ticks, strikes;
		long served;
		bool is_awaited; /* what vm_restore_finish() touches */
	} paging;
	struct mmio_bus bus;
	struct kvm_vm kvm;
	struct arch_vm arch;
	struct arch_clock clock;
	struct vcpu_set vcpus;

	/* What vCPU threads tell: the guest's end, and that all have parked. */
	int told_fd;
	struct event_source told;
	/* What does not happen at once, and until when it must have. */
	enum vm_waits { VM_WAITS_FOR_NOTHING, VM_PAUSING, VM_ENDING } waits;
	struct event_source deadline;
	bool parking; /* vCPUs were asked to */
	unsigned pause_timeout_ms;
	uint64_t pause_deadline_ns; /* CLOCK_MONOTONIC */

	struct boot_timer boot_timer;
	struct rtc rtc;
	struct serial *serial; /* NULL: the command line has no console */
	struct gpio *gpio;
	struct virtio_slots virtio;
	int serial_irq_fd;
	struct time_pages time_pages;
};

/* vm_paging.c: pages come from the page server, which is watched. */
int vm_paging_start(struct vm *vm, struct err *e);
/* All vCPUs were told to end, and are given back from where they wait. */
void vm_paging_stop(struct vm *vm);
void vm_paging_unwatch(struct vm *vm);

/* What a VM that goes on takes from the one it was. */
struct vm_origin {
	const struct arch_saved *arch;
	const struct vm_ram_source *ram;
};

/* Its memory; @origin NULL: it will boot. */
struct vm *vm_build(const struct vm_config *config, const struct vm_host *host,
		    const struct vm_origin *origin, struct err *e);
/* The rest of it, vCPUs parked. */
int vm_build_machine(struct vm *vm, const struct vm_config *config,
		     struct err *e);

/* vm_run.c: be called by vCPU threads, or -1 with errno. */
int vm_listen(struct vm *vm);
/* Wait for nothing any more. */
void vm_stop_waiting(struct vm *vm);

/*
 * Create all devices and put them on the bus, in the order of their addresses.
 * What was made before a failure is for vm_destroy().
 */
/* The kinds of virtio devices there are; NULL after the last. */
enum { VM_KINDS_MAX = 8 };
const struct virtio_kind *vm_device_kind(unsigned i);

int vm_attach_devices(struct vm *vm, const struct vm_config *config,
		      struct err *e);
/* A snapshot tells last which interfaces are to be vhost's. */
int vm_restore_vhost(struct vm *vm, const struct vm_config *config,
		     struct err *e);
