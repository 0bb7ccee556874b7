/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that tells which wall-clock time it is told: by the PL031, by VMClock
 * and by KVM's PTP hypercall.  When it boots, and when it is restored: then by
 * the first instructions that it runs.
 */
#include "tests/guests/lib.h"

#define VMCLOCK 0x80020000ull
#define VMGENID 0x80030000ull

enum { COUNTER = 0x28, SECONDS = 0x48, FRACTION = 0x50, LOOKS = 1000 };
enum { PTP = 0x86000001 };

static void put(const char *name, uint64_t value)
{
	put_text(name);
	put_number(value);
}

static void tell(const char *when, uint64_t last)
{
	uint64_t first = ticks(), counter = read64(VMCLOCK + COUNTER);
	uint32_t shown = read32(RTC);
	unsigned same = 1;

	for (; same < LOOKS && read32(RTC) == shown; same++)
		continue;
	put_text(when);
	put(" rtc ", shown);
	put(" same ", same);
	put(" tai ", read64(VMCLOCK + SECONDS));
	put(" fraction ", read64(VMCLOCK + FRACTION));
	put(" counter ", counter);
	put(" after ", first - counter);
	put(" before ", counter - last);
	put_text(psci(PTP, 0, 0, 0) == -1 ? " ptp none.\r\n"
					  : " ptp some.\r\n");
}

void guest_main(uint64_t fdt)
{
	uint64_t generation = read64(VMGENID), last = 0;

	(void)fdt;
	tell("booted", last);
	put_text("waiting\r\n");
	while (read64(VMGENID) == generation)
		last = ticks();
	tell("restored", last);
}
