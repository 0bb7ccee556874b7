/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka, with the headers that it forgets to include. */
#pragma once

/* cmocka.h needs these before itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEST(name) cmocka_unit_test(name)
