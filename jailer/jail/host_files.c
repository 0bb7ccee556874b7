/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/jail/host_files.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "jailer/jail/tree.h"

enum { CACHES_MAX = 16, FOLDER_MODE = 0755, FILE_MODE = 0444 };

/* Make @path, whose parents may be missing, too. */
static int make_folders(const struct tree *root, const char *path,
			struct err *e)
{
	char part[128];

	for (size_t len = 0; path[len]; len++) {
		AUTO_CLOSE int fd = -1;
		bool made;

		if (path[len + 1] && path[len + 1] != '/')
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)len + 1, path);
		fd = tree_mkdir(root, part, FOLDER_MODE, &made, e);
		if (fd < 0)
			return -1;
	}
	return 0;
}

/* Copy one file, unless a prepared jail has its own. */
static int copy(int dir, const struct tree *root, const char *folder,
		const char *name, struct err *e)
{
	char path[192], text[4096];
	struct stat st;
	size_t len;

	snprintf(path, sizeof(path), "%.120s/%.64s", folder, name);
	if (!io_read_text(dir, path, text, sizeof(text) - 1) ||
	    tree_look(root, path, &st))
		return 0;
	len = strlen(text);
	memcpy(text + len, "\n", 2);
	if (make_folders(root, folder, e))
		return -1;
	return tree_write(root, path, FILE_MODE, text, e);
}

int host_files_copy(const char *top, const struct tree *root, struct err *e)
{
	static const char *const names[] = {
		"level",          "type",
		"size",           "coherency_line_size",
		"number_of_sets", "ways_of_associativity",
		"shared_cpu_map",
	};
	AUTO_CLOSE int dir = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return err_errno(e, "cannot open %.64s", top);
	for (unsigned cache = 0; cache < CACHES_MAX; cache++) {
		char folder[sizeof(HOST_CPU0) + 32];

		snprintf(folder, sizeof(folder), HOST_CPU0 "/cache/index%u",
			 cache);
		for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
			if (copy(dir, root, folder, names[i], e))
				return -1;
		}
	}
	return copy(dir, root, HOST_CPU0 "/regs/identification", "midr_el1", e);
}
