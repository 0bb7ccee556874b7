/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes another process do what it would if a guest had taken it over:
 *
 *	inject PID open PATH     opens it to read
 *	inject PID tcp PORT      connects to this port of 127.0.0.1
 *	inject PID kill PID2     sends signal 0
 *	inject PID exec PATH     becomes that program
 *	inject PID create PATH   creates it
 *	inject PID call N A B C  makes any system call with three numbers
 *	inject PID crash AT      goes on at that address
 *
 * Prints 0, or the number of the error, or "SIGSYS" if a seccomp filter forbids
 * it: then the process goes on to its end.  PID is the thread that does it,
 * which waits in a system call; it goes on as if nothing had happened.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* struct user_pt_regs of arm64 */
struct regs {
	uint64_t x[31], sp, pc, pstate;
};

/* Addresses in the other process. */
/* NOLINTBEGIN(performance-no-int-to-ptr) */

static pid_t pid;
static struct regs saved;
static uint64_t svc; /* the instruction that it waits in */

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static void get(struct regs *r)
{
	struct iovec iov = {r, sizeof(*r)};

	if (ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &iov))
		die("GETREGSET");
}

static void set(const struct regs *r)
{
	struct iovec iov = {(void *)r, sizeof(*r)};

	if (ptrace(PTRACE_SETREGSET, pid, (void *)NT_PRSTATUS, &iov))
		die("SETREGSET");
}

static void wait_for_stop(void)
{
	int status;

	if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status))
		die("waitpid");
}

/* SIGSYS is pending: the call was not made. */
static bool is_forbidden(void)
{
	char path[32], line[128];
	unsigned long long pending = 0;
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	status = fopen(path, "r");
	while (status && fgets(line, sizeof(line), status)) {
		if (!strncmp(line, "SigPnd:", 7))
			pending = strtoull(line + 7, NULL, 16);
	}
	if (status)
		fclose(status);
	return pending >> (SIGSYS - 1) & 1;
}

/* If the kernel begins the call again, it has set pc back already. */
static void find_svc(void)
{
	const uint32_t code = 0xd4000001;

	for (svc = saved.pc; svc >= saved.pc - 4; svc -= 4) {
		errno = 0;
		if ((uint32_t)ptrace(PTRACE_PEEKTEXT, pid, (void *)svc, NULL) ==
			    code &&
		    !errno)
			return;
	}
	fprintf(stderr, "it is not in a system call\n");
	exit(2);
}

/* Below the thread's stack; the address of the copy. */
static uint64_t put(const void *data, size_t len)
{
	uint64_t at = (saved.sp - 8192) & ~15ull;
	struct iovec from = {(void *)data, len}, to = {(void *)at, len};

	if (process_vm_writev(pid, &from, 1, &to, 1, 0) != (ssize_t)len)
		die("process_vm_writev");
	return at;
}

static uint64_t number(const char *text)
{
	return strtoull(text, NULL, 0);
}

static int64_t call(uint64_t number, uint64_t a, uint64_t b, uint64_t c,
		    uint64_t d)
{
	struct regs r = saved;

	r.x[0] = a;
	r.x[1] = b;
	r.x[2] = c;
	r.x[3] = d;
	r.x[8] = number;
	r.pc = svc;
	set(&r);
	for (int i = 0; i < 2; i++) { /* to its entry, and to its end */
		if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL))
			die("SYSCALL");
		wait_for_stop();
	}
	if (is_forbidden()) {
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
		printf("SIGSYS\n");
		exit(0);
	}
	get(&r);
	return (int64_t)r.x[0];
}

static int64_t open_path(const char *path, int flags)
{
	uint64_t at = put(path, strlen(path) + 1);
	int64_t fd =
		call(SYS_openat, (uint64_t)AT_FDCWD, at, (uint64_t)flags, 0600);

	if (fd >= 0)
		call(SYS_close, (uint64_t)fd, 0, 0, 0);
	return fd;
}

static int64_t connect_to(unsigned port)
{
	const struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int64_t fd = call(SYS_socket, AF_INET, SOCK_STREAM, 0, 0), r;

	if (fd < 0)
		return fd;
	r = call(SYS_connect, (uint64_t)fd, put(&to, sizeof(to)), sizeof(to),
		 0);
	call(SYS_close, (uint64_t)fd, 0, 0, 0);
	return r;
}

static int64_t become(const char *path)
{
	const uint64_t none = 0;
	uint64_t name = put(path, strlen(path) + 1);

	return call(SYS_execve, name, name - sizeof(none), name - sizeof(none),
		    0);
}

static int64_t act(char **argv)
{
	const char *what = argv[0];

	if (!strcmp(what, "open"))
		return open_path(argv[1], O_RDONLY);
	if (!strcmp(what, "create"))
		return open_path(argv[1], O_RDWR | O_CREAT);
	if (!strcmp(what, "exec"))
		return become(argv[1]);
	if (!strcmp(what, "tcp"))
		return connect_to((unsigned)number(argv[1]));
	if (!strcmp(what, "kill"))
		return call(SYS_kill, number(argv[1]), 0, 0, 0);
	return call(number(argv[1]), number(argv[2]), number(argv[3]),
		    number(argv[4]), 0);
}

int main(int argc, char **argv)
{
	int64_t r;

	if (argc != 4 && (argc != 7 || strcmp(argv[2], "call") != 0)) {
		fprintf(stderr,
			"usage: inject PID open|create|exec|tcp|kill|crash "
			"WHAT, or inject PID call N A B C\n");
		return 2;
	}
	pid = (pid_t)number(argv[1]);
	if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD))
		die("SEIZE");
	if (ptrace(PTRACE_INTERRUPT, pid, NULL, NULL))
		die("INTERRUPT");
	wait_for_stop();
	get(&saved);
	if (!strcmp(argv[2], "crash")) {
		saved.pc = number(argv[3]);
		r = 0;
	} else {
		find_svc();
		r = act(argv + 2);
	}
	set(&saved);
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
	printf("%d\n", r < 0 ? (int)-r : 0);
	return 0;
}
/* NOLINTEND(performance-no-int-to-ptr) */
