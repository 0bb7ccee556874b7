/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vm/time_pages.h"

#include "core/base/err.h"
#include "core/machine/mem.h"
#include "snapshot/codec.h"

int time_pages_init(struct time_pages *t, const struct guest_mem *mem,
		    struct irq_line vmclock_irq, struct irq_line vmgenid_irq,
		    struct err *e)
{
	void *clock = guest_mem_at(mem, arch_layout.vmclock, VMCLOCK_SIZE);
	void *id = guest_mem_at(mem, arch_layout.vmgenid, VMGENID_SIZE);

	if (!clock || !id)
		return err_set(e, "there is no RAM for VMClock and VMGenID");
	vmclock_init(&t->vmclock, clock, vmclock_irq);
	vmgenid_init(&t->vmgenid, id, vmgenid_irq);
	if (vmgenid_renew(&t->vmgenid, e))
		return -1;
	arch_clean_cache(id, VMGENID_SIZE);
	return 0;
}

void time_pages_notify(struct time_pages *t, bool moves)
{
	if (moves || t->restored)
		vmclock_notify(&t->vmclock);
	if (t->restored)
		vmgenid_notify(&t->vmgenid);
}

void time_pages_resume(struct time_pages *t, const struct arch_clock *clock,
		       const struct arch_clock_sample *sample)
{
	const struct vmclock_pair pair = {
		.counter = arch_clock_guest(clock, sample->host),
		.hz = clock->hz,
		.tai_sec = sample->tai_sec,
		.tai_ns = sample->tai_ns,
		.tai_offset = sample->tai_offset,
		.has_error = sample->synchronized,
		.max_error = sample->max_error,
	};

	/* A pause that counts as elapsed (CLOCK_CONTINUOUS) does not change the
	 * offset: what was published is still right. */
	if (t->vmclock.published && clock->offset == t->offset && !t->restored)
		return;
	if (t->restored)
		vmclock_restored(&t->vmclock);
	vmclock_publish(&t->vmclock, &pair);
	t->offset = clock->offset;
	t->restored = false;
}

void time_pages_state(struct time_pages *t, struct snap *s)
{
	vmclock_state(&t->vmclock, s);
	if (snap_loading(s))
		t->restored = true;
}
