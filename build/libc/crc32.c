/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zlib's crc32(), which inflate() calls for kernels in gzip, and snapshots for
 * their state.  Debian's zlib is compiled for processors without the CRC-32
 * instructions, and brings tables of 12 KiB instead.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>

#ifdef __aarch64__
#include <arm_acle.h>
#include <sys/auxv.h>

static bool has_instructions(void)
{
	return getauxval(AT_HWCAP) & HWCAP_CRC32;
}

__attribute__((target("crc"))) static uint32_t
by_instructions(uint32_t crc, const uint8_t *p, size_t len)
{
	for (; len >= sizeof(uint64_t); len -= sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, p, sizeof(word));
		crc = __crc32d(crc, word);
		p += sizeof(word);
	}
	while (len--)
		crc = __crc32b(crc, *p++);
	return crc;
}
#else
static bool has_instructions(void)
{
	return false;
}

static uint32_t by_instructions(uint32_t crc, const uint8_t *p, size_t len)
{
	(void)p;
	(void)len;
	return crc;
}
#endif

/* For processors without them (ARMv8.0), half a byte at a time. */
static uint32_t by_table(uint32_t crc, const uint8_t *p, size_t len)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
		0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};

	while (len--) {
		crc ^= *p++;
		crc = table[crc & 15] ^ crc >> 4;
		crc = table[crc & 15] ^ crc >> 4;
	}
	return crc;
}

uLong crc32(uLong crc, const Bytef *buf, uInt len)
{
	uint32_t start = ~(uint32_t)crc;

	if (!buf)
		return 0;
	if (has_instructions())
		return (uint32_t)~by_instructions(start, buf, len);
	return (uint32_t)~by_table(start, buf, len);
}
