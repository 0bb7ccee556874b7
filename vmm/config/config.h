/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What somebody asked for: plain data, filled by a command line or a file,
 * checked as a whole before a VM is built from it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/arch.h"
#include "devices/virtio/balloon/balloon.h"
#include "devices/virtio/rate_limiter.h"

struct err;
struct snap;

enum { VM_DRIVES_MAX = 32, VM_INTERFACES_MAX = 16 };

struct drive_config {
	char *id, *path; /* owned */
	char *partuuid;  /* owned; NULL: the root is the disk itself */
	bool root;       /* the guest is told that its root is there */
	bool read_only, writeback, async;
	struct rate_limiter_config limiter;
};

struct interface_config {
	char *id, *tap; /* owned; the tap's name, or "fd:N" */
	bool has_mac;   /* else the guest chooses */
	uint8_t mac[6];
	uint16_t mtu;      /* 0: the guest chooses */
	bool vhost;        /* the kernel's, not ours; then without limiters */
	bool vhost_chosen; /* by who loads a snapshot: not as saved */
	struct rate_limiter_config rx_limiter, tx_limiter;
};

struct vsock_params {
	uint32_t guest_cid;
	char *uds_path; /* owned; NULL: there is no vsock */
	char *id;       /* owned; told, and of no use; NULL: not given */
};

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): to be read */
struct vm_config {
	unsigned vcpu_count;
	uint64_t mem_mib;
	char *kernel, *initrd, *cmdline; /* owned; NULL: not given */
	bool raw;              /* the kernel is, see struct arch_kernel, */
	uint64_t load_address; /* and goes there; 0: where it fits */
	uint64_t entry;        /* and begins there; 0: at its first byte */
	bool no_kaslr;         /* the kernel goes where it was linked */
	enum arch_toggle cpu[ARCH_FEATURE_COUNT];
	struct arch_reg_modifier *reg; /* owned; reg_count of them */
	unsigned reg_count;
	bool boot_timer;
	bool track_dirty; /* so that diff snapshots are cheap */
	struct clock_config clock;
	bool clock_given;           /* somebody chose; else it is not told */
	struct drive_config *drive; /* owned; drive_count of them, root first */
	unsigned drive_count;
	struct interface_config *interface; /* owned; interface_count */
	unsigned interface_count;
	struct vsock_params vsock;
	bool has_balloon;
	struct balloon_config balloon;
	bool entropy;
	struct rate_limiter_config entropy_limiter;
};

/* "frozen", "continuous": the policies that a VM can have. */
extern const char *const clock_policy_name[CLOCK_CONTINUOUS + 1];

/* Firecracker's defaults: 1 vCPU, 128 MiB. */
void vm_config_init(struct vm_config *config);
void vm_config_fini(struct vm_config *config);

/* Take a copy of @text into the string member at @field. */
int vm_config_set(char **field, const char *text, struct err *e);

int vm_config_check(const struct vm_config *config, struct err *e);
/* Its parts, for those who are told one at a time. */
int vm_config_check_machine(const struct vm_config *config, struct err *e);
int vm_config_check_cmdline(const struct vm_config *config, struct err *e);
/* What nobody has asked about one at a time. */
int vm_config_check_loaded(const struct vm_config *config, struct err *e);

/* Of a drive or an interface: printable, short, not empty. */
enum { VM_ID_MAX = 64 };
int vm_config_check_id(const char *id, struct err *e);

void drive_config_fini(struct drive_config *drive);

/* The drive with this id, or NULL. */
struct drive_config *vm_config_drive(const struct vm_config *config,
				     const char *id);

/*
 * Take @drive over: in place of the one with its id, or as another.  On failure
 * nothing is changed, and it stays the caller's.
 */
int vm_config_put_drive(struct vm_config *config, struct drive_config *drive,
			struct err *e);

void interface_config_fini(struct interface_config *interface);

/* As with drives.  No two have the same tap, or the same MAC address. */
int vm_config_check_interface(const struct vm_config *config,
			      const struct interface_config *interface,
			      struct err *e);
int vm_config_put_interface(struct vm_config *config,
			    struct interface_config *interface, struct err *e);

void vsock_params_fini(struct vsock_params *vsock);

/* Is there a serial console?  The guest's command line decides. */
bool vm_config_has_serial(const struct vm_config *config);

/*
 * The command line the guest gets, made of what was asked for as Firecracker
 * makes it.  @size must be more than arch_layout.cmdline_max.
 */
int vm_config_cmdline(const struct vm_config *config, char *out, size_t size,
		      struct err *e);

/*
 * Save, or load into a config that was just initialised.  What is loaded is
 * well-formed, but vm_config_check_loaded() is still to be asked.
 */
/* Which of its interfaces are vhost's; after the rest, since format 1.1. */
void vm_config_vhost_state(struct vm_config *config, struct snap *s);
void vm_config_state(struct vm_config *config, struct snap *s);
