/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM with all devices on a fake KVM, for a fuzzer: it is booted, saved and
 * restored, and what a diff has is compared with its RAM.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/io/loop.h"
#include "vmm/vm/vm.h"

enum { WORLD_VSOCK_MAX = 4, WORLD_MIB = 32 };

extern struct vmm_world {
	struct event_loop loop;
	struct vm *vm;
	int tap;                    /* the host's end */
	int vsock[WORLD_VSOCK_MAX]; /* host programs; -1: none */
	bool ended;
} vmm_world;

/* Boot; @tracked: KVM keeps a dirty log. */
void vmm_world_begin(bool tracked);
void vmm_world_end(void);

/* Dispatch events until there are none. */
void vmm_world_turn(void);

/* Requests that wait for the host's ring are done. */
void vmm_world_finish_requests(void);

/* Pause, if devices are quiet.  False if they are not, and the guest runs. */
bool vmm_world_pause(void);
void vmm_world_resume(bool continuous);

/* Of a paused VM: save it, and compare what was saved of RAM with it; then
 * @restore: go on with another that was made of it, paused too. */
void vmm_world_snapshot(bool restore);
