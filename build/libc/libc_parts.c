/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of the static C library that the product does not need, 160 KiB of
 * it: replaced by nothing, so that the linker leaves them out with all that
 * they would need themselves.
 *
 * Unwinding stacks: nothing does (the product has no .eh_frame:
 * build/config/product.ld).  Wide characters in libc's own messages, loading
 * of shared objects to convert character sets, the state of the name
 * resolver, locales and translated messages: nothing converts, resolves or
 * translates.  A libc for which this is wrong does not link: symbols would be
 * defined twice, or not at all.
 */
#include <pthread.h>
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

#define NOTHING_TO_DO(name) \
	void name(void);    \
	void name(void)     \
	{                   \
	}

NEVER_CALLED(_Unwind_Backtrace)
NEVER_CALLED(_Unwind_ForcedUnwind)
NEVER_CALLED(_Unwind_GetCFA)
NEVER_CALLED(_Unwind_GetIP)
NEVER_CALLED(_Unwind_Resume)
NEVER_CALLED(__gcc_personality_v0)
NEVER_CALLED(__fxprintf)

/* Streams of wide characters, and their conversion: no stream of ours is one.
 */
NEVER_CALLED(_IO_free_wbackup_area)
NEVER_CALLED(_IO_wdefault_doallocate)
NEVER_CALLED(_IO_wdefault_pbackfail)
NEVER_CALLED(_IO_wdefault_uflow)
NEVER_CALLED(_IO_wdefault_xsgetn)
NEVER_CALLED(_IO_wdefault_xsputn)
NEVER_CALLED(_IO_wdo_write)
NEVER_CALLED(_IO_wfile_overflow)
NEVER_CALLED(_IO_wfile_seekoff)
NEVER_CALLED(_IO_wfile_sync)
NEVER_CALLED(_IO_wfile_underflow)
NEVER_CALLED(_IO_wfile_underflow_maybe_mmap)
NEVER_CALLED(_IO_wfile_underflow_mmap)
NEVER_CALLED(_IO_wfile_xsputn)
NEVER_CALLED(_IO_wsetb)
NEVER_CALLED(__gconv_release_step)
NEVER_CALLED(__wcsmbs_clone_conv)
NEVER_CALLED(__wcsmbs_load_conv)
NEVER_CALLED(__wcsmbs_named_conv)
extern int __gconv_lock;
int __gconv_lock;
extern void *__wcsmbs_gconv_fcts_c[4];
void *__wcsmbs_gconv_fcts_c[4];

/* For memory checkers, of locales and messages that nobody loads. */
NOTHING_TO_DO(_nl_locale_subfreeres)
NOTHING_TO_DO(_nl_finddomain_subfreeres)

/* Against loading one while another thread reads it. */
extern pthread_rwlock_t __libc_setlocale_lock;
pthread_rwlock_t __libc_setlocale_lock = PTHREAD_RWLOCK_INITIALIZER;

/* Messages stay in English. */
char *__dcgettext(const char *domain, const char *message, int category);

char *__dcgettext(const char *domain, const char *message, int category)
{
	(void)domain;
	(void)category;
	return (char *)message;
}

/* Where we are, for the search of shared objects: a system call at each start.
 */
const char *_dl_get_origin(void);

const char *_dl_get_origin(void)
{
	/* NOLINTNEXTLINE(performance-no-int-to-ptr): as libc says "unknown" */
	return (const char *)-1;
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
