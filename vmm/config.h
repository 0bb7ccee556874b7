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

struct err;

struct vm_config {
	unsigned vcpu_count;
	uint64_t mem_mib;
	char *kernel, *initrd, *cmdline; /* owned; NULL: not given */
	enum arch_toggle cpu[ARCH_FEATURE_COUNT];
	struct arch_reg_modifier *reg; /* owned; reg_count of them */
	unsigned reg_count;
	bool boot_timer;
};

/* Firecracker's defaults: 1 vCPU, 128 MiB. */
void vm_config_init(struct vm_config *config);
void vm_config_fini(struct vm_config *config);

/* Take a copy of @text into the string member at @field. */
int vm_config_set(char **field, const char *text, struct err *e);

int vm_config_check(const struct vm_config *config, struct err *e);
/* Its parts, for those who are told one at a time. */
int vm_config_check_machine(const struct vm_config *config, struct err *e);
int vm_config_check_cmdline(const struct vm_config *config, struct err *e);

/* Is there a serial console?  The guest's command line decides. */
bool vm_config_has_serial(const struct vm_config *config);

/*
 * The command line the guest gets, made of what was asked for as Firecracker
 * makes it.  @size must be more than arch_layout.cmdline_max.
 */
int vm_config_cmdline(const struct vm_config *config, char *out, size_t size,
		      struct err *e);
