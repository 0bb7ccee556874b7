/* SPDX-License-Identifier: Apache-2.0 */
/* stasis seccomp compile ARGUMENT...: returns the exit status. */
#pragma once

int seccomp_compile(int argc, char **argv);
