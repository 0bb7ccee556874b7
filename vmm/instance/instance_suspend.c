/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that suspends itself. */
#include "core/base/err.h"
#include "core/io/log.h"
#include "vmm/instance/instance.h"
#include "vmm/instance/instance_internal.h"

void instance_suspended(struct instance *in)
{
	in->state = INSTANCE_SUSPENDED;
	in->woken = false;
	instance_end_recording(in);
	log_info("the guest has suspended itself");
	instance_tell(in, EVENT_SUSPENDED, NULL);
	vm_await_wake(in->vm);
}

void instance_wake(void *context)
{
	struct instance *in = context;
	struct err e;

	if (in->state != INSTANCE_SUSPENDED)
		return;
	/* It would cancel the snapshot. */
	in->woken = in->job;
	if (!in->job && instance_resume(in, NULL, &e))
		log_error("the guest stays suspended: %s", e.text);
}
