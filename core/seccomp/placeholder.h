/* SPDX-License-Identifier: Apache-2.0 */
/* Values that only the running product knows: seccomp.c replaces them in the
 * compiled programs. */
#pragma once

enum { SECCOMP_OWN_PID = 0x5eccc0de };
