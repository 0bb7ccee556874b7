/* SPDX-License-Identifier: Apache-2.0 */
/* `stasis image`: a program of its own, which unpacks archives. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/log.h"
#include "vmm/cli/cli.h"

int cli_image(int argc, char **argv)
{
	/* From where stasis is: installed, or built in the source tree. */
	static const char *const places[] = {"lib/stasis/image", "tools/image"};
	char exe[PATH_MAX] = "", path[PATH_MAX + 32];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char *slash = len > 0 ? strrchr(exe, '/') : NULL;

	(void)argc;
	/* The word "image" becomes the program's name. */
	argv--;
	for (unsigned i = 0; slash && i < ARRAY_SIZE(places); i++) {
		*slash = '\0';
		snprintf(path, sizeof(path), "%s/../%s", exe, places[i]);
		execv(path, argv);
	}
	log_error("stasis image needs Python 3, and lib/stasis/image beside "
		  "the folder of stasis (in the source tree: tools/image)");
	return EXIT_FAILED;
}
