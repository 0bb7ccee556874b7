/* SPDX-License-Identifier: Apache-2.0 */
/* The product's tables of characters are those of the C library. */
#include <ctype.h>

#include "tests/unit/testing.h"

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl*): the library's names */
extern const uint16_t _nl_C_LC_CTYPE_class[384];
extern const int32_t _nl_C_LC_CTYPE_toupper[384], _nl_C_LC_CTYPE_tolower[384];
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl*) */

static void tables_are_those_of_the_c_library(void **state)
{
	const uint16_t *class = *__ctype_b_loc();
	const int32_t *upper = *__ctype_toupper_loc();
	const int32_t *lower = *__ctype_tolower_loc();

	(void)state;
	for (int c = -128; c < 256; c++) {
		assert_int_equal(_nl_C_LC_CTYPE_class[c + 128], class[c]);
		assert_int_equal(_nl_C_LC_CTYPE_toupper[c + 128], upper[c]);
		assert_int_equal(_nl_C_LC_CTYPE_tolower[c + 128], lower[c]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_are_those_of_the_c_library),
	};

	return RUN_TESTS("libc_ctype", tests);
}
