/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known before a guest's first instruction to end in a panic, or in a
 * guest that is silent.
 */
#pragma once

#include <stdint.h>

#include "core/machine/gpa.h"

struct arch_kernel;
struct err;
struct guest_mem;
struct vm_config;

/* Warn of a console that no guest of stasis has. */
void boot_check_cmdline(const char *cmdline);

/* Reject an initrd that is a kernel; it has been loaded to @gpa. */
int boot_check_initrd(struct guest_mem *mem, gpa_t gpa, uint64_t size,
		      struct err *e);

/*
 * Reject a root disk without an initrd if the Linux @kernel, which has been
 * loaded, has no driver for it built in.  It takes some milliseconds to search
 * the kernel, so only if @config asks for it (->check_drivers).
 */
int boot_check_drivers(struct guest_mem *mem, const struct vm_config *config,
		       const struct arch_kernel *kernel, struct err *e);
