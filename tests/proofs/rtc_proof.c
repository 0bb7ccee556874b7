/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's accesses to the clock: in whatever state and of whatever width,
 * an access touches no memory but the device's; a read returns what a 32-bit
 * register holds; and an alarm is less than 2^32 seconds away.
 *
 * Bounds: none; any access within the window.
 */
#include "devices/rtc.c" /* nogncheck */
#include "tests/proofs/host.h"

enum { WINDOW = 0x1000 };

static void any_pulse(void *context, unsigned irq)
{
	(void)context;
	(void)irq;
}

int main(void)
{
	static struct rtc r;
	uint64_t offset = nondet_u64();
	unsigned len = 1u << nondet_u8() % 4;

	r.irq.pulse = any_pulse;
	r.alarm.fd = nondet_bool() ? -1 : 5;
	r.shift = nondet_u32();
	r.match = nondet_u32();
	r.load = nondet_u32();
	r.mask = nondet_u32();
	r.due = nondet_u64();
	r.armed = nondet_u64();
	r.raised = nondet_bool();
	r.told = nondet_bool();
	assume(r.due < 1ull << 40);
	assume(offset < WINDOW && len <= WINDOW - offset);
	if (nondet_bool()) {
		uint64_t value = rtc_mmio_ops.read(&r, offset, len);

		prove(value <= UINT32_MAX, "a register has 32 bits");
		prove(!value || (len == 4 && offset % 4 == 0),
		      "what is not a register reads as 0");
	} else {
		rtc_mmio_ops.write(&r, offset, len, nondet_u64());
	}
	prove(r.due < 1ull << 40, "an alarm is not farther than 2^32 s");
	return 0;
}
