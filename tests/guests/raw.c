/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A binary without a header: it lies where raw binaries do by default, and all
 * RAM that it is told of is its own, up to its device tree.
 */
#include "tests/guests/lib.h"

enum { STEP = 0x10000, FDT_MAGIC = 0xedfe0dd0 /* read little-endian */ };

extern const char _head[], _base[], _image_size[];
static const char *const volatile linked = _head;

static uint32_t swap(uint32_t word)
{
	return __builtin_bswap32(word);
}

/* Is @text, without its NUL, anywhere in the tree? */
static bool tells(uint64_t fdt, const char *text)
{
	uint32_t size = swap(read32(fdt + 4));

	for (uint64_t at = fdt; at < fdt + size; at++) {
		unsigned n = 0;

		while (text[n] && read8(at + n) == (uint8_t)text[n])
			n++;
		if (!text[n])
			return true;
	}
	return false;
}

static bool can_be_filled(uint64_t from, uint64_t to)
{
	for (uint64_t at = from; at < to; at += STEP)
		write64(at, ~at);
	for (uint64_t at = from; at < to; at += STEP) {
		if (read64(at) != ~at)
			return false;
	}
	return true;
}

void guest_main(uint64_t fdt)
{
	uint64_t end = (uint64_t)_base + (uint64_t)_image_size;

	/* By its distance from here, and by what the linker wrote. */
	check_equal((uint64_t)_head, 0x80080000, "raw: it lies there");
	check_equal((uint64_t)linked, 0x80080000, "raw: as it was linked");
	check_equal(read32(fdt), FDT_MAGIC, "raw: x0 is the device tree");
	check(fdt > end, "raw: which lies above it");
	check(tells(fdt, "memory@80080000"), "raw: RAM begins where it does");
	check(can_be_filled((end + STEP - 1) & -(uint64_t)STEP, fdt),
	      "raw: what is between them can be written");
	check_equal(read32(fdt), FDT_MAGIC, "raw: the tree has survived");
}
