/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that waits to be restored, and then powers off: as soon as the
 * identifier of its generation is another.  What that takes is the VMM's. */
#include "tests/guests/lib.h"

#define VMGENID 0x80030000ull

void guest_main(uint64_t fdt)
{
	uint64_t generation = read64(VMGENID);

	(void)fdt;
	put_text("waiting\r\n");
	while (read64(VMGENID) == generation)
		continue;
	psci(0x84000008, 0, 0, 0); /* SYSTEM_OFF */
}
