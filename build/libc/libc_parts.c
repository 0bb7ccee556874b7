/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Empty replacements for 200 KiB of the static C library that the product does
 * not use, so that the linker omits those parts and their dependencies.
 *
 * They are: stack unwinding (the product has no .eh_frame, see
 * build/config/product.ld), wide characters in libc's own messages, loading of
 * shared objects, the name resolver's state, locales and translated messages.
 * A libc that does not fit fails to link, because symbols are then defined
 * twice or not at all.
 */
#include <elf.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

/* These names are referenced by the compiler and the C library. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl*,readability-inconsistent-*)
 */
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

/* printf("%#m"), printf("%ls"), printf("%lc"). */
NEVER_CALLED(__get_errname)
NEVER_CALLED(__wcrtomb)
NEVER_CALLED(__wcsrtombs)

/* Mutexes that raise their owner's priority. */
NEVER_CALLED(__init_sched_fifo_prio)
NEVER_CALLED(__pthread_current_priority)
NEVER_CALLED(__pthread_tpp_change_priority)
extern int __sched_fifo_min_prio;
int __sched_fifo_min_prio = -1;

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

/* Huge pages for malloc(), which a GLIBC_TUNABLES would choose. */
NOTHING_TO_DO(__malloc_hugepage_config)
unsigned long __malloc_default_thp_pagesize(void);
unsigned __malloc_thp_mode(void);

unsigned long __malloc_default_thp_pagesize(void)
{
	return 0;
}

unsigned __malloc_thp_mode(void)
{
	enum { NOT_SUPPORTED = 3 };

	return NOT_SUPPORTED;
}

/* Messages are not translated. */
char *__dcgettext(const char *domain, const char *message, int category);

char *__dcgettext(const char *domain, const char *message, int category)
{
	(void)domain;
	(void)category;
	return (char *)message;
}

/*
 * Loading shared objects.  The kernel has checked the program's note, and maps
 * its code with BTI.  Only an environment that sets GLIBC_TUNABLES wrongly
 * would be told of it.
 */
NOTHING_TO_DO(_dl_init_paths)
NOTHING_TO_DO(_dl_process_pt_gnu_property)
NOTHING_TO_DO(_dl_bti_check)
NOTHING_TO_DO(_dl_gcs_check)
NOTHING_TO_DO(_dl_debug_printf)
NOTHING_TO_DO(_dl_debug_printf_c)
NOTHING_TO_DO(_dl_error_printf)
NEVER_CALLED(_dl_allocate_static_tls)
NEVER_CALLED(_dl_exception_create_format)
NEVER_CALLED(_dl_fatal_printf)
NEVER_CALLED(_dl_printf)
NEVER_CALLED(_dl_reloc_bad_type)
NEVER_CALLED(_dl_signal_error)
NEVER_CALLED(_dl_signal_exception)

/* Makes what relocation has written read-only: libc's own is a part of the
 * loader. */
void _dl_protect_relro(const void *program);

void _dl_protect_relro(const void *program)
{
	extern const char __ehdr_start[] __attribute__((visibility("hidden")));
	const Elf64_Ehdr *head = (const void *)__ehdr_start;
	const Elf64_Phdr *at = (const void *)(__ehdr_start + head->e_phoff);
	uintptr_t page = getauxval(AT_PAGESZ);

	(void)program;
	for (unsigned i = 0; i < head->e_phnum; i++) {
		char *start = (char *)__ehdr_start + at[i].p_vaddr;

		if (at[i].p_type == PT_GNU_RELRO &&
		    mprotect(start - ((uintptr_t)start & (page - 1)),
			     at[i].p_memsz + ((uintptr_t)start & (page - 1)),
			     PROT_READ))
			__builtin_trap();
	}
}

/* The program's folder, for loading shared objects.  Saves a system call. */
const char *_dl_get_origin(void);

const char *_dl_get_origin(void)
{
	/* NOLINTNEXTLINE(performance-no-int-to-ptr): as libc says "unknown" */
	return (const char *)-1;
}

/* Of libc's many answers, the product asks for one. */
long sysconf(int name)
{
	if (name == _SC_PAGESIZE)
		return (long)getauxval(AT_PAGESZ);
	errno = EINVAL;
	return -1;
}

/*
 * libc's asks the vDSO, for which it maps memory first.  The product needs a
 * few random numbers.
 */
NOTHING_TO_DO(__getrandom_early_init)
NOTHING_TO_DO(__getrandom_vdso_release)

ssize_t getrandom(void *buf, size_t len, unsigned flags)
{
	return syscall(SYS_getrandom, buf, len, flags);
}

/* libc's reads folders if the kernel's answer does not fit. */
static char *current_folder(char *buf, size_t size)
{
	return syscall(SYS_getcwd, buf, size) > 0 ? buf : NULL;
}

char *getcwd(char *buf, size_t size)
{
	return current_folder(buf, size);
}

char *__getcwd_chk(char *buf, size_t size, size_t room)
{
	(void)room;
	return current_folder(buf, size);
}

/* realpath() calls it by this name. */
char *__getcwd(char *buf, size_t size);

char *__getcwd(char *buf, size_t size)
{
	return current_folder(buf, size);
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
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl*,readability-inconsistent-*)
 */
