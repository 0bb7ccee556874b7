/* SPDX-License-Identifier: Apache-2.0 */
/* build/libc/crc32.c against zlib's own, which has a second name. */
#include <stdlib.h>
#include <zlib.h>

#include "tests/unit/testing.h"

enum { SIZE = 4096 };

static void it_is_zlibs(void **state)
{
	static uint8_t bytes[SIZE];
	uint32_t seed = 1;

	(void)state;
	for (unsigned i = 0; i < SIZE; i++) {
		seed = seed * 1103515245 + 12345;
		bytes[i] = (uint8_t)(seed >> 16);
	}
	for (unsigned at = 0; at < 16; at++) {
		for (unsigned len = 0; len < 300; len++)
			assert_int_equal(crc32(seed, bytes + at, len),
					 crc32_z(seed, bytes + at, len));
	}
	assert_int_equal(crc32(0, bytes, SIZE), crc32_z(0, bytes, SIZE));
}

/* As callers begin: what zlib calls the initial value. */
static void nothing_is_zero(void **state)
{
	(void)state;
	assert_int_equal(crc32(7, NULL, 0), 0);
	assert_int_equal(crc32(0, (const Bytef *)"123456789", 9), 0xcbf43926);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_zlibs),
		cmocka_unit_test(nothing_is_zero),
	};

	return RUN_TESTS("crc32", tests);
}
