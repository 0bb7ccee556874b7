/* SPDX-License-Identifier: Apache-2.0 */
/* For the files that implement instance.h. */
#pragma once

#include "vmm/instance.h"

void instance_tell(struct instance *in, enum instance_event event,
		   const char *reason);

/* What a VM uses of this process. */
struct vm_host instance_vm_host(struct instance *in);

/* The process is to end, unsuccessfully. */
void instance_fail(struct instance *in, const char *reason);
