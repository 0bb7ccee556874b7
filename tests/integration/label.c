/* SPDX-License-Identifier: Apache-2.0 */
/*
 * label PATH NAME [VALUE]: gives a file an extended attribute, or prints it.
 */
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

int main(int argc, char **argv)
{
	char value[256];
	ssize_t len;

	if (argc < 3) {
		fprintf(stderr, "usage: label PATH NAME [VALUE]\n");
		return 2;
	}
	if (argc > 3) {
		if (!setxattr(argv[1], argv[2], argv[3], strlen(argv[3]), 0))
			return 0;
		perror(argv[1]);
		return 1;
	}
	len = getxattr(argv[1], argv[2], value, sizeof(value));
	if (len < 0) {
		perror(argv[1]);
		return 1;
	}
	printf("%.*s\n", (int)len, value);
	return 0;
}
