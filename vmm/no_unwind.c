/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a static C library would bring for unwinding stacks and for assertions
 * of libraries: 30 KB of it.  Nothing here unwinds (the product has no
 * .eh_frame: build/config/product.ld), and a failed assertion ends the process
 * in any case.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Names that the compiler and the C library call. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl*) */
#define NEVER_CALLED(name)                        \
	void name(void);                          \
	__attribute__((noreturn)) void name(void) \
	{                                         \
		__builtin_trap();                 \
	}

NEVER_CALLED(_Unwind_Backtrace)
NEVER_CALLED(_Unwind_ForcedUnwind)
NEVER_CALLED(_Unwind_GetCFA)
NEVER_CALLED(_Unwind_GetIP)
NEVER_CALLED(_Unwind_Resume)
NEVER_CALLED(__gcc_personality_v0)

void __assert_fail(const char *what, const char *file, unsigned line,
		   const char *function);

__attribute__((noreturn)) void __assert_fail(const char *what, const char *file,
					     unsigned line,
					     const char *function)
{
	char text[256];
	int n = snprintf(text, sizeof(text),
			 "stasis: error: %s:%u: %s: assertion failed: %s\n",
			 file, line, function, what);

	if (n > 0)
		(void)!write(STDERR_FILENO, text, strnlen(text, sizeof(text)));
	__builtin_trap();
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl*) */
