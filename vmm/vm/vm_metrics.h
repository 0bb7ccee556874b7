/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The counters of a VM and its devices, as metrics of the process: groups that
 * always exist, and for each device of a kind of which there may be several one
 * of its own while it exists.  Main thread.
 */
#pragma once

struct arch_clock;
struct virtio_slots;

/* Report all groups from now on; or none of them any more. */
void vm_metrics_add(void);
void vm_metrics_remove(void);

/* These devices exist now; before they are destroyed, forget them. */
void vm_metrics_watch(const struct virtio_slots *slots);
void vm_metrics_forget(void);

/* After a pause or a resume of @clock, whether it succeeded or not. */
void clock_metrics_update(const struct arch_clock *clock);
