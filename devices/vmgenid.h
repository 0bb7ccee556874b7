/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMGenID: an identifier in memory that changes when a guest was restored, so
 * that copies of it do not go on with the same random numbers.
 *
 * Linux, bindings/rng/microsoft,vmgenid.yaml (6.10) and
 * drivers/virt/vmgenid.c.  Main thread, while no vCPU runs.
 */
#pragma once

#include <stdint.h>

#include "core/machine/irq_line.h"

enum { VMGENID_SIZE = 16 };

struct err;

struct vmgenid {
	uint8_t *page; /* of VMGENID_SIZE, shared with the guest */
	struct irq_line irq;
};

/* @page is the guest's RAM. */
void vmgenid_init(struct vmgenid *id, void *page, struct irq_line irq);

/* Another identifier, from the host's random numbers.  The guest may read past
 * its caches: the caller cleans the host's for what was written. */
int vmgenid_renew(struct vmgenid *id, struct err *e);

/* Tell the guest, once that is done. */
void vmgenid_notify(struct vmgenid *id);
