/* SPDX-License-Identifier: Apache-2.0 */
/* Entry point: selects the command named by the first argument. */
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
	{"run", cli_run},
	{"doctor", cli_doctor},
	{"restore", cli_restore},
	{"snapshot", cli_snapshot},
	{"inspect", cli_inspect},
	{"ctl", cli_ctl},
	{"image", cli_image},
	{"vsock", cli_vsock},
	{"trace-offset", cli_trace_offset},
	{"trace-merge", cli_trace_merge},
	{"seccomp", cli_seccomp},
};

/*
 * Open /dev/null in place of any closed standard stream, so that no file
 * opened later gets descriptor 0, 1 or 2 and is used as a standard stream.
 */
static void open_missing_streams(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return;
	}
}

/*
 * Make free() return large buffers to the host, because VMMs are long-lived and
 * thousands of them share a host.
 */
static void keep_little_memory(void)
{
	enum { KEPT = 64 * 1024 };

	/* Helper threads are few: no arena of their own, for which glibc asks
	 * how many processors there are. */
	mallopt(M_ARENA_MAX, 1);
	/* Setting them also stops glibc from raising both thresholds itself. */
	mallopt(M_MMAP_THRESHOLD, KEPT);
	mallopt(M_TRIM_THRESHOLD, KEPT);
}

/*
 * Make options of the words in `stasis help`, `stasis help COMMAND`, `stasis
 * COMMAND help` and `stasis COMMAND --version`.  Returns the new count.
 */
static int take_help_words(int argc, char **argv)
{
	static char help[] = "--help", version[] = "--version";

	if (argc < 2 || argc > 3 || argv[1][0] == '-')
		return argc;
	if (!strcmp(argv[1], "help")) {
		argv[1] = argc == 3 ? argv[2] : help;
		argv[2] = argc == 3 ? help : NULL;
	} else if (argc == 3 && !strcmp(argv[2], "help")) {
		argv[2] = help;
	} else if (argc == 3 &&
		   (!strcmp(argv[2], "-V") || !strcmp(argv[2], version))) {
		argv[1] = version;
		return 2;
	}
	return argc;
}

int main(int argc, char **argv)
{
	argc = take_help_words(argc, argv);
	keep_little_memory();
	open_missing_streams();
	/* No command: parse Firecracker's command line. */
	if (argc < 2 || argv[1][0] == '-')
		return cli_firecracker(argc - 1, argv + 1);
	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 2, argv + 2);
	}
	log_error("unknown command \"%.40s\"; stasis --help lists the commands",
		  argv[1]);
	return EXIT_BAD_ARGUMENTS;
}
