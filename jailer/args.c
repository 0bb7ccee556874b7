/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/args.h"

#include <stdio.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/options.h"
#include "core/base/util.h"
#include "core/base/version.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT "0123456789"

static int set_id(void *context, const char *value, struct err *e)
{
	size_t len = strlen(value);

	if (len < 1 || len > JAIL_ID_MAX ||
	    strspn(value, LOWER UPPER DIGIT "-") != len)
		return err_set(e,
			       "--id \"%.80s\": use 1 to %d letters, digits "
			       "and dashes",
			       value, JAIL_ID_MAX);
	((struct jailer_args *)context)->id = value;
	return 0;
}

/* The largest 32-bit number means "leave as it is" to the kernel. */
static int parse_owner(const char *option, const char *value, uint32_t *out,
		       struct err *e)
{
	uint64_t n;

	if (!options_parse_number(value, UINT32_MAX - 1, &n))
		return err_set(e,
			       "--%s %.40s is not valid; give a number from 0 "
			       "to %u",
			       option, value, UINT32_MAX - 1);
	*out = (uint32_t)n;
	return 0;
}

static int set_uid(void *context, const char *value, struct err *e)
{
	struct jailer_args *args = context;

	args->has_uid = true;
	return parse_owner("uid", value, &args->uid, e);
}

static int set_gid(void *context, const char *value, struct err *e)
{
	struct jailer_args *args = context;

	args->has_gid = true;
	return parse_owner("gid", value, &args->gid, e);
}

static int set_cgroup_version(void *context, const char *value, struct err *e)
{
	static const char *const versions[2] = {"1", "2"};
	int choice = options_parse_choice("cgroup-version", value, versions, e);

	((struct jailer_args *)context)->cgroup_version = (unsigned)choice + 1;
	return choice < 0 ? -1 : 0;
}

/* KEY is a file of a controller, such as "cpuset.cpus". */
static int set_cgroup(void *context, const char *value, struct err *e)
{
	struct jailer_args *args = context;
	size_t len = strcspn(value, "="), first = strcspn(value, ".");

	if (value[len] != '=' || !value[len + 1] || first == 0 ||
	    first + 1 >= len || strspn(value, LOWER DIGIT "_.") != len)
		return err_set(e,
			       "--cgroup \"%.80s\" is not valid; write "
			       "CONTROLLER.FILE=VALUE, such as cpuset.cpus=0-3",
			       value);
	if (args->cgroup_count == JAIL_CGROUPS_MAX)
		return err_set(e, "--cgroup is given more than %d times",
			       JAIL_CGROUPS_MAX);
	args->cgroup[args->cgroup_count++] = value;
	return 0;
}

static int set_parent_cgroup(void *context, const char *value, struct err *e)
{
	const char *name = value;
	size_t len = strlen(value);
	bool valid = len > 0 && value[0] != '/';

	while (valid && *name) {
		len = strcspn(name, "/");
		valid = len > 0 && !(len == 1 && name[0] == '.') &&
			!(len == 2 && name[0] == '.' && name[1] == '.');
		name += len + (name[len] == '/');
	}
	if (!valid)
		return err_set(e,
			       "--parent-cgroup \"%.80s\" is not valid; give a "
			       "path below the controllers' folder, without . "
			       "and .., such as vms/web",
			       value);
	((struct jailer_args *)context)->parent_cgroup = value;
	return 0;
}

static int set_limit(void *context, const char *value, struct err *e)
{
	struct jailer_args *args = context;
	uint64_t *limit = NULL;

	if (!strncmp(value, "fsize=", 6))
		limit = &args->fsize;
	else if (!strncmp(value, "no-file=", 8))
		limit = &args->no_file;
	if (!limit || !options_parse_number(strchr(value, '=') + 1,
					    JAIL_NO_LIMIT - 1, limit))
		return err_set(e,
			       "--resource-limit \"%.80s\" is not valid; write "
			       "fsize=BYTES or no-file=NUMBER",
			       value);
	return 0;
}

static const struct option options[] = {
	{"id", "ID", "name of this VM: 1 to 64 letters, digits, dashes",
	 .set = set_id},
	{"exec-file", "FILE", "the VMM: a static program, which is copied",
	 OPTION_TEXT(struct jailer_args, exec_file)},
	{"uid", "N", "user that the VMM runs as", .set = set_uid},
	{"gid", "N", "group that the VMM runs as", .set = set_gid},
	{"chroot-base-dir", "DIR",
	 "folder of the jails (default: " JAIL_BASE_DEFAULT ")",
	 OPTION_TEXT(struct jailer_args, base)},
	{"netns", "FILE", "network namespace to join: /var/run/netns/NAME",
	 OPTION_TEXT(struct jailer_args, netns)},
	{"cgroup-version", "1|2", "hierarchy of the cgroups (default: 1)",
	 .set = set_cgroup_version},
	{"cgroup", "KEY=VALUE...",
	 "write VALUE to the file KEY of the VM's cgroup; may be\nrepeated",
	 .set = set_cgroup},
	{"parent-cgroup", "PATH",
	 "parent of the VM's cgroup (default: the exec file's\nname)",
	 .set = set_parent_cgroup},
	{"resource-limit", "NAME=N...",
	 "fsize=BYTES: size of files that the VMM writes;\n"
	 "no-file=N: its open files (default: 2048); may be\nrepeated",
	 .set = set_limit},
	{"daemonize", NULL,
	 "in a session of its own, with standard streams\nto /dev/null",
	 OPTION_FLAG(struct jailer_args, daemonize)},
	{"new-pid-ns", NULL, "as process 1 of a new PID namespace",
	 OPTION_FLAG(struct jailer_args, new_pid_ns)},
	{"version", NULL, "print the version",
	 OPTION_FLAG(struct jailer_args, version)},
	{"help", NULL, "show this", OPTION_FLAG(struct jailer_args, help)},
};

static int check_required(const struct jailer_args *args, struct err *e)
{
	const char *missing = NULL;

	if (!args->has_gid)
		missing = "--gid N, the group";
	if (!args->has_uid)
		missing = "--uid N, the user that the VMM runs as";
	if (!args->exec_file)
		missing = "--exec-file FILE, the VMM";
	if (!args->id)
		missing = "--id ID, the VM's name";
	if (missing)
		return err_set(e, "give %s; --help lists the options", missing);
	return 0;
}

int args_parse(struct jailer_args *args, int argc, char **argv, struct err *e)
{
	int count = 0;

	*args = (struct jailer_args){
		.base = JAIL_BASE_DEFAULT,
		.cgroup_version = 1,
		.fsize = JAIL_NO_LIMIT,
		.no_file = JAIL_NO_FILE_DEFAULT,
	};
	while (count < argc && strcmp(argv[count], "--") != 0)
		count++;
	if (count < argc) {
		args->extra = argv + count + 1;
		args->extra_count = argc - count - 1;
	}
	if (options_parse(options, ARRAY_SIZE(options), count, argv, args, e))
		return -1;
	return args->help || args->version ? 0 : check_required(args, e);
}

void args_print_help(void)
{
	printf("jailer of stasis " STASIS_VERSION
	       ": starts a VMM in a jail; for launchers, as Firecracker's\n"
	       "\n"
	       "  jailer --id ID --exec-file FILE --uid N --gid N [options] "
	       "[-- VMM's options]\n"
	       "\n");
	options_print(options, ARRAY_SIZE(options));
	printf("\n"
	       "The VMM's root is DIR/NAME/ID/root, where NAME is the exec "
	       "file's name; paths in\nits options and requests are relative "
	       "to that. NAME.pid there has its process\nnumber.\n"
	       "\n"
	       "Exit status: the VMM's; with --daemonize or --new-pid-ns 0 "
	       "once it was started;\n1 if that failed.\n");
}

void args_print_version(void)
{
	/* Launchers parse the first line. */
	printf("Jailer v" FIRECRACKER_VERSION "\n"
	       "jailer of stasis " STASIS_VERSION ", with the interface of "
	       "Firecracker's; it is not Firecracker's\n");
}
