/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firecracker's command line, so that launchers of Firecracker can start
 * stasis. Options whose function a guest or operator would miss are rejected by
 * name. Options that only tune a part that this build lacks are accepted.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/options.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "core/json/json.h"
#include "snapshot/state_file.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/launch.h"
#include "vmm/config/file/config_file.h"

enum { ID_MAX = 64 };

struct arguments {
	struct sandbox sandbox; /* must be first, for LAUNCH_OPTIONS */
	const char *id, *config_file, *metadata, *metrics_path, *api_sock;
	const char *log_path, *level, *seccomp_filter, *describe_snapshot;
	bool show_level, show_origin, no_seccomp, no_snapshots, strict;
	bool no_api, boot_timer, help, version, snapshot_version, pci;
	uint64_t body_max, mmds_max, start_us, start_cpu_us, parent_cpu_us;
	uint64_t api_fd, ready_fd; /* NO_FD: not given */
};

#define NO_FD UINT64_MAX

/* ------------------------------------------------------------------ options */

/* Only jailers pass it.  In a jail others than who starts it may provide the
 * files, so snapshots are loaded strictly. */
static int set_parent_cpu_us(void *context, const char *value, struct err *e)
{
	struct arguments *args = context;

	args->strict = true;
	if (!options_parse_number(value, UINT64_MAX, &args->parent_cpu_us))
		return err_set(e, "\"%.40s\" is not a number", value);
	return 0;
}

static int set_id(void *context, const char *value, struct err *e)
{
	size_t len = strlen(value);

	if (len < 1 || len > ID_MAX ||
	    strspn(value, "abcdefghijklmnopqrstuvwxyz"
			  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != len)
		return err_set(e,
			       "--id \"%.80s\": use 1 to %d letters, digits "
			       "and dashes",
			       value, ID_MAX);
	((struct arguments *)context)->id = value;
	return 0;
}

/* For options that launchers pass and that have no effect here. */
static int set_nothing(void *context, const char *value, struct err *e)
{
	(void)context;
	(void)value;
	(void)e;
	return 0;
}

static const struct option options[] = {
	{"config-file", "FILE",
	 "boot the VM that this JSON file describes; it may be\na pipe, or - "
	 "for standard input",
	 OPTION_TEXT(struct arguments, config_file)},
	{"no-api", NULL, "do not serve the API; needs --config-file",
	 OPTION_FLAG(struct arguments, no_api)},
	{"api-sock", "PATH",
	 "Unix socket to serve the API on (default:\n" DEFAULT_SOCKET ")",
	 OPTION_TEXT(struct arguments, api_sock)},
	{"api-fd", "N", "use this descriptor instead: a listening Unix socket",
	 OPTION_NUMBER(struct arguments, api_fd)},
	{"ready-fd", "N", "write a byte here when the API accepts requests",
	 OPTION_NUMBER(struct arguments, ready_fd)},
	{"http-api-max-payload-size", "BYTES",
	 "maximum size of a request body (default 51200)",
	 OPTION_NUMBER(struct arguments, body_max)},
	{"mmds-size-limit", "BYTES",
	 "maximum size of the metadata (default: that of a\nrequest body)",
	 OPTION_NUMBER(struct arguments, mmds_max)},
	{"id", "ID", "name of this VM in the log", .set = set_id},
	{"boot-timer", NULL,
	 "log the time when the guest writes 123 to\n0x40000000",
	 OPTION_FLAG(struct arguments, boot_timer)},
	{"log-path", "FILE", "write the log here (default: standard output)",
	 OPTION_TEXT(struct arguments, log_path)},
	{"metrics-path", "FILE",
	 "append metrics here: a line of JSON at the start,\n"
	 "every minute, on request, and at the end",
	 OPTION_TEXT(struct arguments, metrics_path)},
	{"level", "LEVEL", "Error, Warning, Info (default), Debug, Trace, Off",
	 OPTION_TEXT(struct arguments, level)},
	{"show-level", NULL, "add the level to each log line",
	 OPTION_FLAG(struct arguments, show_level)},
	{"show-log-origin", NULL, "add source file and line to each log line",
	 OPTION_FLAG(struct arguments, show_origin)},
	{"strict", NULL,
	 "snapshots are loaded with `\"strict\": true` unless a\n"
	 "load says otherwise; so in a jail (with\n"
	 "--parent-cpu-time-us, which jailers pass)",
	 OPTION_FLAG(struct arguments, strict)},
	LAUNCH_OPTIONS,
	{"version", NULL, "print the version",
	 OPTION_FLAG(struct arguments, version)},
	{"help", NULL, "show this", OPTION_FLAG(struct arguments, help)},
	{"module", "NAME", NULL, .set = set_nothing},
	{"no-seccomp", NULL,
	 "install no seccomp filters; not for guests that you\ndo not trust",
	 OPTION_FLAG(struct arguments, no_seccomp)},
	{"no-snapshots", NULL,
	 "take and load no snapshots, and forbid the system\n"
	 "calls that only they need",
	 OPTION_FLAG(struct arguments, no_snapshots)},
	{"seccomp-filter", "FILE",
	 "install these seccomp filters instead of the built-in\n"
	 "ones (stasis seccomp compile)",
	 OPTION_TEXT(struct arguments, seccomp_filter)},
	{"snapshot-version", NULL, "print the format version of its snapshots",
	 OPTION_FLAG(struct arguments, snapshot_version)},
	{"describe-snapshot", "FILE",
	 "print the format version of this state file; stasis\n"
	 "inspect prints all of it",
	 OPTION_TEXT(struct arguments, describe_snapshot)},
	{"start-time-us", "N", NULL, OPTION_NUMBER(struct arguments, start_us)},
	{"start-time-cpu-us", "N", NULL,
	 OPTION_NUMBER(struct arguments, start_cpu_us)},
	{"parent-cpu-time-us", "N", NULL, .set = set_parent_cpu_us},
	{"metadata", "FILE",
	 "JSON object: the metadata that the guest can read, if\n"
	 "a network interface serves it (mmds-config)",
	 OPTION_TEXT(struct arguments, metadata)},
	{"enable-pci", NULL, NULL, OPTION_FLAG(struct arguments, pci)},
};

static void print_version(void)
{
	/* Launchers parse the first line. */
	printf("Firecracker v" FIRECRACKER_VERSION "\n"
	       "stasis " STASIS_VERSION ": a microVMM for arm64 with "
	       "Firecracker's interface; it is not Firecracker\n");
}

/* In the form in which Firecracker prints its snapshot version. */
static void print_snapshot_version(unsigned minor)
{
	printf("v%u.%u.0\n", STATE_FILE_MAJOR, minor);
}

static int describe_snapshot(const char *path, struct err *e)
{
	AUTO_FREE void *body = NULL;
	uint16_t minor;
	uint64_t size;
	size_t len;
	AUTO_CLOSE int fd = io_open_file(path, &size, e);

	if (fd < 0)
		return -1;
	if (state_file_load(fd, &body, &len, &minor, e))
		return err_prefix(e, "%.512s", path);
	print_snapshot_version(minor);
	return 0;
}

static void print_help(void)
{
	printf("stasis " STASIS_VERSION ", a microVMM for arm64 on Linux KVM\n"
	       "\n"
	       "For interactive use:\n"
	       "  stasis run --kernel FILE ...   boot a guest, with its "
	       "console "
	       "here\n"
	       "  stasis image build ...         make a guest of a container "
	       "image\n"
	       "  stasis ctl --socket PATH ...   control a running microVM\n"
	       "  stasis vsock --uds PATH PORT   connect to a guest through "
	       "vsock\n"
	       "  stasis snapshot FOLDER ...     take a snapshot\n"
	       "  stasis restore FOLDER ...      start a guest from a "
	       "snapshot\n"
	       "  stasis inspect FILE            print a snapshot's state\n"
	       "  stasis trace-offset            offsets to merge guest and "
	       "host traces\n"
	       "  stasis trace-merge HOST GUEST  merge what trace-cmd recorded "
	       "in both\n"
	       "  stasis seccomp show            which system calls a microVM "
	       "may make\n"
	       "  stasis doctor                  check what this host "
	       "supports\n"
	       "  stasis COMMAND --help          the options of a command\n"
	       "\n"
	       "For launchers, as Firecracker:\n"
	       "  stasis --api-sock PATH [options]   wait for API requests\n"
	       "  stasis --config-file FILE [--no-api] [options]\n"
	       "\n");
	options_print(options, ARRAY_SIZE(options));
	printf("\n"
	       "Exit status: 0 if the guest powered off or reset, 1 after a "
	       "failure, 152 for a\nconfiguration or filter that is not valid, "
	       "153 for "
	       "options that are not valid, 128 + N\nafter signal N, 148 to "
	       "157 after signals as Firecracker's.\n");
}

/* -------------------------------------------------------------- what it is */

static int set_logger(struct launch *l, const struct arguments *args,
		      struct err *e)
{
	struct logger_config logger = {
		.path = (char *)args->log_path,
		.level = (char *)args->level,
		.show_level = args->show_level,
		.show_origin = args->show_origin,
	};

	return instance_set_logger(&l->instance, &logger, e);
}

/* The command line takes precedence over the configuration file. */
static int set_file_logger(struct launch *l, const struct arguments *args,
			   struct logger_config file, struct err *e)
{
	if (args->log_path)
		file.path = NULL;
	if (args->level)
		file.level = NULL;
	return instance_set_logger(&l->instance, &file, e);
}

static int set_metrics(struct launch *l, const struct arguments *args,
		       const struct metrics_config *file, struct err *e)
{
	struct metrics_config metrics = {.path = (char *)args->metrics_path};

	if (args->metrics_path)
		return instance_set_metrics(&l->instance, &metrics, e);
	return file->path ? instance_set_metrics(&l->instance, file, e) : 0;
}

static int put_metadata(struct mmds *mmds, const char *path, struct err *e)
{
	size_t len;
	AUTO_FREE char *text = io_read_input(path, CONFIG_FILE_MAX, &len, e);
	struct json_t *document = text ? json_parse(text, len, e) : NULL;

	int r = document ? mmds_put(mmds, document, e) : -1;

	json_free(document);
	return r ? err_prefix(e, "metadata %.256s", path) : 0;
}

static int read_file(const struct arguments *args, struct config_file *file,
		     struct err *e)
{
	size_t len;
	AUTO_FREE char *text =
		io_read_input(args->config_file, CONFIG_FILE_MAX, &len, e);

	if (!text)
		return -1;
	if (config_file_parse(file, text, len, e) ||
	    vm_config_check(&file->vm, e))
		return err_prefix(e, "%s", args->config_file);
	return 0;
}

static int configure(struct launch *l, const struct arguments *args,
		     struct err *e)
{
	struct config_file file = {0};
	int r = 0;

	/* Launchers wait for it.  It goes where the command line says; the
	 * configuration file's log begins with the next line. */
	log_info("Running Firecracker v" FIRECRACKER_VERSION
		 " (stasis " STASIS_VERSION ")");
	if (args->config_file)
		r = read_file(args, &file, e);
	if (!r)
		r = set_file_logger(l, args, file.logger, e);
	if (!r)
		r = set_metrics(l, args, &file.metrics, e);
	l->instance.mmds.limit =
		args->mmds_max ? args->mmds_max : args->body_max;
	if (!r && args->metadata)
		r = put_metadata(&l->instance.mmds, args->metadata, e);
	if (!r && args->config_file) {
		l->instance.config = file.vm;
		vm_config_init(&file.vm);
	}
	l->instance.config.boot_timer = args->boot_timer;
	l->instance.strict = args->strict;
	config_file_fini(&file);
	return r;
}

/* Report the failure in the log file, if any, and on standard error. */
static int refuse(const struct arguments *args, const struct err *e)
{
	static const char refusal[] =
		"Configuration for VMM from one single json failed";
	const char *what = args->config_file ? refusal : "Configuration failed";

	if (args->log_path)
		log_error("%s: %s", what, e->text);
	log_configure(&(struct log_config){
		.level = LOG_ERROR, .style = LOG_PLAIN, .fd = STDERR_FILENO});
	log_error("%s: %s", what, e->text);
	return EXIT_BAD_CONFIG;
}

/* A user who typed just `stasis` sees no sign of what it is doing. */
static void say_to_terminal(const struct arguments *args)
{
	if (!args->config_file && isatty(STDERR_FILENO))
		fprintf(stderr,
			"stasis: waiting for API requests at %s; Ctrl-C ends "
			"this.  To boot a guest here: stasis run --kernel "
			"FILE; all commands: stasis --help\n",
			args->api_sock);
}

static int serve(struct launch *l, const struct arguments *args)
{
	struct api_config api = {
		.socket_path = args->api_sock,
		.listen_fd = args->api_fd == NO_FD ? -1 : (int)args->api_fd,
		.ready_fd = args->ready_fd == NO_FD ? -1 : (int)args->ready_fd,
		.body_max = args->body_max,
		.start_us = args->start_us,
		.start_cpu_us = args->start_cpu_us,
		.parent_cpu_us = args->parent_cpu_us,
	};
	int status;

	if (args->pci)
		log_warn("--enable-pci: this build has no PCI; the guest's "
			 "devices are on virtio-mmio, as without the option");
	say_to_terminal(args);
	status = launch_run(l, args->config_file ? launch_boot : NULL, NULL,
			    args->no_api ? NULL : &api);
	log_info("Firecracker exiting %s. exit_code=%d",
		 status ? "with error" : "successfully", status);
	return status;
}

static int launch(const struct arguments *args)
{
	struct launch l;
	struct err e;
	int status =
		launch_use_filters(args->seccomp_filter, args->no_seccomp, &e);

	if (status) {
		log_error("%s", e.text);
		return status;
	}
	if (launch_init(&l, &args->sandbox, args->id, false, &e)) {
		log_error("%s", e.text);
		status = EXIT_FAILED;
	} else if (set_logger(&l, args, &e)) {
		log_error("%s", e.text);
		status = EXIT_BAD_CONFIG;
	} else if (configure(&l, args, &e)) {
		status = refuse(args, &e);
	} else {
		l.no_seccomp = args->no_seccomp;
		l.no_snapshots = args->no_snapshots;
		status = serve(&l, args);
	}
	launch_fini(&l);
	return status;
}

static int check_arguments(const struct arguments *args, struct err *e)
{
	if (args->no_api && !args->config_file)
		return err_set(e, "--no-api needs --config-file FILE, because "
				  "there is no other way to configure a VM");
	if (args->api_fd != NO_FD && args->api_fd > INT_MAX)
		return err_set(e, "--api-fd is not a descriptor");
	if (args->ready_fd != NO_FD && args->ready_fd > INT_MAX)
		return err_set(e, "--ready-fd is not a descriptor");
	return 0;
}

int cli_firecracker(int argc, char **argv)
{
	struct arguments args = {
		.id = "anonymous-instance",
		.api_sock = DEFAULT_SOCKET,
		.body_max = API_BODY_MAX_DEFAULT,
		.api_fd = NO_FD,
		.ready_fd = NO_FD,
	};
	struct err e;

	if (options_parse(options, ARRAY_SIZE(options), argc, argv, &args,
			  &e)) {
		log_error("%s", e.text);
		return EXIT_BAD_ARGUMENTS;
	}
	if (args.help) {
		print_help();
		return EXIT_OK;
	}
	if (args.version) {
		print_version();
		return EXIT_OK;
	}
	if (args.snapshot_version) {
		print_snapshot_version(STATE_FILE_MINOR);
		return EXIT_OK;
	}
	if (args.describe_snapshot) {
		if (!describe_snapshot(args.describe_snapshot, &e))
			return EXIT_OK;
		log_error("%s", e.text);
		return EXIT_FAILED;
	}
	if (check_arguments(&args, &e)) {
		log_error("%s", e.text);
		return EXIT_BAD_ARGUMENTS;
	}
	return launch(&args);
}
