/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a process whose filter forbade a call. */
#pragma once

#include "core/seccomp/seccomp.h"

/* Install the handler; @last as for seccomp_enable().  0, or -1 and errno. */
int violation_watch(void (*last)(void));

/* Whose calls those of the calling thread are, for the handler. */
void violation_name_thread(enum seccomp_thread thread);
