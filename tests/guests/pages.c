/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that has something in each page of 12 MiB, and once it is restored
 * reads some of them: of three blocks, the last first, then the first, then the
 * second, with a while in between.  Tells whether they are what they were; then
 * a typed q powers off.  It wants 32 MiB of RAM.
 */
#include "tests/guests/lib.h"

#define VMGENID 0x80030000ull
#define FIRST   0x80400000ull

enum { RBR = 0, LSR = 5, LSR_DATA_READY = 1 };
enum { PAGE = 4096, BLOCK = 4 << 20, BLOCKS = 3, STRIDE = 128 << 10 };

static uint64_t content(uint64_t at)
{
	return at * 0x9e3779b97f4a7c15ull | 1;
}

/* Twice as late as it is now, and a bit. */
static void wait_longer(uint64_t since)
{
	uint64_t until = since + 2 * (ticks() - since) + ticks_of_ms(100);

	while (ticks() < until)
		continue;
}

static uint64_t read_block(unsigned block)
{
	uint64_t at = FIRST + (uint64_t)block * BLOCK, end = at + BLOCK;
	uint64_t wrong = 0;

	for (; at < end; at += STRIDE)
		wrong += read64(at) != content(at);
	return wrong;
}

void guest_main(uint64_t fdt)
{
	static const unsigned order[BLOCKS] = {2, 0, 1};
	uint64_t generation = read64(VMGENID), since, wrong = 0;

	(void)fdt;
	for (uint64_t at = FIRST; at < FIRST + BLOCKS * BLOCK; at += PAGE)
		write64(at, content(at));
	put_text("waiting.\n");
	while (read64(VMGENID) == generation)
		continue;
	since = ticks();
	for (unsigned i = 0; i < BLOCKS; i++) {
		wait_longer(since);
		wrong += read_block(order[i]);
	}
	put_text("read ");
	put_number(BLOCKS * (BLOCK / STRIDE));
	put_text(" wrong ");
	put_number(wrong);
	put_text(".\n");
	while (!(read8(SERIAL + LSR) & LSR_DATA_READY) ||
	       read8(SERIAL + RBR) != 'q')
		continue;
	psci(PSCI_SYSTEM_OFF, 0, 0, 0);
}
