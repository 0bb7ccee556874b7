/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The counters of a VM and its devices, as metrics: the groups that are always
 * there, and while there are devices one for each of several of a kind.
 */
#pragma once

struct virtio_slots;

/* Tell them, or no more. */
void vm_metrics_add(void);
void vm_metrics_remove(void);

/* These devices are there now; before they are destroyed, forget them. */
void vm_metrics_watch(const struct virtio_slots *slots);
void vm_metrics_forget(void);
