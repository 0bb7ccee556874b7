/* SPDX-License-Identifier: Apache-2.0 */
/* Which way we were started. */
#include <fcntl.h>
#include <malloc.h>
#include <string.h>

#include "core/base/util.h"
#include "core/io/log.h"
#include "vmm/cli/cli.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"run", cli_run},         {"doctor", cli_doctor},
	{"restore", cli_restore}, {"snapshot", cli_snapshot},
	{"inspect", cli_inspect}, {"ctl", cli_ctl},
	{"vsock", cli_vsock},     {"trace-offset", cli_trace_offset},
};

/* Or the next thing opened would be taken for standard output. */
static void open_missing_streams(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return;
	}
}

/*
 * What a client made us buffer goes back to the host when it is done: a VMM
 * lives long, and ten thousand of them share a host.
 */
static void keep_little_memory(void)
{
	enum { KEPT = 64 * 1024 };

	/* Fixed, too: by itself malloc() raises both when it is used. */
	mallopt(M_MMAP_THRESHOLD, KEPT);
	mallopt(M_TRIM_THRESHOLD, KEPT);
}

int main(int argc, char **argv)
{
	keep_little_memory();
	open_missing_streams();
	/* Without a command we are started as Firecracker is. */
	if (argc < 2 || argv[1][0] == '-')
		return cli_firecracker(argc - 1, argv + 1);
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 2, argv + 2);
	}
	log_error(
		"unknown command \"%.40s\"; there are run, restore, snapshot, "
		"inspect, ctl, vsock, trace-offset and doctor, and stasis "
		"--help tells more",
		argv[1]);
	return EXIT_BAD_ARGUMENTS;
}
