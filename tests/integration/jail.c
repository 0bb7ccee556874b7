/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a command as a jailer would: jail FOLDER UID COMMAND [ARGUMENT...]
 * makes FOLDER the root ("/": leaves it) and UID user and group.
 */
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	unsigned id;

	if (argc < 4) {
		fprintf(stderr, "usage: jail FOLDER UID COMMAND...\n");
		return 2;
	}
	id = (unsigned)strtoul(argv[2], NULL, 10);
	if ((strcmp(argv[1], "/") != 0 && (chroot(argv[1]) || chdir("/"))) ||
	    setgroups(0, NULL) || setgid(id) || setuid(id)) {
		perror("jail");
		return 2;
	}
	execvp(argv[3], argv + 3);
	perror(argv[3]);
	return 127;
}
