/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMGenID: an identifier in guest RAM that changes when the guest is restored,
 * so that copies of a guest do not use the same random numbers.
 *
 * Interface: Linux, bindings/rng/microsoft,vmgenid.yaml (6.10) and
 * drivers/virt/vmgenid.c.
 *
 * All functions: main thread, while no vCPU runs.
 */
#pragma once

#include <stdint.h>

#include "core/machine/irq_line.h"

enum { VMGENID_SIZE = 16 };

struct err;

struct vmgenid {
	uint8_t *page; /* VMGENID_SIZE bytes of guest RAM */
	struct irq_line irq;
};

/* @page: VMGENID_SIZE bytes of guest RAM. */
void vmgenid_init(struct vmgenid *id, void *page, struct irq_line irq);

/*
 * Write a new random identifier.  Returns 0 or -1.  The guest may read RAM
 * without its caches, so the caller cleans the host's data cache for the
 * identifier.
 */
int vmgenid_renew(struct vmgenid *id, struct err *e);

/* Interrupt the guest; call after the cache was cleaned. */
void vmgenid_notify(struct vmgenid *id);
