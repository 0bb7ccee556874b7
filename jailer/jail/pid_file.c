/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/jail/pid_file.h"

#include <stdio.h>
#include <unistd.h>

#include "core/base/err.h"
#include "jailer/jail/tree.h"

/* Link it under its name when it is complete; an existing file is kept. */
int pid_file_write(const struct tree *root, const char *name, pid_t pid,
		   struct err *e)
{
	static const char draft[] = ".pid";
	char text[16];

	int r;

	snprintf(text, sizeof(text), "%d", (int)pid);
	/* A jailer that was killed here may have left one. */
	if (tree_remove(root, draft, e) || tree_note_file(root, name, e))
		return -1;
	r = tree_write(root, draft, 0644, text, e);
	if (!r && linkat(root->fd, draft, root->fd, name, 0))
		r = err_errno(e, "cannot make %.512s/%.256s", root->name, name);
	unlinkat(root->fd, draft, 0);
	return r;
}
