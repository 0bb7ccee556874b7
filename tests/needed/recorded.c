/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The product with other seccomp filters, which mean the same but for what the
 * environment asks for:
 *
 *   STASIS_ENTRIES=record FILE    a child traces the process, and appends to
 *                                 FILE a line "COUNT PLACE CALL" for each entry
 *                                 of the lists that was used
 *   STASIS_ENTRIES=drop PLACE FILE
 *                                 the entry at PLACE ("vcpu.inc:5") is missing;
 *                                 if a thread is caught, its line is appended
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/seccomp/seccomp.h"
#include "tests/needed/entries.h"

#ifndef NT_ARM_SYSTEM_CALL
#define NT_ARM_SYSTEM_CALL 0x404
#endif

enum { RECORD_SIZE = 1 << 16, WORDS_SIZE = 512 };

static bool records;
static char dropped[64];
static int record = -1;

/* Between the process and its child. */
static struct shared {
	unsigned used[RECORD_SIZE];
	char words[WORDS_SIZE];
} *shared;

/* ------------------------------------------------------- the child: tracing */

/* Skip the call that a thread is stopped in; it fails. */
static void fail_call(pid_t thread, int error)
{
	int none = -1;
	uint64_t registers[34];
	struct iovec number = {&none, sizeof(none)};
	struct iovec all = {registers, sizeof(registers)};

	ptrace(PTRACE_SETREGSET, thread, NT_ARM_SYSTEM_CALL, &number);
	ptrace(PTRACE_GETREGSET, thread, NT_PRSTATUS, &all);
	registers[0] = (uint64_t)-error;
	ptrace(PTRACE_SETREGSET, thread, NT_PRSTATUS, &all);
}

static void use_entry(pid_t thread)
{
	unsigned long index = 0;
	const struct entry *entry;

	ptrace(PTRACE_GETEVENTMSG, thread, 0, &index);
	shared->used[index & (RECORD_SIZE - 1)]++;
	entry = entry_at((unsigned)index);
	if (entry->rule.error)
		fail_call(thread, entry->rule.error);
}

static void go_on(pid_t thread, int status)
{
	int signal = WSTOPSIG(status), event = status >> 16;

	if (event == PTRACE_EVENT_SECCOMP)
		use_entry(thread);
	if (event == PTRACE_EVENT_STOP && signal != SIGTRAP)
		ptrace(PTRACE_LISTEN, thread, 0, 0);
	else
		ptrace(PTRACE_CONT, thread, 0, event ? 0 : signal);
}

static void trace(pid_t process, int ready)
{
	const unsigned long options =
		PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE;
	pid_t thread;
	int status;

	if (ptrace(PTRACE_SEIZE, process, 0, options))
		_exit(1);
	close(ready);
	while ((thread = waitpid(-1, &status, __WALL)) > 0) {
		if (WIFSTOPPED(status))
			go_on(thread, status);
	}
	for (unsigned i = 0; i < RECORD_SIZE; i++) {
		const struct entry *entry;

		if (!shared->used[i])
			continue;
		entry = entry_at(i);
		dprintf(record, "%u %s:%u %s\n", shared->used[i],
			strrchr(entry->file, '/') + 1, entry->line,
			entry->rule.call);
	}
	_exit(0);
}

/* ------------------------------------------------------ the child: watching */

static void watch(int ready)
{
	const pid_t process = getppid();

	close(ready);
	while (getppid() == process)
		usleep(20000);
	if (shared->words[0])
		dprintf(record, "%s\n", shared->words);
	_exit(0);
}

static void begin_child(void)
{
	int ready[2];
	char byte;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || pipe(ready))
		abort();
	if (fork()) {
		close(ready[1]);
		(void)!read(ready[0], &byte, 1);
		close(ready[0]);
		close(record);
		return;
	}
	setsid();
	dup2(record, 3);
	dup2(ready[1], 4);
	record = 3;
	close_range(5, ~0U, 0);
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	if (records)
		trace(getppid(), 4);
	else
		watch(4);
}

__attribute__((constructor)) static void begin(int argc, char **argv)
{
	char file[256], wish[512];
	const char *asked = getenv("STASIS_ENTRIES");

	if (!asked || argc < 2 ||
	    (argv[1][0] != '-' && strcmp(argv[1], "run") != 0 &&
	     strcmp(argv[1], "restore") != 0))
		return;
	snprintf(wish, sizeof(wish), "%s", asked);
	records = sscanf(wish, "record %255s", file) == 1;
	if (!records && sscanf(wish, "drop %63s %255s", dropped, file) != 2)
		return;
	record = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (record >= 0)
		begin_child();
}

/* -------------------------------------------------- instead of the product's
 */

static _Thread_local enum seccomp_thread entered;

void __real_violation_name_thread(enum seccomp_thread thread);
void __wrap_violation_name_thread(enum seccomp_thread thread);
void __wrap_violation_name_thread(enum seccomp_thread thread)
{
	entered = thread;
	__real_violation_name_thread(thread);
}

void __real_log_last_words(const char *words);
void __wrap_log_last_words(const char *words);
void __wrap_log_last_words(const char *words)
{
	if (shared)
		snprintf(shared->words, WORDS_SIZE, "%s", words);
	__real_log_last_words(words);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
	struct sock_filter code[ENTRIES_CODE_MAX];
	struct sock_fprog program = {.filter = code};
	long a[6];
	va_list args;

	va_start(args, number);
	for (unsigned i = 0; i < ARRAY_SIZE(a); i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_seccomp && shared && entered < SECCOMP_THREADS) {
		program.len = (unsigned short)entries_program(entered, records,
							      dropped, code);
		a[2] = (long)(intptr_t)&program;
	}
	return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
