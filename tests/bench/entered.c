/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which functions of a program run, in their order:
 *
 *	entered FUNCTIONS OUT PROGRAM [ARGUMENT...]
 *
 * FUNCTIONS has where each begins, from the start of the (arm64) program, in
 * hexadecimal and one a line.  Those that were entered are added to OUT in the
 * same way, each once.  Each has a breakpoint until it is reached: that is
 * faster than single steps, and does not disturb exclusive loads and stores.
 */
#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FUNCTIONS_MAX = 16384 };

struct function {
	unsigned long offset;
	uint32_t code; /* its first instruction; 0: no breakpoint any more */
};

static const uint32_t breakpoint = 0xd4200000; /* brk #0 */
static struct function function[FUNCTIONS_MAX];
static unsigned function_count;

__attribute__((noreturn)) static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void read_functions(const char *path)
{
	FILE *file = fopen(path, "r");
	char line[32];

	if (!file)
		fail(path);
	while (function_count < FUNCTIONS_MAX &&
	       fgets(line, sizeof(line), file))
		function[function_count++].offset = strtoul(line, NULL, 16);
	fclose(file);
}

/* Where its first mapping is: before it runs, that is the program's. */
static unsigned long base_of(pid_t pid)
{
	char path[32], line[32];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	file = fopen(path, "r");
	if (!file || !fgets(line, sizeof(line), file))
		fail(path);
	fclose(file);
	return strtoul(line, NULL, 16);
}

static int open_memory(pid_t pid)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDWR);
	if (fd < 0)
		fail(path);
	return fd;
}

static void set_breakpoints(int memory, unsigned long base)
{
	for (unsigned i = 0; i < function_count; i++) {
		struct function *f = &function[i];
		off_t at = (off_t)(base + f->offset);
		uint32_t code;

		/* Two names of one function. */
		if (pread(memory, &code, sizeof(code), at) != sizeof(code) ||
		    code == breakpoint)
			continue;
		f->code = code;
		if (pwrite(memory, &breakpoint, sizeof(breakpoint), at) < 0)
			fail("a breakpoint");
	}
}

/* Is it one of ours?  Then it is over. */
static int reached(int memory, unsigned long base, pid_t thread, FILE *out)
{
	struct {
		uint64_t x[31], sp, pc, pstate;
	} regs;
	struct iovec v = {&regs, sizeof(regs)};

	if (ptrace(PTRACE_GETREGSET, thread, (void *)NT_PRSTATUS, &v))
		return 0;
	for (unsigned i = 0; i < function_count; i++) {
		struct function *f = &function[i];

		if (base + f->offset != regs.pc)
			continue;
		/* Another thread may have been here before it was gone. */
		if (f->code) {
			fprintf(out, "%lx\n", f->offset);
			if (pwrite(memory, &f->code, sizeof(f->code),
				   (off_t)regs.pc) < 0)
				fail("an instruction");
			f->code = 0;
		}
		return 1;
	}
	return 0;
}

static int follow(pid_t pid, FILE *out)
{
	unsigned long base = base_of(pid);
	int memory = open_memory(pid), status;
	pid_t thread;

	set_breakpoints(memory, base);
	ptrace(PTRACE_CONT, pid, NULL, NULL);
	while ((thread = waitpid(-1, &status, __WALL)) > 0) {
		int signal = WSTOPSIG(status);

		if (!WIFSTOPPED(status)) {
			if (thread == pid)
				break;
			continue;
		}
		/* A new thread, or what it was made by. */
		if (signal == SIGSTOP || status >> 16)
			signal = 0;
		if (signal == SIGTRAP && reached(memory, base, thread, out))
			signal = 0;
		ptrace(PTRACE_CONT, thread, NULL, (long)signal);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
	FILE *out;
	int status;
	pid_t pid;

	if (argc < 4) {
		fprintf(stderr, "usage: entered FUNCTIONS OUT PROGRAM "
				"[ARGUMENT...]\n");
		return 2;
	}
	read_functions(argv[1]);
	out = fopen(argv[2], "ae");
	if (!out)
		fail(argv[2]);
	/* We may be killed, as the program may. */
	setvbuf(out, NULL, _IOLBF, 0);
	pid = fork();
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		execv(argv[3], argv + 3);
		fail(argv[3]);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFSTOPPED(status))
		fail("entered");
	ptrace(PTRACE_SETOPTIONS, pid, NULL,
	       (long)(PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL));
	status = follow(pid, out);
	fclose(out);
	return status;
}
