/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_mem_written() sets the bits of the pages that the bytes are in, no
 * others, and none outside of the bitmap.
 *
 * Bounds: a region of up to 192 pages of 4 KiB, which is three words of bits.
 */
#include "core/machine/mem_dirty.c" /* nogncheck */
#include "tests/proofs/proofs.h"

enum { WORDS = 3, PAGE = 4096 };

int main(void)
{
	static uint8_t ram[64 * WORDS * PAGE];
	static uint64_t bits[WORDS];
	static struct guest_mem_dirty dirty = {
		.page = PAGE, .bits = {bits}, .words = {WORDS}};
	static struct guest_mem mem = {.region_count = 1, .dirty = &dirty};
	uint64_t offset = nondet_u64(), len = nondet_u64();
	unsigned any = nondet_u32();

	mem.region[0].host = ram;
	mem.region[0].size = (uint64_t)nondet_u8() * PAGE;
	assume(mem.region[0].size <= 64ull * WORDS * PAGE);
	assume(offset <= mem.region[0].size);
	assume(len <= mem.region[0].size - offset);
	assume(any < 64 * WORDS);
	guest_mem_written(&mem, ram + offset, len);
	prove((bits[any / 64] >> any % 64 & 1) ==
		      (len && any >= offset / PAGE &&
		       any <= (offset + len - 1) / PAGE),
	      "a page is marked if something in it was written");
	return 0;
}
