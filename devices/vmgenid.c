/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/vmgenid.h"

#include <string.h>
#include <sys/random.h>

#include "core/base/err.h"

void vmgenid_init(struct vmgenid *id, void *page, struct irq_line irq)
{
	*id = (struct vmgenid){.page = page, .irq = irq};
}

int vmgenid_renew(struct vmgenid *id, struct err *e)
{
	uint8_t random[VMGENID_SIZE];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return err_errno(e, "cannot get random numbers");
	memcpy(id->page, random, sizeof(random));
	return 0;
}

void vmgenid_notify(struct vmgenid *id)
{
	irq_line_pulse(&id->irq);
}
