/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Empty replacements for 160 KiB of the static C library that the product does
 * not use, so that the linker omits those parts and their dependencies.
 *
 * They are: stack unwinding (the product has no .eh_frame, see
 * build/config/product.ld), wide characters in libc's own messages, loading of
 * shared objects that convert character sets, the name resolver's state,
 * locales and translated messages.  A libc that does not fit fails to link,
 * because symbols are then defined twice or not at all.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* These names are referenced by the compiler and the C library. */
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

/* printf("%a"), and the message of an assertion within libc. */
NEVER_CALLED(__printf_fphex_l_buffer)
NEVER_CALLED(__libc_assert_fail)
/* Of printf("%n"), whose use would end the process anyway. */
NEVER_CALLED(__readonly_area)
/* And of printf("%1$s"). */
NEVER_CALLED(__parse_one_specmb)

/* Wide-character streams and their conversion. */
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

/* Freeing locales and messages, for memory checkers: none are loaded. */
NOTHING_TO_DO(_nl_locale_subfreeres)
NOTHING_TO_DO(_nl_finddomain_subfreeres)

/* Clears the environment of a setuid program: the product is none, and starts
 * no others. */
NOTHING_TO_DO(__unsetenv)

/* Protects the locale while it changes: ours never does. */
extern pthread_rwlock_t __libc_setlocale_lock;
pthread_rwlock_t __libc_setlocale_lock = PTHREAD_RWLOCK_INITIALIZER;

/* Messages are not translated. */
char *__dcgettext(const char *domain, const char *message, int category);

char *__dcgettext(const char *domain, const char *message, int category)
{
	(void)domain;
	(void)category;
	return (char *)message;
}

/* The program's folder, for loading shared objects.  Saves a system call. */
const char *_dl_get_origin(void);

const char *_dl_get_origin(void)
{
	/* NOLINTNEXTLINE(performance-no-int-to-ptr): as libc says "unknown" */
	return (const char *)-1;
}

/* The resolver's state: each thread has one, and none uses it. */
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
