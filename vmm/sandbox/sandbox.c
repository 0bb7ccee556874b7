/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandbox/sandbox.h"

#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "vmm/config/config.h"
#include "vmm/sandbox/landlock.h"

int sandbox_allow(struct sandbox *s, const char *value, struct err *e)
{
	size_t len = strlen(value);
	bool read_only = len >= 3 && !strcmp(value + len - 3, ":ro");

	if (s->allowed_count == SANDBOX_PATHS_MAX)
		return err_set(e, "--allow-path may be given at most %d times",
			       SANDBOX_PATHS_MAX);
	if (read_only)
		len -= 3;
	if (!len || len >= PATH_MAX)
		return err_set(e,
			       "--allow-path \"%.40s\" is not a path; write "
			       "PATH or PATH:ro",
			       value);
	s->allowed[s->allowed_count++] =
		(struct sandbox_path){value, (int)len, read_only};
	return 0;
}

void sandbox_begin(const struct sandbox *s)
{
	/*
	 * 1, not 0: the kernel writes no core file of less than a page, and
	 * runs no program of core_pattern for 1, as it would for 0.
	 */
	static const struct rlimit no_core = {1, 1};

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* What we inherited; what we open is close-on-exec.  Linux 5.11. */
	(void)syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
	if (!s->off)
		(void)setrlimit(RLIMIT_CORE, &no_core);
}

/* -------------------------------------------------------------- namespaces */

/*
 * A network namespace with nothing in it, and the user namespace that permits
 * to have one.  Ids are not mapped: files are still accessed as this user with
 * its groups, of which nothing in the namespace has to know.  Taps are open
 * already, and stay where they are.
 */
static void enter_namespaces(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3};
	static const struct __user_cap_data_struct none[2];

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET)) {
		log_info("--sandbox: this host does not give a user namespace "
			 "(%s); going on without",
			 strerror(errno));
		return;
	}
	/* In the new namespace we have all capabilities. */
	(void)syscall(SYS_capset, &header, none);
}

/* ---------------------------------------------------------------- Landlock */

static bool allow_folder_of(const struct landlock *l, const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	if (!path)
		return true;
	if (!slash)
		return landlock_allow(l, ".", 1, LANDLOCK_REMOVE);
	return landlock_allow(l, path, (size_t)(slash - path) + 1,
			      LANDLOCK_REMOVE);
}

/* What will still be opened or removed.  False if a rule cannot be made: then
 * none may apply, because something would fail later that should not. */
static bool add_rules(const struct sandbox *s, const struct landlock *l,
		      const struct vm_config *config)
{
	for (unsigned i = 0; i < s->allowed_count; i++) {
		const struct sandbox_path *p = &s->allowed[i];

		if (!landlock_allow(l, p->path, (size_t)p->len,
				    p->read_only ? LANDLOCK_READ
						 : LANDLOCK_WRITE)) {
			log_warn("--allow-path %.*s: %s; it is not allowed",
				 p->len, p->path, strerror(errno));
		}
	}
	/* A root without /proc needs no rule for it. */
	if ((s->has_api || s->records) &&
	    !landlock_allow(l, "/proc", 5, LANDLOCK_READ) && errno != ENOENT)
		return false;
	if (s->records &&
	    !landlock_allow(l, s->records, strlen(s->records), LANDLOCK_WRITE))
		return false;
	return allow_folder_of(l, s->api_sock) &&
	       allow_folder_of(l, config->vsock.uds_path);
}

static void use_landlock(const struct sandbox *s,
			 const struct vm_config *config)
{
	bool files = !s->has_api || s->allowed_count;
	struct landlock l;

	if (landlock_begin(&l, files) && (!files || add_rules(s, &l, config)) &&
	    landlock_apply(&l))
		return;
	if (s->allowed_count)
		log_warn("--allow-path has no effect: this kernel has no "
			 "Landlock, or does not take its rules (%s)",
			 strerror(errno));
	else
		log_debug("no Landlock: %s", strerror(errno));
	util_close(&l.fd);
}

void sandbox_enter(const struct sandbox *s, const struct vm_config *config)
{
	if (s->namespaces)
		enter_namespaces();
	if (!s->off)
		use_landlock(s, config);
}
