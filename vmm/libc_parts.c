/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of the static C library that the product does not need, 120 KiB of
 * it: replaced by nothing, so that the linker leaves them out with all that
 * they would need themselves.
 *
 * Unwinding stacks: nothing does (the product has no .eh_frame:
 * build/config/product.ld).  Wide characters in libc's own messages, loading
 * of shared objects to convert character sets, the state of the name
 * resolver: nothing converts or resolves.  A libc for which this is wrong does
 * not link: symbols would be defined twice, or not at all.
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
NEVER_CALLED(__fxprintf)

/* As if there were no such file. */
void *__gconv_find_shlib(const char *name);
void __gconv_release_shlib(void *handle);

void *__gconv_find_shlib(const char *name)
{
	(void)name;
	return NULL;
}

void __gconv_release_shlib(void *handle)
{
	(void)handle;
}

/* Every thread gets one, and nobody looks at it. */
extern __thread void *__libc_resp;
__thread void *__libc_resp __attribute__((tls_model("initial-exec")));

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
