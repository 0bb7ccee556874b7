/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that the rest of the tree may know about the guest's
 * architecture.  arch/aarch64/ implements it.
 *
 * Unless noted otherwise, functions are called on the main thread while no
 * vCPU runs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/realtime.h"
#include "core/machine/mem.h"

struct err;
struct kvm_vcpu;
struct kvm_vm;
struct schema_arch;

enum { ARCH_VCPUS_MAX = 32, ARCH_VIRTIO_MAX = 64 };

/* The fixed part of the address map, drawn in arch/aarch64/internal.h. */
struct arch_layout {
	gpa_t boot_timer, rtc, serial, gpio;
	uint64_t device_size; /* of each window */
	gpa_t virtio;         /* the first of ARCH_VIRTIO_MAX windows */
	unsigned serial_irq;  /* SPI number, as KVM_IRQFD expects; so are all */
	unsigned gpio_irq, rtc_irq;
	gpa_t vmclock, vmgenid; /* pages within the reserved RAM */
	unsigned vmclock_irq, vmgenid_irq;
	unsigned virtio_irq; /* of the first window; the others follow */
	gpa_t reserved;      /* RAM kept for the VMM, which uses little of it */
	uint64_t reserved_size;
	gpa_t snapshot_id;    /* in it: the snapshot's struct memory_mark */
	uint64_t ram_min;     /* bytes */
	unsigned cmdline_max; /* characters */
	const char *console;  /* argument for `console=` */
};
extern const struct arch_layout arch_layout;

/* The architecture's sections of a state file (snapshot/schema_table.h). */
extern const struct schema_arch arch_schema;

/* ARCH_AUTO: on if the host offers it; but PMU and nested are off. */
enum arch_toggle { ARCH_AUTO, ARCH_ON, ARCH_OFF };

enum arch_feature {
	ARCH_SVE,
	ARCH_PAUTH,
	ARCH_PMU,
	ARCH_NESTED, /* nested virtualisation: vCPUs have EL2 and start there */
	ARCH_FEATURE_COUNT
};

/* "sve" ...: the features' names in options and messages. */
extern const char *const arch_feature_name[ARCH_FEATURE_COUNT];

/*
 * The feature that bit @bit of struct kvm_vcpu_init enables.  False if that is
 * not a feature that can be chosen.
 */
bool arch_feature_of_bit(unsigned bit, enum arch_feature *feature);

/*
 * Change bits of a vCPU's register before the vCPU boots:
 * (old & ~mask) | value.
 */
struct arch_reg_modifier {
	uint64_t id; /* of KVM_GET_ONE_REG */
	uint64_t mask[2], value[2];
};
enum { ARCH_REG_MODIFIERS_MAX = 64 };

/* Width of register @id: 32, 64 or 128 bits; 0 if it cannot be modified. */
unsigned arch_reg_bits(uint64_t id);

/* How a saved VM was built; a VM that is restored from it is built the same. */
struct arch_saved {
	uint32_t target, features; /* as in struct kvm_vcpu_init */
	uint32_t gic_version;
	bool pvtime;
	uint64_t vector_lengths[8]; /* of SVE: KVM_REG_ARM64_SVE_VLS */
};

/* The parts of a VM below its devices.  Embedded in struct vm. */
struct arch_vm {
	/* Set by the caller. */
	unsigned vcpu_count;
	const struct arch_saved *saved; /* NULL: not a restored VM */
	enum arch_toggle want[ARCH_FEATURE_COUNT];
	const struct arch_reg_modifier *modifier; /* for arch_vcpu_init() */
	unsigned modifier_count;

	/* Set by arch_vm_init() and arch_irqchip_init(). */
	bool has[ARCH_FEATURE_COUNT];
	bool pvtime;
	uint32_t target, features;
	unsigned gic_version;                  /* 2 or 3 */
	int gic_fd;                            /* -1 until created */
	struct kvm_vcpu *vcpu[ARCH_VCPUS_MAX]; /* set by arch_vcpu_init() */
};

/* For arch_vm_fini() before arch_vm_init(). */
#define ARCH_VM_NONE ((struct arch_vm){.gic_fd = -1})

enum clock_policy {
	CLOCK_FROZEN,     /* the guest does not notice the pause */
	CLOCK_CONTINUOUS, /* the pause counts as elapsed time */
	CLOCK_SET,        /* for tests: the counter continues from a value */
};

/* What the guest's physical counter shows. */
enum clock_physical {
	CLOCK_PHYSICAL_ANY,   /* guest time if the host supports that */
	CLOCK_PHYSICAL_GUEST, /* guest time, as the virtual counter */
	CLOCK_PHYSICAL_HOST,  /* the host's counter */
};

/*
 * Default of max_jump_ms: 10 minutes.  The time arithmetic of arm64 Linux can
 * overflow from about 18 minutes on (docs/time.md).
 */
enum { CLOCK_MAX_JUMP_MS = 600000 };

/* How the host's clock takes a leap second; numbered as VMClock does. */
enum clock_smear {
	CLOCK_SMEAR_NONE,        /* as one second, or it does not say */
	CLOCK_SMEAR_NOON_LINEAR, /* from noon to noon, evenly */
	CLOCK_SMEAR_UTC_SLS,     /* over the last 1000 s of the day */
	CLOCK_SMEARS,            /* how many there are */
};

/* The VM's policy for guest time, chosen before the VM exists. */
struct clock_config {
	enum clock_policy on_pause, on_restore; /* never CLOCK_SET */
	enum clock_physical physical;
	enum clock_smear smear;
	uint64_t max_jump_ms;     /* a resume with a larger jump is rejected */
	bool stalls_are_frozen;   /* false: CLOCK_CONTINUOUS */
	struct realtime realtime; /* a date becomes an offset at a start */
};

/* The policy of one resume. */
struct clock_request {
	enum clock_policy policy;
	uint64_t ticks; /* for CLOCK_SET: the counter's new value */
	bool has_max_jump;
	uint64_t max_jump_ms; /* overrides the VM's, if has_max_jump */
	/* Accept an elapsed time from wall clocks that are not synchronised. */
	bool unsynchronized;
};

/* A change of guest time, and how accurately it is known. */
struct arch_clock_event {
	enum {
		CLOCK_BOOTED,
		CLOCK_STOPPED,
		CLOCK_WENT_ON,  /* resumed */
		CLOCK_RESTORED, /* resumed after a restore */
		CLOCK_STALLED,  /* stopped by something else than stasis */
	} kind;
	enum clock_policy policy; /* of a resume */
	uint64_t realtime_ns;     /* of the host, since 1970 */
	uint64_t host, guest;     /* both counters, at the same moment */
	uint64_t offset;
	/* Upper bound of the error of the offset; 0: exact. */
	uint64_t error_ticks;
	/*
	 * Pause: from the request to the vCPUs until the last one had parked.
	 * Resume: from .host until all vCPUs were released.  An upper bound of
	 * how long the guest still ran, or guest time ran without the guest.
	 */
	uint64_t late_ticks;
	uint64_t paused_ticks; /* resume: host ticks since the pause */
	uint64_t jump_ticks;   /* resume: how far the guest's counter jumps */
	uint64_t unseen_ticks; /* stall: since the guest was known to run */
	uint64_t slept_ns;     /* of that, by the host */
};

enum { CLOCK_HISTORY_MAX = 16 };

/*
 * Guest time.  A pause stops it and a resume starts it; boot is a resume at
 * zero.
 *
 *	arch_clock_pin()       the VM exists, no vCPU does
 *	arch_clock_start()     boot: the last step before vCPUs are released
 *	arch_clock_started()   vCPUs are released
 *
 *	arch_clock_stopping()  pause: before vCPUs are asked to park
 *	arch_clock_stop()      the last vCPU has parked
 *	arch_clock_record()    snapshot, while paused
 *	arch_clock_start()     resume
 *	arch_clock_started()
 *
 * In a restored VM arch_clock_restore() takes the place of the pause.
 */
struct arch_clock {
	struct clock_config config;
	bool has_offset; /* KVM_ARM_SET_COUNTER_OFFSET: both counters, exact */
	uint32_t hz;
	uint64_t offset;      /* what KVM subtracts from the host's counter */
	uint64_t error_ticks; /* without has_offset: the offset may be up to
			       * this much larger */

	/*
	 * When the last vCPU had parked: the host's counter, the guest's, the
	 * offset.  moved: the offset was changed since, by a restore or by a
	 * resume that failed.
	 */
	uint64_t host_stopped, guest_stopped, offset_stopped;
	bool moved;

	/*
	 * restored: from a restore until the first resume.  estimated: the time
	 * elapsed since the guest stopped comes from wall clocks; it is off by
	 * at most elapsed_error_ns, or unbounded if unsynchronized.
	 */
	bool restored, estimated, unsynchronized;
	uint64_t elapsed_error_ns;

	/* The guest has suspended itself.  It expects to wake up much later,
	 * so a jump of any length is fine. */
	bool asleep;

	/* Metrics. */
	uint64_t pauses, resumes, stalls;
	uint64_t frozen_ticks, longest_jump_ticks;
	uint64_t busy_retries, verify_failures;
	uint64_t
		stopping; /* the host's counter when vCPUs were asked to park */
	uint64_t slept_ns; /* by the host before the guest last started */
	/* Ring of the latest events: event n is at n % CLOCK_HISTORY_MAX. */
	struct arch_clock_event history[CLOCK_HISTORY_MAX];
	uint64_t event_count;
};

/* Start guest time: right after the VM is created, before any vCPU is. */
int arch_clock_pin(struct arch_clock *clock, struct kvm_vm *vm,
		   const struct clock_config *config, struct err *e);

/* Call right before vCPUs are asked to park. */
void arch_clock_stopping(struct arch_clock *clock);

/*
 * Stop guest time: call when the last vCPU has parked.  @left: the host's
 * counter when the last vCPU left the guest (kvm_vcpu_left()).  @vcpu: any of
 * the vCPUs.
 */
int arch_clock_stop(struct arch_clock *clock, struct kvm_vcpu *vcpu,
		    uint64_t left, struct err *e);

/* After arch_clock_stop(): it was a stall; @seen: when the guest last ran. */
void arch_clock_stalled(struct arch_clock *clock, uint64_t seen);

/* The latest event; there must be one. */
struct arch_clock_event *arch_clock_last(struct arch_clock *clock);

/*
 * Start guest time: the last step before vCPUs are released.  @request NULL:
 * the configured policy.  After a failure vCPUs must not be released, because
 * their time would be wrong; the caller may try again with another request.
 */
int arch_clock_start(struct arch_clock *clock, struct kvm_vm *vm,
		     struct kvm_vcpu *vcpu, const struct clock_request *request,
		     struct err *e);

/* Would arch_clock_start() accept @request now?  Changes nothing. */
int arch_clock_may_start(const struct arch_clock *clock,
			 const struct clock_request *request, struct err *e);

/* Call once all vCPUs are released. */
void arch_clock_started(struct arch_clock *clock);

/* A leap second nearby; numbered as VMClock and virtio-rtc do. */
enum arch_clock_leap {
	CLOCK_LEAP_NONE,
	CLOCK_LEAP_PRE_POS, /* one will be inserted at the end of this day */
	CLOCK_LEAP_PRE_NEG, /* or left out */
	CLOCK_LEAP_POS,     /* it is now */
	CLOCK_LEAP_POST_POS,
	CLOCK_LEAP_POST_NEG,
};

/* A reading of the host's counter, and of its wall clock at that moment. */
struct arch_clock_sample {
	uint64_t host;
	uint64_t tai_sec;   /* TAI in seconds since 1970 */
	uint32_t tai_ns;    /* and nanoseconds */
	int tai_offset;     /* TAI minus UTC in seconds */
	bool synchronized;  /* by NTP or the like, says the kernel */
	uint64_t max_error; /* if synchronized: error bound in nanoseconds */

	/* The rest is not stored in snapshots. */
	uint64_t est_error; /* if synchronized: estimated error, nanoseconds */
	/* By how much the clock is made to run faster than the counter's
	 * nominal frequency says, in 2^-16 ppm. */
	int64_t rate;
	enum arch_clock_leap leap;
	int refused; /* errno if the kernel does not tell: rate 0, no leap */
};

/* Take a sample.  Any thread. */
void arch_clock_sample(struct arch_clock_sample *sample);

/* The value of the guest's counter when the host's is @host. */
uint64_t arch_clock_guest(const struct arch_clock *clock, uint64_t host);

/* Convert ticks of the counter to nanoseconds; saturates. */
uint64_t arch_clock_ns(const struct arch_clock *clock, uint64_t ticks);

/* The host's counter, and the host's clocks at that moment. */
struct arch_clock_pair {
	uint64_t host, width_ticks; /* .host is off by at most half of width */
	uint64_t monotonic_raw_ns;
	uint64_t realtime_ns;
};
void arch_clock_pair(struct arch_clock_pair *pair);

/*
 * Clean @size bytes at @host to memory, for a guest that maps the page
 * uncached.
 */
void arch_clean_cache(void *host, uint64_t size);

/* --------------------------------------------------------- building a VM */

/*
 * Divide @size bytes of RAM into regions, and store the width in bits of the
 * guest-physical addresses that they need.  Fails if the host behind @kvm_fd
 * does not support that width.  Returns the number of regions, or -1.
 */
int arch_ram_regions(int kvm_fd, uint64_t size, struct guest_mem_region *region,
		     unsigned *ipa_bits, struct err *e);

/*
 * Steps of building a VM, in this order: the VM, each vCPU, then the interrupt
 * controller, once all vCPUs exist.
 */
int arch_vm_init(struct arch_vm *a, struct kvm_vm *vm, struct err *e);
int arch_vcpu_init(struct arch_vm *a, struct kvm_vcpu *vcpu, struct err *e);
int arch_irqchip_init(struct arch_vm *a, struct kvm_vm *vm, struct err *e);
void arch_vm_fini(struct arch_vm *a);

/* ---------------------------------------------------------------- snapshots */

struct snap;

/*
 * When the host booted: CLOCK_REALTIME minus CLOCK_BOOTTIME.  Only setting the
 * wall clock changes it, because NTP slews both clocks.  Known to about a
 * microsecond, so it identifies one boot of one host where the kernel's boot id
 * cannot be read (no /proc).
 */
struct arch_clock_boot {
	uint64_t ns;       /* since 1970; 0: not known */
	uint32_t width_ns; /* .ns is off by at most half of this */
};
void arch_clock_boot(struct arch_clock_boot *boot);

/* Guest time of a paused VM, as a snapshot stores it. */
struct arch_clock_record {
	uint32_t hz;
	uint64_t offset, host_stopped, guest_stopped;
	char boot_id[40]; /* of the host; empty if it cannot be read */
	struct arch_clock_boot boot;
	struct arch_clock_sample sample; /* taken after the guest stopped */
};
int arch_clock_record(const struct arch_clock *clock,
		      struct arch_clock_record *record, struct err *e);
/*
 * Remove from @record when this host booted, its boot id and its counter: the
 * snapshot is then restored as one of another host.
 */
void arch_clock_record_omit_host(struct arch_clock_record *record);
/* Save or load the record but for .boot. */
void arch_clock_record_state(struct arch_clock_record *record, struct snap *s);
/* Save or load .boot, which exists since format 1.2. */
void arch_clock_boot_state(struct arch_clock_record *record, struct snap *s);

/*
 * Put the clock of a VM that was just created into the paused state of @record.
 * The next arch_clock_start() uses config.on_restore by default.
 */
int arch_clock_restore(struct arch_clock *clock,
		       const struct arch_clock_record *record, struct err *e);

/*
 * How this VM is built.  Saved in a snapshot; a restore loads it and passes it
 * to arch_vm_init() in arch_vm.saved.
 */
int arch_saved_get(const struct arch_vm *a, struct arch_saved *saved,
		   struct err *e);
void arch_saved_state(struct arch_saved *saved, struct snap *s);

/*
 * Save a vCPU while all vCPUs are parked, or load it into a VM that was built
 * the same way and has not run.  A failure to load names the rejected register
 * in *e, and the VM must be discarded.  The counters are left out, because
 * struct arch_clock has them.
 */
int arch_vcpu_state(struct kvm_vcpu *vcpu, struct snap *s, struct err *e);
/* The same for the interrupt controller, and for EL2's; after all vCPUs. */
int arch_irqchip_state(struct arch_vm *a, struct snap *s, struct err *e);
int arch_hypervisor_state(struct arch_vm *a, struct snap *s, struct err *e);

/* ------------------------------------------------------------------- boot */

/* What the device tree describes, beside struct arch_vm. */
struct arch_topology {
	struct guest_mem *mem;
	const char *cmdline;
	gpa_t initrd;
	uint64_t initrd_size; /* 0: none */
	bool serial;
	bool no_kaslr;         /* give no seed to randomise kernel addresses */
	bool raw;              /* the kernel is raw: see the address map */
	bool fdt_high;         /* the device tree is at the end of RAM */
	unsigned virtio_count; /* devices; they use the first windows */
};

/*
 * A kernel.  A raw one is a bare-metal binary: stasis looks for no header,
 * loads it into RAM and enters it with the address of the device tree in the
 * first argument register.
 */
struct arch_kernel {
	bool raw;
	bool fdt_high; /* as in struct arch_topology; always if raw */
	gpa_t load;    /* raw: load address; 0: the default */
	gpa_t enter;   /* raw: entry address; 0: the first byte */

	/* Set by arch_load_kernel(): the address of the first instruction, and
	 * the first address after the RAM that the kernel needs. */
	gpa_t entry, end;
};

/* Load a kernel image of any known kind, or a raw binary, from @fd. */
int arch_load_kernel(struct guest_mem *mem, int fd, uint64_t size,
		     struct arch_kernel *kernel, struct err *e);

/* Do the first bytes of a file, @head, say that it is a kernel? */
enum { ARCH_KERNEL_HEAD = 64 };
bool arch_is_kernel(const uint8_t head[ARCH_KERNEL_HEAD]);

/*
 * Find room for an initrd of @size bytes, beside @kernel and the device tree.
 */
int arch_place_initrd(const struct guest_mem *mem, uint64_t size,
		      const struct arch_kernel *kernel, gpa_t *gpa,
		      struct err *e);

/* Write the device tree into RAM, and store its address in *fdt. */
int arch_write_fdt(const struct arch_vm *a,
		   const struct arch_topology *topology, gpa_t *fdt,
		   struct err *e);

/* Withdraw KVM's PTP hypercall.  @vcpu: any, of a VM that has not run. */
int arch_hide_host_time(struct kvm_vcpu *vcpu, struct err *e);

/* Set the boot registers: vCPU 0 starts at @entry with @fdt as its argument. */
int arch_vcpu_boot(struct kvm_vcpu *vcpu, gpa_t entry, uint64_t fdt,
		   struct err *e);

/* ---------------------------------------------------------------- running */

/* Describe where a vCPU is executing, for a message.  On its own thread. */
void arch_vcpu_describe(struct kvm_vcpu *vcpu, char *text, size_t size);

/* ---------------------------------------------------------- what is offered */

/* One line of `stasis doctor`. */
struct arch_check {
	const char *name;
	enum { ARCH_CHECK_OK, ARCH_CHECK_WARN, ARCH_CHECK_FAIL } result;
	char finding[160];
	char remedy[224]; /* what to do; may be empty */
};

enum { ARCH_CHECKS_MAX = 24 };

struct arch_checks {
	struct arch_check check[ARCH_CHECKS_MAX];
	unsigned count;
};

/*
 * Add a check; @result is an ARCH_CHECK_*.  Returns it, to be passed to
 * arch_check_remedy().
 */
struct arch_check *arch_check_add(struct arch_checks *checks, const char *name,
				  int result, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void arch_check_remedy(struct arch_check *check, const char *text);

/* Examine the host behind @kvm_fd, and add the checks. */
void arch_examine_host(int kvm_fd, struct arch_checks *checks);
