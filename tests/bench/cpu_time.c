// SPDX-License-Identifier: Apache-2.0
// cpu_time COUNT COMMAND [ARGUMENT...]: runs COMMAND COUNT times, one after the
// other, with its output thrown away, and prints the smallest CPU time (user
// and system) and the smallest wall time from exec to exit, in microseconds.
// cpu_time PID: the CPU time that a process has used so far, with threads that
// are over.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long us_of(struct timeval t)
{
	return t.tv_sec * 1000000 + t.tv_usec;
}

static long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void become(char **command)
{
	int null = open("/dev/null", O_RDWR);

	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	execvp(command[0], command);
	perror(command[0]);
	_exit(127);
}

static int print_used(const char *pid)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid((pid_t)strtol(pid, NULL, 10), &clock) ||
	    clock_gettime(clock, &t)) {
		fprintf(stderr, "cpu_time: there is no process %s\n", pid);
		return 1;
	}
	printf("%ld\n", t.tv_sec * 1000000 + t.tv_nsec / 1000);
	return 0;
}

int main(int argc, char **argv)
{
	long cpu = -1, wall = -1;
	int count = argc > 2 ? (int)strtol(argv[1], NULL, 10) : 0;

	if (argc == 2)
		return print_used(argv[1]);
	if (count <= 0) {
		fprintf(stderr,
			"usage: cpu_time COUNT COMMAND [ARGUMENT...]\n");
		return 2;
	}
	for (int i = 0; i < count; i++) {
		long start = now_us();
		pid_t child = fork();
		if (child == 0)
			become(argv + 2);

		int status;
		struct rusage use;
		if (child < 0 || wait4(child, &status, 0, &use) < 0) {
			perror("cpu_time");
			return 1;
		}
		long took = now_us() - start;
		long used = us_of(use.ru_utime) + us_of(use.ru_stime);

		if (status != 0) {
			fprintf(stderr,
				"cpu_time: %s failed (wait status %#x)\n",
				argv[2], (unsigned int)status);
			return 1;
		}
		if (cpu < 0 || used < cpu)
			cpu = used;
		if (wall < 0 || took < wall)
			wall = took;
	}
	printf("%ld %ld\n", cpu, wall);
	return 0;
}
