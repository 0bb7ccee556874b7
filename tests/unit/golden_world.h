/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine in the golden files: one of everything, on a fake KVM.  A new
 * thing is given to it in golden_configure(), and checked when the files of all
 * minor versions are loaded.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "snapshot/codec.h"
#include "vmm/config/config.h"
#include "vmm/vm/vm.h"

extern const struct vm_host golden_host;
/* The machine's RAM, of zeroes. */
extern int golden_memory_fd;

/* A host that has all that the machine needs. */
void golden_reset(void);
int golden_set_up(void **state);
int golden_tear_down(void **state);

void golden_configure(struct vm_config *config);
/* What this build saves the machine as; snap_fini() it. */
void golden_save(struct snap *s);

/* The machine's files of then are gone; those of now are like them. */
void golden_point_to_files(struct vm_config *config);
/* Their folder has another name each time: overwrite it. */
void golden_hide_folder(uint8_t *data, size_t len);

/* Check what was loaded from a file of @minor. */
void golden_check_config(const struct vm_config *config, unsigned minor);
void golden_check_registers(void);
