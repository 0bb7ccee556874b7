/* SPDX-License-Identifier: Apache-2.0 */
/* A VM on a fake KVM, with some devices; what it is saved as, and loaded from.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/io/loop.h"
#include "tests/fake/kvm_fake.h"
#include "vmm/config/config.h"
#include "vmm/vm/vm.h"
#include "vmm/vm/vm_snapshot.h"

enum { SNAPSHOT_WORLD_DISK = 65536 };

struct snapshot_world {
	struct event_loop loop;
	struct vm_config config;
	struct vm_host host;
	int kernel_fd, disk_fd;
	struct err e;

	/* What was saved, of a guest whose counter had stopped here. */
	uint8_t *body; /* owned */
	size_t len;
	uint16_t minor; /* to be read as a file of */
	int memory_fd;
	uint64_t stopped;

	bool no_host_details; /* save without them */

	/* The host that it is loaded on. */
	bool no_gic_v3, no_gic_el2, sve, el2;
	unsigned fail_at;       /* as kvm_fake's */
	struct vm_saved *saved; /* of the VM that was loaded last */
};

/* For cmocka: *state is a struct snapshot_world. */
int snapshot_world_set_up(void **state);
int snapshot_world_tear_down(void **state);

struct vm *snapshot_world_boot(struct snapshot_world *w);
/* Pause, save, destroy. */
void snapshot_world_save(struct snapshot_world *w, struct vm *vm);
/* The same of a VM that was loaded. */
void snapshot_world_save_again(struct snapshot_world *w, struct vm *vm);
/* Save alone. */
void snapshot_world_save_paused(struct snapshot_world *w, struct vm *vm);
/* On a new host, paused; or NULL and w->e. */
struct vm *snapshot_world_load(struct snapshot_world *w);
/* What the VM that was loaded, and is gone, was made of. */
void snapshot_world_unload(struct snapshot_world *w);
/* What a restore writes to a register of the interrupt controller: what was
 * saved of it, or, where writing clears bits, the SGIs that were disabled. */
uint32_t snapshot_world_gic(const struct fake_attr *a);
