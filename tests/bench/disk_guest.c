// SPDX-License-Identifier: Apache-2.0
// In a guest: what requests to a disk cost.  disk_guest DEVICE prints lines
// "guest: WHAT=NS", the mean time of one.  The guest's clock counts
// instructions, the host's and the VMM's too.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SMALL = 4096, LARGE = 128 * 1024, SIZE = 16 << 20 };

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void must(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

// The same offsets everywhere.
static off_t somewhere(void)
{
	static unsigned long long seed = 1;

	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (off_t)(seed >> 33) % (SIZE / SMALL) * SMALL;
}

static void tell(const char *what, double began, int count)
{
	printf("guest: %s=%.0f\n", what, (now_ns() - began) / count);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	enum { READS = 2000, STREAM = SIZE / LARGE, WRITES = 300 };
	int fd = argc == 2 ? open(argv[1], O_RDWR | O_DIRECT) : -1;
	char *data = aligned_alloc(SMALL, LARGE);
	double began;

	must(fd >= 0 && data, "disk_guest DEVICE");
	for (int i = 0; i < 50; i++)
		must(pread(fd, data, SMALL, somewhere()) == SMALL, "read");
	began = now_ns();
	for (int i = 0; i < READS; i++)
		must(pread(fd, data, SMALL, somewhere()) == SMALL, "read");
	tell("read4k", began, READS);
	began = now_ns();
	for (int i = 0; i < STREAM; i++)
		must(pread(fd, data, LARGE, (off_t)i * LARGE) == LARGE, "read");
	tell("read128k", began, STREAM);
	began = now_ns();
	for (int i = 0; i < WRITES; i++)
		must(pwrite(fd, data, SMALL, somewhere()) == SMALL &&
			     !fdatasync(fd),
		     "write");
	tell("write4k", began, WRITES);
	return 0;
}
