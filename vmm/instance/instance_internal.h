/* SPDX-License-Identifier: Apache-2.0 */
/* For the files that implement instance.h. */
#pragma once

#include "core/base/metrics.h"
#include "vmm/instance/instance.h"

/* How long the last operation of each kind took, microseconds.  Each appears
 * twice, because Firecracker measures it on two threads. */
extern struct instance_latencies {
	uint64_t full_create_snapshot, diff_create_snapshot, load_snapshot;
	uint64_t pause_vm, resume_vm;
	uint64_t vmm_full_create_snapshot, vmm_diff_create_snapshot;
	uint64_t vmm_load_snapshot;
	uint64_t vmm_pause_vm, vmm_resume_vm;
} instance_latencies;

/* CLOCK_MONOTONIC, microseconds. */
uint64_t instance_now_us(void);

/* Set both gauges of @what to the time since @began. */
#define INSTANCE_TOOK(what, began)                                \
	do {                                                      \
		uint64_t took = instance_now_us() - (began);      \
                                                                  \
		metric_set(&instance_latencies.what, took);       \
		metric_set(&instance_latencies.vmm_##what, took); \
	} while (0)

/* Call on_event(), if set. */
void instance_tell(struct instance *in, enum instance_event event,
		   const char *reason);

/* Call on_done(), if set. */
void instance_done(struct instance *in, enum instance_task task, int result,
		   const struct err *e);

/* What a VM of this instance uses of the process. */
struct vm_host instance_vm_host(struct instance *in);

/* The VM is paused, because its guest has suspended itself. */
void instance_suspended(struct instance *in);
/* Something came for a guest that sleeps; @context is the instance. */
void instance_wake(void *context);

/* The working set is known: the guest has stopped. */
void instance_end_recording(struct instance *in);

/* instance_load.c: the pages have arrived that the restore waits for. */
void instance_load_ready(struct instance *in);
/* The VM ended during the load: fail it. */
void instance_load_fail(struct instance *in, const char *reason);
/* NULL is fine. */
void instance_load_destroy(struct instance_load *load);

/* End the instance with exit status 1. */
void instance_fail(struct instance *in, const char *reason);
