/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firecracker's own command line, so that what launches Firecracker can launch
 * us.  What a guest or an operator would miss is refused by name; what only
 * tunes a part that this build lacks is accepted.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/err.h"
#include "vmm/base/io.h"
#include "vmm/base/log.h"
#include "vmm/base/util.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/options.h"
#include "vmm/config_file.h"

enum { ID_MAX = 64 };

struct arguments {
	const char *id, *config_file;
	const char *log_path, *level;
	bool show_level, show_origin;
	bool no_api, boot_timer, help, version;
	int log_fd; /* -1 until opened */
};

/* ------------------------------------------------------------------ options */

/* An option that fills one member and knows no more. */
#define SET_STRING(member)                                        \
	static int set_##member(void *context, const char *value, \
				struct err *e)                    \
	{                                                         \
		(void)e;                                          \
		((struct arguments *)context)->member = value;    \
		return 0;                                         \
	}
#define SET_FLAG(member)                                          \
	static int set_##member(void *context, const char *value, \
				struct err *e)                    \
	{                                                         \
		(void)value;                                      \
		(void)e;                                          \
		((struct arguments *)context)->member = true;     \
		return 0;                                         \
	}
SET_STRING(config_file)
SET_STRING(log_path)
SET_STRING(level)
SET_FLAG(show_level)
SET_FLAG(show_origin)
SET_FLAG(no_api)
SET_FLAG(boot_timer)
SET_FLAG(help)
SET_FLAG(version)

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

/* Accepted, because launchers pass it, and without effect here. */
static int set_nothing(void *context, const char *value, struct err *e)
{
	(void)context;
	(void)value;
	(void)e;
	return 0;
}

static int ignore_filter(void *context, const char *value, struct err *e)
{
	(void)context;
	(void)e;
	log_warn("--seccomp-filter %s: this build installs no filter", value);
	return 0;
}

static int refuse_snapshot(void *context, const char *value, struct err *e)
{
	(void)context;
	(void)value;
	return err_set(e, "this build has no snapshots; leave "
			  "--snapshot-version and --describe-snapshot out");
}

static int refuse_metadata(void *context, const char *value, struct err *e)
{
	(void)context;
	(void)value;
	return err_set(e, "--metadata: this build has no metadata service; "
			  "leave it out");
}

static int refuse_metrics(void *context, const char *value, struct err *e)
{
	(void)context;
	(void)value;
	return err_set(e, "--metrics-path: this build writes no metrics; "
			  "leave it out");
}

static int refuse_pci(void *context, const char *value, struct err *e)
{
	(void)context;
	(void)value;
	return err_set(e, "--enable-pci: stasis has virtio-mmio only; leave "
			  "it out");
}

static const struct option options[] = {
	{"config-file", "FILE", "boot what this JSON file describes",
	 set_config_file},
	{"no-api", NULL,
	 "do not serve the API; needs --config-file.\n"
	 "This build has no API: it must be given",
	 set_no_api},
	{"id", "ID", "name of this VM in the log", set_id},
	{"boot-timer", NULL,
	 "log the time when the guest writes 123 to\n0x40000000",
	 set_boot_timer},
	{"log-path", "FILE", "where the log goes (default: standard output)",
	 set_log_path},
	{"level", "LEVEL", "Error, Warning, Info (default), Debug, Trace, Off",
	 set_level},
	{"show-level", NULL, "put the level into each log line",
	 set_show_level},
	{"show-log-origin", NULL, "put source file and line there, too",
	 set_show_origin},
	{"version", NULL, "what this is", set_version},
	{"help", NULL, "show this", set_help},
	{"api-sock", "PATH", NULL, set_nothing},
	{"http-api-max-payload-size", "BYTES", NULL, set_nothing},
	{"mmds-size-limit", "BYTES", NULL, set_nothing},
	{"module", "NAME", NULL, set_nothing},
	{"no-seccomp", NULL, NULL, set_nothing},
	{"seccomp-filter", "FILE", NULL, ignore_filter},
	{"snapshot-version", NULL, NULL, refuse_snapshot},
	{"describe-snapshot", "FILE", NULL, refuse_snapshot},
	{"start-time-us", "N", NULL, set_nothing},
	{"start-time-cpu-us", "N", NULL, set_nothing},
	{"parent-cpu-time-us", "N", NULL, set_nothing},
	{"metadata", "FILE", NULL, refuse_metadata},
	{"metrics-path", "FILE", NULL, refuse_metrics},
	{"enable-pci", NULL, NULL, refuse_pci},
};

static void print_version(void)
{
	/* Launchers read the first line. */
	printf("Firecracker v" FIRECRACKER_VERSION "\n"
	       "stasis " STASIS_VERSION ": a microVMM for arm64 with "
	       "Firecracker's interface; it is not Firecracker\n");
}

static void print_help(void)
{
	printf("stasis " STASIS_VERSION ", a microVMM for arm64 on Linux KVM\n"
	       "\n"
	       "For people:\n"
	       "  stasis run --kernel FILE ...   boot a guest, its console "
	       "here\n"
	       "  stasis doctor                  check what this host can "
	       "do\n"
	       "  stasis COMMAND --help          tells more\n"
	       "\n"
	       "For launchers, as Firecracker:\n"
	       "  stasis --no-api --config-file FILE [options]\n"
	       "\n");
	options_print(options, ARRAY_SIZE(options));
	printf("\n"
	       "Exit status: 0 when the guest powered off or reset, 1 when "
	       "something failed,\n"
	       "152 for a refused configuration, 153 for wrong options.\n");
}

/* ------------------------------------------------------------------ the log */

/* A FIFO must not make us wait for its reader. */
static int open_log(const char *path, struct err *e)
{
	int fd =
		open(path, O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_NOCTTY,
		     0600);

	if (fd < 0)
		return err_errno(e, "cannot open the log %s", path);
	return fd;
}

/* The command line goes before the file, which may say nothing yet. */
static int configure_log(struct arguments *args,
			 const struct logger_config *file, struct err *e)
{
	const char *path = args->log_path ? args->log_path : file->path;
	const char *level = args->level ? args->level : file->level;
	struct log_config log = {
		.level = LOG_INFO,
		.style = LOG_FIRECRACKER,
		.fd = STDOUT_FILENO,
		.id = args->id,
		.show_level = args->show_level || file->show_level,
		.show_origin = args->show_origin || file->show_origin,
	};

	if (level && !log_parse_level(level, &log.level))
		return err_set(e,
			       "log level \"%.40s\" is not known; choose "
			       "Error, Warning, Info, Debug, Trace or Off",
			       level);
	if (path && args->log_fd < 0) {
		args->log_fd = open_log(path, e);
		if (args->log_fd < 0)
			return -1;
	}
	if (path)
		log.fd = args->log_fd;
	log_configure(&log);
	return 0;
}

/* -------------------------------------------------------------------- boot */

static int read_config(const struct arguments *args, struct config_file *file,
		       struct err *e)
{
	size_t len;
	AUTO_FREE char *text =
		io_read_file(args->config_file, CONFIG_FILE_MAX, &len, e);

	if (!text)
		return -1;
	if (config_file_parse(file, text, len, e) ||
	    vm_config_check(&file->vm, e))
		return err_prefix(e, "%s", args->config_file);
	return 0;
}

static int boot(struct arguments *args)
{
	static const char refusal[] =
		"Configuration for VMM from one single json failed";
	struct config_file file = {0};
	int status = EXIT_BAD_CONFIG;
	struct err e;

	if (args->log_path && configure_log(args, &file.logger, &e)) {
		log_error("%s", e.text);
		return EXIT_BAD_CONFIG;
	}
	if (read_config(args, &file, &e) ||
	    configure_log(args, &file.logger, &e)) {
		/* Into the log, and for the person who starts it. */
		if (args->log_path)
			log_error("%s: %s", refusal, e.text);
		log_configure(&(struct log_config){.level = LOG_ERROR,
						   .style = LOG_PLAIN,
						   .fd = STDERR_FILENO});
		log_error("%s: %s", refusal, e.text);
	} else {
		log_info("Running Firecracker v" FIRECRACKER_VERSION
			 " (stasis " STASIS_VERSION ")");
		file.vm.boot_timer = args->boot_timer;
		status = cli_launch(&file.vm, false);
		log_info("Firecracker exiting %s. exit_code=%d",
			 status ? "with error" : "successfully", status);
	}
	config_file_fini(&file);
	return status;
}

int cli_firecracker(int argc, char **argv)
{
	struct arguments args = {.id = "anonymous-instance", .log_fd = -1};
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
	if (!args.no_api || !args.config_file) {
		log_error("this build boots from the command line only: stasis "
			  "run --kernel FILE, or stasis --no-api --config-file "
			  "FILE; --help tells more");
		return EXIT_BAD_ARGUMENTS;
	}
	return boot(&args);
}
