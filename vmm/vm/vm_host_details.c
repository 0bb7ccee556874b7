/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaving out of a snapshot what describes the host that writes it.  The
 * layout stays the same: texts are empty, numbers 0.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "vmm/vm/vm_internal.h"
#include "vmm/vm/vm_snapshot.h"

/* Saved as a device whose host side is not known. */
static char nowhere[1];

static void *copy(const void *list, size_t size)
{
	void *copied = malloc(size + 1);

	if (copied && size)
		memcpy(copied, list, size);
	return copied;
}

int vm_host_details_omit(struct vm_saved *saved, struct err *e)
{
	struct vm_config *c = &saved->config;

	/* The lists are those of the VM that continues to run. */
	c->drive = copy(c->drive, c->drive_count * sizeof(*c->drive));
	c->interface =
		copy(c->interface, c->interface_count * sizeof(*c->interface));
	if (!c->drive || !c->interface)
		return err_errno(e, "cannot save the VM");
	for (unsigned i = 0; i < c->drive_count; i++)
		c->drive[i].block.path = nowhere;
	for (unsigned i = 0; i < c->interface_count; i++)
		c->interface[i].net.tap = nowhere;
	if (c->vsock.uds_path)
		c->vsock.uds_path = nowhere;
	c->kernel = c->initrd = NULL;
	saved->kernel[0] = '\0';
	memset(saved->disk, 0, sizeof(saved->disk));
	arch_clock_record_omit_host(&saved->clock);
	return 0;
}
