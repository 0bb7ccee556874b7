/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of a VM: plain data, filled by the command line, the
 * configuration file, the API or a snapshot, and checked as a whole before a VM
 * is built from it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/arch.h"
#include "core/machine/mem.h"
#include "devices/virtio/balloon/balloon.h"
#include "devices/virtio/block/block.h"
#include "devices/virtio/net/net.h"
#include "devices/virtio/rng/rng.h"
#include "devices/virtio/vsock/vsock.h"

struct err;
struct snap;

/* As many as there are places for virtio devices, which all share. */
enum { VM_DRIVES_MAX = ARCH_VIRTIO_MAX, VM_INTERFACES_MAX = ARCH_VIRTIO_MAX };

/*
 * A device's own configuration, as its header has it, and what else is asked of
 * the VM.  All strings are owned.
 */
struct drive_config {
	/* .folder is given by a strict load, and not saved. */
	struct block_config block;
	char *partuuid; /* NULL: the root is the whole disk */
	bool root;      /* `root=` on the command line names this drive */
};

struct interface_config {
	struct net_config net;
	bool vhost;        /* use vhost-net, which has no rate limiters */
	bool mmds;         /* it serves metadata, if the VM has mmds */
	bool vhost_chosen; /* a load overrides `vhost`: ignore the saved one */
};

/* The metadata service, for the interfaces that have .mmds set. */
struct mmds_config {
	bool given;       /* false: there is none */
	bool v2;          /* the guest needs a token */
	bool imds_compat; /* always text, as EC2's */
	uint32_t address; /* IPv4, host byte order; link-local */
};

/* 169.254.169.254 */
#define MMDS_ADDRESS_DEFAULT 0xa9fea9feu

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): legibility */
struct vm_config {
	unsigned vcpu_count;
	uint64_t mem_mib;
	enum guest_mem_pages huge_pages;
	char *kernel, *initrd, *cmdline; /* owned; NULL: not given */
	bool raw;              /* a raw kernel: see struct arch_kernel */
	uint64_t load_address; /* of a raw kernel, gpa; 0: where it fits */
	bool fdt_high;         /* the device tree at the end of RAM */
	bool check_drivers;    /* see boot_check_drivers() */
	uint64_t entry;        /* of a raw kernel, gpa; 0: its first byte */
	bool no_kaslr;         /* the kernel runs where it was linked */
	bool share_files;      /* kernel and initrd are mapped, see mem.h */
	enum arch_toggle cpu[ARCH_FEATURE_COUNT];
	struct arch_reg_modifier *reg; /* owned; reg_count of them */
	unsigned reg_count;
	bool boot_timer;
	bool track_dirty; /* keep a dirty log, which makes diffs cheap */
	struct clock_config clock;
	bool clock_given;           /* false: left out of replies */
	bool realtime_chosen;       /* a load leaves clock.realtime alone */
	struct drive_config *drive; /* owned; drive_count of them, root first */
	unsigned drive_count;
	struct interface_config *interface; /* owned; interface_count */
	unsigned interface_count;
	struct mmds_config mmds;
	struct vsock_config vsock; /* .uds_path NULL: there is none */
	bool has_balloon;
	struct balloon_config balloon;
	bool has_entropy;
	struct rng_config entropy;
};

/* Firecracker's names of what RAM consists of. */
extern const char *const huge_pages_name[GUEST_MEM_PAGES_COUNT];

/* "frozen", "continuous": the names of the policies that a VM can have. */
extern const char *const clock_policy_name[CLOCK_CONTINUOUS + 1];
extern const char *const clock_smear_name[CLOCK_SMEARS];

/* Firecracker's defaults: 1 vCPU, 128 MiB. */
void vm_config_init(struct vm_config *config);
void vm_config_fini(struct vm_config *config);

/* Replace the string member at @field by a copy of @text. */
int vm_config_set(char **field, const char *text, struct err *e);

/* Check the configuration of a VM that will boot. */
int vm_config_check(const struct vm_config *config, struct err *e);
/* Parts of it, for the API, which gets them one at a time. */
int vm_config_check_machine(const struct vm_config *config, struct err *e);
int vm_config_check_cmdline(const struct vm_config *config, struct err *e);
/* Check a configuration that was loaded from a snapshot, which is untrusted:
 * the machine, the balloon, and the ids of drives and interfaces. */
int vm_config_check_loaded(const struct vm_config *config, struct err *e);

/* Check the id of a drive, an interface or a vsock: 1 to VM_ID_MAX printable
 * characters without blanks. */
enum { VM_ID_MAX = 64 };
int vm_config_check_id(const char *id, struct err *e);

void drive_config_fini(struct drive_config *drive);

/* The drive with this id, or NULL. */
struct drive_config *vm_config_drive(const struct vm_config *config,
				     const char *id);

/*
 * Add @drive, or replace the one with the same id.  On success its contents are
 * taken over.  On failure nothing is changed, and it stays the caller's.
 */
int vm_config_put_drive(struct vm_config *config, struct drive_config *drive,
			struct err *e);

void interface_config_fini(struct interface_config *interface);

/* Check that no other interface has @interface's tap or MAC address. */
int vm_config_check_interface(const struct vm_config *config,
			      const struct interface_config *interface,
			      struct err *e);
/* As vm_config_put_drive(); makes that check. */
int vm_config_put_interface(struct vm_config *config,
			    struct interface_config *interface, struct err *e);

/* Check that the guest cannot have another use for its address. */
int vm_config_check_mmds(const struct mmds_config *mmds, struct err *e);

void vsock_config_fini(struct vsock_config *vsock);

/* Does the VM have a serial console?  `console=` on the command line decides.
 */
bool vm_config_has_serial(const struct vm_config *config);

/*
 * Write the guest's command line to @out: the configured one, and what
 * Firecracker adds to it.  @size must be more than arch_layout.cmdline_max.
 */
int vm_config_cmdline(const struct vm_config *config, char *out, size_t size,
		      struct err *e);

/* Since format 1.3: save, or load, the settings that came after it.  After
 * vm_config_state(). */
void vm_config_more_state(struct vm_config *config, struct snap *s);
/* Since format 1.1: save, or load, which interfaces use vhost.  After
 * vm_config_state(). */
void vm_config_vhost_state(struct vm_config *config, struct snap *s);
/* What of the clock's configuration snapshots since format 1.4 have. */
void vm_config_time_state(struct vm_config *config, struct snap *s);
/*
 * Save, or load into a config that was just initialised.  What is loaded is
 * well-formed, but must still be checked with vm_config_check_loaded().
 */
void vm_config_state(struct vm_config *config, struct snap *s);
