/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that the rest of the tree may know about the guest's architecture.
 * arch/aarch64/ implements it.
 *
 * Called on the main thread, while no vCPU runs, unless said otherwise.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/machine/mem.h"

struct err;
struct kvm_vcpu;
struct kvm_vm;

enum { ARCH_VCPUS_MAX = 32, ARCH_VIRTIO_MAX = 64 };

/* The fixed part of the guest's address map. */
struct arch_layout {
	gpa_t boot_timer, rtc, serial, gpio;
	uint64_t device_size; /* of each window */
	gpa_t virtio;         /* the first of ARCH_VIRTIO_MAX windows */
	unsigned serial_irq;  /* as KVM_IRQFD wants it */
	unsigned gpio_irq, rtc_irq;
	gpa_t vmclock, vmgenid; /* pages in RAM that the guest does not use */
	unsigned vmclock_irq, vmgenid_irq;
	unsigned virtio_irq; /* of the first; the others follow */
	gpa_t reserved;      /* RAM kept for the VMM, of which it uses little */
	uint64_t reserved_size;
	gpa_t snapshot_id;    /* there: 16 bytes that mark RAM in a file */
	uint64_t ram_min;     /* bytes */
	unsigned cmdline_max; /* characters */
	const char *console;  /* argument for `console=` */
};
extern const struct arch_layout arch_layout;

/* AUTO: on if the host has it (PMU and nested virtualisation: off). */
enum arch_toggle { ARCH_AUTO, ARCH_ON, ARCH_OFF };

enum arch_feature {
	ARCH_SVE,
	ARCH_PAUTH,
	ARCH_PMU,
	ARCH_NESTED, /* vCPUs have EL2, and start there */
	ARCH_FEATURE_COUNT
};

/* "sve" ...: the names by which people switch them. */
extern const char *const arch_feature_name[ARCH_FEATURE_COUNT];

/* Which feature bit @bit of KVM's struct kvm_vcpu_init switches; false: none
 * that may be chosen. */
bool arch_feature_of_bit(unsigned bit, enum arch_feature *feature);

/* Change these bits of a vCPU's register before it boots. */
struct arch_reg_modifier {
	uint64_t id; /* as KVM_GET_ONE_REG has it */
	uint64_t mask[2], value[2];
};
enum { ARCH_REG_MODIFIERS_MAX = 64 };

/* Bits in a register with this id: 32, 64 or 128; 0: it cannot be modified. */
unsigned arch_reg_bits(uint64_t id);

/* Of a VM that was saved: how the one that continues it must be built. */
struct arch_saved {
	uint32_t target, features; /* as in struct kvm_vcpu_init */
	uint32_t gic_version;
	bool pvtime;
	uint64_t vector_lengths[8]; /* SVE's, as KVM_REG_ARM64_SVE_VLS */
};

/* What a VM is made of, below devices.  Embedded in struct vm. */
struct arch_vm {
	/* Set by the caller. */
	unsigned vcpu_count;
	const struct arch_saved *saved; /* NULL: nothing is continued */
	enum arch_toggle want[ARCH_FEATURE_COUNT];
	const struct arch_reg_modifier *modifier; /* used by _vcpu_init() */
	unsigned modifier_count;

	/* Set by arch_vm_init() and arch_irqchip_init(). */
	bool has[ARCH_FEATURE_COUNT];
	bool pvtime;
	uint32_t target, features;
	unsigned gic_version;                  /* 2 or 3 */
	int gic_fd;                            /* -1 until created */
	struct kvm_vcpu *vcpu[ARCH_VCPUS_MAX]; /* by arch_vcpu_init() */
};

enum clock_policy {
	CLOCK_FROZEN,     /* the guest does not notice the pause */
	CLOCK_CONTINUOUS, /* the pause counts as elapsed */
	CLOCK_SET,        /* for tests: the counter goes on from a value */
};

/* What the guest's physical counter shows. */
enum clock_physical {
	CLOCK_PHYSICAL_ANY,   /* the guest's time if the host can do that */
	CLOCK_PHYSICAL_GUEST, /* the guest's time: what the virtual one shows */
	CLOCK_PHYSICAL_HOST,  /* the host's counter */
};

enum { CLOCK_MAX_JUMP_MS = 600000 }; /* what Linux guests are made for */

/* What becomes of guest time, chosen before the VM exists. */
struct clock_config {
	enum clock_policy on_pause, on_restore; /* never CLOCK_SET */
	enum clock_physical physical;
	uint64_t max_jump_ms; /* time that jumps further is refused */
};

/* The same for one operation. */
struct clock_request {
	enum clock_policy policy;
	uint64_t ticks; /* of CLOCK_SET */
	bool has_max_jump;
	uint64_t max_jump_ms; /* instead of the VM's, if has_max_jump */
	bool unsynchronized;  /* clocks that nobody keeps right are good enough
			       */
};

/* What was done to guest time, and how well that is known. */
struct arch_clock_event {
	enum {
		CLOCK_BOOTED,
		CLOCK_STOPPED,
		CLOCK_WENT_ON,
		CLOCK_RESTORED, /* it went on, as a snapshot */
	} kind;
	enum clock_policy policy; /* of a resume */
	uint64_t realtime_ns;     /* of the host, since 1970 */
	uint64_t host, guest;     /* both counters, at the same moment */
	uint64_t offset;
	uint64_t error_ticks; /* the offset may be so much more: 0 if exact */
	/* A pause: from asking vCPUs to stop to the last having done so.  A
	 * resume: from the moment above to all having been released.  The guest
	 * ran, or its counter did without it, for no longer than this. */
	uint64_t late_ticks;
	uint64_t paused_ticks; /* a resume: of the host, since the pause */
	uint64_t jump_ticks;   /* of these, what the guest will see */
};

enum { CLOCK_HISTORY_MAX = 16 };

/*
 * Guest time.  A pause stops it, a resume sets it going; boot is a resume at
 * zero.  Plain data, so that a snapshot can carry it.
 */
struct arch_clock {
	struct clock_config config;
	bool has_offset; /* KVM_ARM_SET_COUNTER_OFFSET: both counters, exact */
	uint32_t hz;
	uint64_t offset; /* what KVM subtracts from the host's counter; without
			  * has_offset up to error_ticks more */
	uint64_t error_ticks;

	/* When the last vCPU had parked: the host's counter, the guest's, the
	 * offset; and whether a resume that failed has changed that since. */
	uint64_t host_stopped, guest_stopped, offset_stopped;
	bool moved;

	/* After a restore, until it goes on; and whether how long ago it
	 * stopped is only known by wall clocks, which may be wrong by so
	 * much, or by anything. */
	bool restored, estimated, unsynchronized;
	uint64_t elapsed_error_ns;

	/* Told to operators. */
	uint64_t pauses, resumes;
	uint64_t frozen_ticks, longest_jump_ticks;
	uint64_t busy_retries, verify_failures;
	uint64_t
		stopping; /* the host's counter when vCPUs were asked to stop */
	/* The latest of all event_count, each at its number modulo the size. */
	struct arch_clock_event history[CLOCK_HISTORY_MAX];
	uint64_t event_count;
};

/* Right after the VM is created, before any vCPU is. */
int arch_clock_pin(struct arch_clock *clock, struct kvm_vm *vm,
		   const struct clock_config *config, struct err *e);

/* Before vCPUs are asked to park. */
void arch_clock_stopping(struct arch_clock *clock);

/* When the last vCPU has parked, and @left was the host's counter when the last
 * had left the guest; @vcpu is any of them. */
int arch_clock_stop(struct arch_clock *clock, struct kvm_vcpu *vcpu,
		    uint64_t left, struct err *e);

/*
 * The last act before vCPUs are released; @request NULL: what is configured for
 * a pause.  On failure they must not be: their time would be wrong.  It can be
 * tried again, with another request.
 */
int arch_clock_start(struct arch_clock *clock, struct kvm_vm *vm,
		     struct kvm_vcpu *vcpu, const struct clock_request *request,
		     struct err *e);

/* As things are, would arch_clock_start() refuse the request?  Changes
 * nothing. */
int arch_clock_may_start(const struct arch_clock *clock,
			 const struct clock_request *request, struct err *e);

/* Would arch_clock_start() move the guest's time relative to the host's? */
bool arch_clock_moves(const struct arch_clock *clock,
		      const struct clock_request *request);

/* When they are released. */
void arch_clock_started(struct arch_clock *clock);

/* A reading of the host's counter, and of its clock at that moment. */
struct arch_clock_sample {
	uint64_t host;
	uint64_t tai_sec;   /* since 1970 */
	uint32_t tai_ns;    /* and nanoseconds */
	int tai_offset;     /* TAI minus UTC, seconds */
	bool synchronized;  /* with something better than itself, so that */
	uint64_t max_error; /* it is wrong by so many nanoseconds at most */
};

/* From any thread. */
void arch_clock_sample(struct arch_clock_sample *sample);

/* What the guest's counter shows when the host's shows @host. */
uint64_t arch_clock_guest(const struct arch_clock *clock, uint64_t host);

/* Ticks of the counter as nanoseconds; saturates. */
uint64_t arch_clock_ns(const struct arch_clock *clock, uint64_t ticks);

/* The host's counter, and clocks of it at that moment, in nanoseconds. */
struct arch_clock_pair {
	uint64_t host, width_ticks; /* give or take half of that */
	uint64_t monotonic_raw_ns;
	uint64_t realtime_ns;
};
void arch_clock_pair(struct arch_clock_pair *pair);

/* A guest that maps @size bytes of a page at @host uncached sees what was
 * written. */
void arch_clean_cache(void *host, uint64_t size);

/* --------------------------------------------------------- building a VM */

/*
 * Where @size bytes of RAM go, and how wide guest-physical addresses must be
 * for it on the host behind @kvm_fd.  Gives how many regions, or -1.
 */
int arch_ram_regions(int kvm_fd, uint64_t size, struct guest_mem_region *region,
		     unsigned *ipa_bits, struct err *e);

/* In the order in which a VM is built. */
int arch_vm_init(struct arch_vm *a, struct kvm_vm *vm, struct err *e);
int arch_vcpu_init(struct arch_vm *a, struct kvm_vcpu *vcpu, struct err *e);
/* When all vCPUs exist. */
int arch_irqchip_init(struct arch_vm *a, struct kvm_vm *vm, struct err *e);
void arch_vm_fini(struct arch_vm *a);

/* ---------------------------------------------------------------- snapshots */

struct snap;

/*
 * When the host booted: CLOCK_REALTIME minus CLOCK_BOOTTIME, which only setting
 * the wall clock changes (NTP's slewing moves both).  So to the microsecond it
 * stands for one boot of one host, for who cannot read the kernel's boot id.
 */
struct arch_clock_boot {
	uint64_t ns;       /* since 1970; 0: not known */
	uint32_t width_ns; /* of the reading: it is off by half of that */
};
void arch_clock_boot(struct arch_clock_boot *boot);

/* Guest time that stopped, of a VM that is paused. */
struct arch_clock_record {
	uint32_t hz;
	uint64_t offset, host_stopped, guest_stopped;
	char boot_id[40]; /* of the host; empty if it does not say */
	struct arch_clock_boot boot;
	struct arch_clock_sample sample; /* from after it stopped */
};
int arch_clock_record(const struct arch_clock *clock,
		      struct arch_clock_record *record, struct err *e);
void arch_clock_record_state(struct arch_clock_record *record, struct snap *s);
/* The rest of it: its .boot, since format 1.2. */
void arch_clock_boot_state(struct arch_clock_record *record, struct snap *s);

/* Of a VM just created: it is paused where the record says.  Its next start is
 * by default as the clock's on_restore says. */
int arch_clock_restore(struct arch_clock *clock,
		       const struct arch_clock_record *record, struct err *e);

/* How this VM is built, to be saved; or loaded, and given to arch_vm_init(). */
int arch_saved_get(const struct arch_vm *a, struct arch_saved *saved,
		   struct err *e);
void arch_saved_state(struct arch_saved *saved, struct snap *s);

/*
 * Save, or load into a VM that was built the same way and has not run: while
 * all vCPUs are parked.  What KVM or the snapshot refuses is named in *e; the
 * VM is of no use then.  The counters are left out: struct arch_clock has them.
 */
int arch_vcpu_state(struct kvm_vcpu *vcpu, struct snap *s, struct err *e);
/* After all vCPUs. */
int arch_irqchip_state(struct arch_vm *a, struct snap *s, struct err *e);

/* ------------------------------------------------------------------- boot */

/* What the guest is told about itself. */
struct arch_topology {
	struct guest_mem *mem;
	const char *cmdline;
	gpa_t initrd;
	uint64_t initrd_size; /* 0: none */
	bool serial;
	bool no_kaslr;         /* no seed for where the kernel goes */
	bool raw;              /* the kernel is: RAM is as it expects */
	unsigned virtio_count; /* devices, in the first windows */
};

/*
 * A kernel.  What is raw has no header that anybody looks at: it is put into
 * RAM and entered with the address of the device tree in the first argument's
 * register.
 */
struct arch_kernel {
	bool raw;
	gpa_t load;       /* of what is raw, where it goes; 0: where it fits */
	gpa_t enter;      /* and where it is entered; 0: at its first byte */
	gpa_t entry, end; /* by arch_load_kernel(): the first instruction, and
			   * the first address after what it needs */
};

/* A kernel image of any kind we know, or what is raw. */
int arch_load_kernel(struct guest_mem *mem, int fd, uint64_t size,
		     struct arch_kernel *kernel, struct err *e);

/* Where an initrd of @size goes, beside @kernel and the device tree. */
int arch_place_initrd(const struct guest_mem *mem, uint64_t size,
		      const struct arch_kernel *kernel, gpa_t *gpa,
		      struct err *e);

int arch_write_fdt(const struct arch_vm *a,
		   const struct arch_topology *topology, gpa_t *fdt,
		   struct err *e);

/* vCPU 0 will start at @entry; the others wait for PSCI CPU_ON. */
int arch_vcpu_boot(struct kvm_vcpu *vcpu, gpa_t entry, gpa_t fdt,
		   struct err *e);

/* ---------------------------------------------------------------- running */

/* Where a vCPU stands, in words, for messages.  On its own thread. */
void arch_vcpu_describe(struct kvm_vcpu *vcpu, char *text, size_t size);

/* ---------------------------------------------------------- what is offered */

/* One line of `stasis doctor`. */
struct arch_check {
	const char *name;
	enum { ARCH_CHECK_OK, ARCH_CHECK_WARN, ARCH_CHECK_FAIL } result;
	char finding[160];
	char remedy[224]; /* empty if there is nothing to do */
};

enum { ARCH_CHECKS_MAX = 24 };

struct arch_checks {
	struct arch_check check[ARCH_CHECKS_MAX];
	unsigned count;
};

/* One more; @result is an ARCH_CHECK_*.  Gives it, for arch_check_remedy(). */
struct arch_check *arch_check_add(struct arch_checks *checks, const char *name,
				  int result, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void arch_check_remedy(struct arch_check *check, const char *text);

/* Look at the host behind @kvm_fd, and add what is found. */
void arch_examine_host(int kvm_fd, struct arch_checks *checks);
