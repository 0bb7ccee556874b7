/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/cgroup_mount.h"

#include <string.h>

bool cgroup_lists(const char *list, const char *separators, const char *word,
		  size_t len)
{
	for (;;) {
		size_t n;

		list += strspn(list, separators);
		n = strcspn(list, separators);
		if (!n)
			return false;
		if (n == len && !memcmp(list, word, len))
			return true;
		list += n;
	}
}

static bool is_octal(const char *c)
{
	return c[0] >= '0' && c[0] <= '3' && c[1] >= '0' && c[1] <= '7' &&
	       c[2] >= '0' && c[2] <= '7';
}

/* The kernel writes blanks and backslashes as \ and three octal digits. */
static bool unescape(const char *from, size_t len, char *to, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char c = from[i];

		if (c == '\\' && i + 3 < len && is_octal(from + i + 1)) {
			c = (char)((from[i + 1] - '0') * 64 +
				   (from[i + 2] - '0') * 8 + from[i + 3] - '0');
			i += 3;
		}
		if (n + 1 >= size)
			return false;
		to[n++] = c;
	}
	to[n] = '\0';
	return true;
}

bool cgroup_find_mount(const char *mounts, unsigned version,
		       const char *controller, size_t controller_len, char *dir,
		       size_t size)
{
	const char *wanted = version == 2 ? "cgroup2" : "cgroup";

	/* source, folder, type, options, 0, 0 */
	for (const char *line = mounts; *line;) {
		const char *field[4], *c = line;
		size_t len[4];

		for (unsigned i = 0; i < 4; i++) {
			field[i] = c;
			len[i] = strcspn(c, " \n");
			c += len[i];
			c += *c == ' ';
		}
		if (len[2] == strlen(wanted) &&
		    !memcmp(field[2], wanted, len[2])) {
			char options[512] = "";

			if (len[3] < sizeof(options))
				memcpy(options, field[3], len[3]);
			if (version == 2 ||
			    cgroup_lists(options, ",", controller,
					 controller_len))
				return unescape(field[1], len[1], dir, size);
		}
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	return false;
}
