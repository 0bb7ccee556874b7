/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

typedef uint64_t gpa_t; /* guest-physical address */
