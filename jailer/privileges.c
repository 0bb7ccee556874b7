/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/base/err.h"

/* libc has these, but declares them nowhere. */
int capget(struct __user_cap_header_struct *header,
	   struct __user_cap_data_struct *data);
int capset(struct __user_cap_header_struct *header,
	   const struct __user_cap_data_struct *data);

/* Two 32-bit words of each set. */
enum { WORDS = _LINUX_CAPABILITY_U32S_3 };

static struct __user_cap_header_struct header(void)
{
	return (struct __user_cap_header_struct){
		.version = _LINUX_CAPABILITY_VERSION_3};
}

/* prctl() fails for the first capability that the kernel does not know. */
static int clear_bounding_set(void)
{
	for (unsigned cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0;
	     cap++) {
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
			return -1;
	}
	return 0;
}

static int clear_capabilities(void)
{
	struct __user_cap_header_struct h = header();
	struct __user_cap_data_struct none[WORDS] = {0};

	return capset(&h, none);
}

int privileges_drop(uid_t uid, gid_t gid, struct err *e)
{
	if (setgroups(0, NULL))
		return err_errno(e, "cannot leave the supplementary groups");
	if (setresgid(gid, gid, gid))
		return err_errno(e, "cannot become group %u", gid);
	if (clear_bounding_set() ||
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
		return err_errno(e, "cannot give up capabilities");
	if (setresuid(uid, uid, uid))
		return err_errno(e, "cannot become user %u", uid);
	/* User 0 keeps them otherwise. */
	if (clear_capabilities())
		return err_errno(e, "cannot give up capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return err_errno(e, "cannot set no_new_privs");
	return 0;
}

static bool has_bounding_set(void)
{
	int has = 0;

	for (unsigned cap = 0; has == 0; cap++)
		has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
	return has > 0;
}

static bool has_ambient(void)
{
	int has = 0;

	for (unsigned cap = 0; has == 0; cap++)
		has = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0);
	return has > 0;
}

static bool has_capabilities(void)
{
	struct __user_cap_header_struct h = header();
	struct __user_cap_data_struct has[WORDS];
	uint32_t all = 0;

	if (capget(&h, has))
		return true;
	for (unsigned i = 0; i < WORDS; i++)
		all |= has[i].effective | has[i].permitted | has[i].inheritable;
	return all != 0;
}

int privileges_check(uid_t uid, gid_t gid, struct err *e)
{
	const char *left = NULL;
	uid_t real, effective, saved;
	gid_t greal, geffective, gsaved;

	if (getresuid(&real, &effective, &saved) || real != uid ||
	    effective != uid || saved != uid)
		left = "another user";
	else if (getresgid(&greal, &geffective, &gsaved) || greal != gid ||
		 geffective != gid || gsaved != gid)
		left = "another group";
	else if (getgroups(0, NULL) != 0)
		left = "supplementary groups";
	else if (has_capabilities())
		left = "capabilities";
	else if (has_bounding_set())
		left = "capabilities in the bounding set";
	else if (has_ambient())
		left = "ambient capabilities";
	else if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		left = "the right to get new privileges";
	if (left)
		return err_set(e,
			       "the VMM would still have %s; this kernel did "
			       "not drop what it reported as dropped",
			       left);
	return 0;
}
