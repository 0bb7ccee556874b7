/* SPDX-License-Identifier: Apache-2.0 */
/* Where nothing is: reads give zero, writes are dropped, the VM goes on. */
#include "tests/guests/lib.h"

static const uint64_t holes[] = {
	0x0,        0x8000000,  0x10000000, /* below the interrupt controller */
	0x40003000, 0x40003ff8,             /* behind the serial port */
	0x50000000, 0x6fffeff8,             /* between devices */
	0x70000000,                         /* and behind the last */
	0x7ffffff8,                         /* just below RAM */
};

enum { HOLES = sizeof(holes) / sizeof(holes[0]) };

static void probe(uint64_t at, unsigned width)
{
	uint64_t after;

	write_width(at, width, ~0ull);
	/* Not what was written, nor what a register held before. */
	after = read_width(at, width);
	if (after) {
		put_hex(at);
		put_text("\r\n");
	}
	check_equal(after, 0, "a hole reads as zero");
}

void guest_main(uint64_t fdt)
{
	(void)fdt;
	for (unsigned i = 0; i < HOLES; i++) {
		for (unsigned width = 1; width <= 8; width *= 2)
			probe(holes[i], width);
	}
	check_equal(data_aborts, 0, "none of it aborts");
}
