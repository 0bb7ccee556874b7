/* SPDX-License-Identifier: Apache-2.0 */
/* `stasis run`: boot a VM that command-line options describe. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "core/base/err.h"
#include "core/base/options.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/foreground.h"
#include "vmm/cli/run_devices.h"
#include "vmm/config/bodies.h"
#include "vmm/config/config.h"

#define DEFAULT_CMDLINE "console=ttyS0 reboot=k panic=1"

struct run {
	struct foreground foreground; /* must be first */
	struct vm_config config;
	uint64_t host_mib;
};

/* ------------------------------------------------------------------ options */

/* The options given before take precedence, those after replace these. */
static int set_image(void *context, const char *value, struct err *e)
{
	struct vm_config *config = &((struct run *)context)->config;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/kernel", value);
	if (!config->kernel && vm_config_set(&config->kernel, path, e))
		return -1;
	snprintf(path, sizeof(path), "%s/initrd", value);
	if (!config->initrd && vm_config_set(&config->initrd, path, e))
		return -1;
	snprintf(path, sizeof(path), "%s/rootfs.ext4,root", value);
	if (run_add_disk(config, path, e))
		return err_prefix(e, "--image: stasis image build makes one");
	return 0;
}

static int parse_address(uint64_t *address, const char *option,
			 const char *value, struct err *e)
{
	char *end;

	errno = 0;
	*address = strtoull(value, &end, 0);
	if (*value < '0' || *value > '9' || *end || errno || !*address)
		return err_set(e,
			       "--%s %.40s is not a valid address; write one "
			       "in the guest's RAM, such as 0x80080000",
			       option, value);
	return 0;
}

static int set_load_address(void *context, const char *value, struct err *e)
{
	struct vm_config *config = &((struct run *)context)->config;

	config->raw = true;
	return parse_address(&config->load_address, "load-address", value, e);
}

static int set_entry(void *context, const char *value, struct err *e)
{
	struct vm_config *config = &((struct run *)context)->config;

	config->raw = true;
	return parse_address(&config->entry, "entry", value, e);
}

static int set_cpus(void *context, const char *value, struct err *e)
{
	struct run *run = context;
	uint64_t n;

	if (!options_parse_number(value, ARCH_VCPUS_MAX, &n) || !n)
		return err_set(e, "--cpus %.40s is not valid; choose 1 to %d",
			       value, ARCH_VCPUS_MAX);
	run->config.vcpu_count = (unsigned)n;
	return 0;
}

static int set_memory(void *context, const char *value, struct err *e)
{
	unsigned long long mib;

	if (options_parse_mib(value, &mib, e))
		return err_prefix(e, "--memory");
	((struct run *)context)->config.mem_mib = mib;
	return 0;
}

static int set_huge_pages(void *context, const char *value, struct err *e)
{
	struct run *run = context;

	return huge_pages_read(&run->config.huge_pages, value, e);
}

/* Apply one item of "sve=off,pmu=on". */
static int set_feature(struct vm_config *config, const char *item, size_t len,
		       struct err *e)
{
	for (unsigned f = 0; f < ARCH_FEATURE_COUNT; f++) {
		const char *name = arch_feature_name[f];
		size_t n = strlen(name);
		const char *value = item + n + 1;

		if (len <= n || strncmp(item, name, n) != 0 || item[n] != '=')
			continue;
		if (len == n + 3 && !strncmp(value, "on", 2)) {
			config->cpu[f] = ARCH_ON;
			return 0;
		}
		if (len == n + 4 && !strncmp(value, "off", 3)) {
			config->cpu[f] = ARCH_OFF;
			return 0;
		}
	}
	return err_set(e,
		       "--cpu: \"%.*s\" is not valid; write sve=, pauth=, "
		       "pmu= or nested= and on or off, separated by commas",
		       (int)min_u64(len, 40), item);
}

static int set_cpu(void *context, const char *value, struct err *e)
{
	struct run *run = context;

	for (;;) {
		size_t len = strcspn(value, ",");

		if (set_feature(&run->config, value, len, e))
			return -1;
		if (!value[len])
			return 0;
		value += len + 1;
	}
}

static int set_disk(void *context, const char *value, struct err *e)
{
	return run_add_disk(&((struct run *)context)->config, value, e);
}

static int set_net(void *context, const char *value, struct err *e)
{
	return run_add_net(&((struct run *)context)->config, value, e);
}

static int set_vsock(void *context, const char *value, struct err *e)
{
	return run_add_vsock(&((struct run *)context)->config, value, e);
}

static int set_balloon(void *context, const char *value, struct err *e)
{
	return run_add_balloon(&((struct run *)context)->config, value, e);
}

static int read_policy(const char *option, const char *value,
		       enum clock_policy *policy, struct err *e)
{
	int i = options_parse_choice(option, value, clock_policy_name, e);

	if (i < 0)
		return -1;
	*policy = (enum clock_policy)i;
	return 0;
}

static struct clock_config *choose_clock(void *context)
{
	struct vm_config *config = &((struct run *)context)->config;

	config->clock_given = true;
	return &config->clock;
}

static int set_clock(void *context, const char *value, struct err *e)
{
	return read_policy("clock", value, &choose_clock(context)->on_pause, e);
}

static int set_restore_clock(void *context, const char *value, struct err *e)
{
	return read_policy("restore-clock", value,
			   &choose_clock(context)->on_restore, e);
}

static int set_stop_clock(void *context, const char *value, struct err *e)
{
	enum clock_policy policy;

	if (read_policy("stop-clock", value, &policy, e))
		return -1;
	choose_clock(context)->stalls_are_frozen = policy == CLOCK_FROZEN;
	return 0;
}

static int set_realtime(void *context, const char *value, struct err *e)
{
	if (realtime_parse(&choose_clock(context)->realtime, value, e))
		return err_prefix(e, "--realtime");
	return 0;
}

static int set_max_jump(void *context, const char *value, struct err *e)
{
	return options_parse_max_jump(value,
				      &choose_clock(context)->max_jump_ms, e);
}

static int set_physical(void *context, const char *value, struct err *e)
{
	static const char *const words[2] = {"guest", "host"};
	int i = options_parse_choice("physical-counter", value, words, e);

	if (i < 0)
		return -1;
	choose_clock(context)->physical =
		i ? CLOCK_PHYSICAL_HOST : CLOCK_PHYSICAL_GUEST;
	return 0;
}

static int set_smear(void *context, const char *value, struct err *e)
{
	int i = options_parse_choice("smear", value, clock_smear_name, e);

	if (i < 0)
		return -1;
	choose_clock(context)->smear = (enum clock_smear)i;
	return 0;
}

static const struct option options[] = {
	{"kernel", "FILE",
	 "arm64 Linux kernel: Image, Image.gz or EFI zboot\n"
	 "(gzip). It is mapped, not copied: replace the file\n"
	 "by renaming another one over it, never write to it",
	 OPTION_COPY(struct run, config.kernel)},
	{"image", "DIR",
	 "kernel, initrd and root disk from a folder that\n"
	 "stasis image build made; a copy of the disk is needed\n"
	 "for each further guest",
	 .set = set_image},
	{"initrd", "FILE", "initial RAM disk; also mapped",
	 OPTION_COPY(struct run, config.initrd)},
	{"cmdline", "TEXT",
	 "kernel command line; without console= there is no\n"
	 "serial console. Default:\n"
	 "\"" DEFAULT_CMDLINE "\"",
	 OPTION_COPY(struct run, config.cmdline)},
	{"raw", NULL,
	 "the kernel is a bare-metal binary: it is loaded\n"
	 "512 KiB above RAM's base and entered at its first\n"
	 "byte, with the device tree's address in x0",
	 OPTION_FLAG(struct run, config.raw)},
	{"load-address", "ADDRESS",
	 "where to load a bare-metal binary instead; implies\n--raw",
	 .set = set_load_address},
	{"entry", "ADDRESS",
	 "where to enter a bare-metal binary, if not at its\n"
	 "first byte; implies --raw",
	 .set = set_entry},
	{"fdt-high", NULL,
	 "put the device tree at the end of RAM, for programs\n"
	 "that expect it above them (always so with --raw)",
	 OPTION_FLAG(struct run, config.fdt_high)},
	{"share-files", NULL,
	 "map kernel and initrd: guests share what they do not\n"
	 "write of them, and boot more slowly",
	 OPTION_FLAG(struct run, config.share_files)},
	{"no-kaslr", NULL,
	 "give the kernel no seed to randomise its address, so\n"
	 "that guests share more of its pages (--share-files)",
	 OPTION_FLAG(struct run, config.no_kaslr)},
	{"cpus", "N", "vCPUs, 1 to 32 (default 1)", .set = set_cpus},
	{"memory", "SIZE", "RAM: 256M, 2G ..., at least 32M (default 128M)",
	 .set = set_memory},
	{"huge-pages", "WHAT",
	 "what RAM consists of: None (what the host gives by\n"
	 "itself; the default), Transparent, or 2M (reserved\n"
	 "pages of 2 MiB: sysctl vm.nr_hugepages)",
	 .set = set_huge_pages},
	{"cpu", "LIST",
	 "CPU features: sve=off, pauth=off, pmu=on, nested=on,\n"
	 "separated by commas. Default: SVE and pointer\n"
	 "authentication if the host has them, not the others",
	 .set = set_cpu},
	{"disk", "FILE[,HOW]...",
	 "a raw image or block device: /dev/vda, and so on.\n"
	 "May be followed by, separated by commas: ro, root\n"
	 "(the kernel mounts it), async (io_uring), unsafe\n"
	 "(flushes do nothing)",
	 .set = set_disk},
	{"net", "TAP[,HOW]...",
	 "a network interface: an existing tap of the host\n"
	 "(tools/net-setup makes one), or fd:N for one that is\n"
	 "open. May be followed by, separated by commas:\n"
	 "mac=06:00:00:00:00:01, mtu=9000, vhost (the kernel\n"
	 "moves the frames; no rate limiters)",
	 .set = set_net},
	{"vsock", "CID,PATH",
	 "streams between host and guest; the guest's CID is 3\n"
	 "or more. stasis vsock --uds PATH 52 connects to port\n"
	 "52 of the guest; the guest connects to the program\n"
	 "that listens on PATH_52",
	 .set = set_vsock},
	{"balloon", "MIB[,HOW]...",
	 "take MIB of RAM from the guest. May be followed by,\n"
	 "separated by commas: oom (the guest takes RAM back\n"
	 "when it runs out), stats=SECONDS, hinting, reporting\n"
	 "(of free pages)",
	 .set = set_balloon},
	{"entropy", NULL, "a source of random numbers for the guest",
	 OPTION_FLAG(struct run, config.has_entropy)},
	{"clock", "POLICY",
	 "the guest's time over a pause: frozen (default) or\ncontinuous",
	 .set = set_clock},
	{"restore-clock", "POLICY", "the same over a snapshot and its restore",
	 .set = set_restore_clock},
	{"stop-clock", "POLICY",
	 "the same when something else stops the VMM, such as\n"
	 "SIGSTOP (default: continuous)",
	 .set = set_stop_clock},
	{"realtime", "WHEN",
	 "the wall-clock time that the guest is told: host\n"
	 "(default), +SECONDS or -SECONDS from it, or a date\n"
	 "at which it begins (2038-01-19T03:14:07Z, or in\n"
	 "seconds since 1970)",
	 .set = set_realtime},
	{"max-jump-ms", "MS",
	 "how far continuous time may jump (default 600000)",
	 .set = set_max_jump},
	{"physical-counter", "WHOSE",
	 "guest: it shows guest time, as the virtual one does,\n"
	 "or the start fails; host: it shows the host's.\n"
	 "Default: guest if the host supports it",
	 .set = set_physical},
	{"smear", "HOW",
	 "how the host's clock takes leap seconds, for VMClock:\n"
	 "none (default), noon-linear (24 h) or utc-sls (1000 s)",
	 .set = set_smear},
	{"track-dirty-pages", NULL,
	 "keep a log of the pages that the guest writes, so\n"
	 "that the time for a snapshot of changes depends on\n"
	 "their number",
	 OPTION_FLAG(struct run, config.track_dirty)},
	{"boot-timer", NULL,
	 "log the time when the guest writes 123 to\n0x40000000",
	 OPTION_FLAG(struct run, config.boot_timer)},
	{"no-snapshots", NULL,
	 "take and load no snapshots, and forbid the system\ncalls that only "
	 "they need",
	 OPTION_FLAG(struct run, foreground.no_snapshots)},
	FOREGROUND_OPTIONS,
};

static void print_help(void)
{
	printf("Usage: stasis run --kernel FILE [options]\n"
	       "       stasis run --image DIR [options]\n"
	       "\n"
	       "Boot an arm64 Linux guest with its serial console here.\n"
	       "\n");
	options_print(options, ARRAY_SIZE(options));
	foreground_print_help();
	printf("\n"
	       "Examples:\n"
	       "  stasis run --kernel Image --initrd initrd.gz --memory 512M\n"
	       "  stasis run --kernel Image --disk rootfs.ext4,root --disk "
	       "data.img,ro\n"
	       "  stasis run --kernel Image --disk rootfs.ext4,root --net "
	       "tap0,mac=06:00:00:00:00:01\n"
	       "  stasis run --kernel Image --api-sock /tmp/vm.sock\n"
	       "  stasis run --kernel Image --cpus 4 --memory 2G --cmdline "
	       "\"console=ttyS0 quiet\"\n");
}

static int boot(void *context, struct instance *instance, struct err *e)
{
	struct run *run = context;
	unsigned long long mib = run->config.mem_mib;

	instance->config = run->config;
	vm_config_init(&run->config);
	if (instance_start(instance, e))
		return -1;
	/* RAM is taken when the guest touches it, so this may work. */
	if (mib > run->host_mib)
		log_warn("--memory: %llu MiB are more than the %llu MiB that "
			 "this host has; it kills the guest, or others, when "
			 "it runs out",
			 mib, (unsigned long long)run->host_mib);
	return 0;
}

int cli_run(int argc, char **argv)
{
	struct run run = {.host_mib = UINT64_MAX};
	int status = EXIT_BAD_ARGUMENTS;
	struct sysinfo host;
	struct err e;

	foreground_init(&run.foreground);
	vm_config_init(&run.config);
	if (options_parse(options, ARRAY_SIZE(options), argc, argv, &run, &e)) {
		log_error("%s", e.text);
		goto out;
	}
	if (run.foreground.help) {
		print_help();
		status = EXIT_OK;
		goto out;
	}
	/* The boot time is logged at level info. */
	if (run.config.boot_timer && !run.foreground.level_given)
		run.foreground.level = LOG_INFO;
	foreground_log(&run.foreground);
	if (!run.config.kernel) {
		log_error("--kernel FILE or --image DIR is needed; see stasis "
			  "run --help");
		goto out;
	}
	if (!run.config.cmdline &&
	    vm_config_set(&run.config.cmdline, DEFAULT_CMDLINE, &e)) {
		log_error("%s", e.text);
		status = EXIT_FAILED;
		goto out;
	}
	run.config.check_drivers = true;
	if (!sysinfo(&host))
		run.host_mib = (uint64_t)host.totalram * host.mem_unit >> 20;
	if (console_is_terminal())
		log_info("%u vCPU%s, %llu MiB; Ctrl-A x ends the VM",
			 run.config.vcpu_count,
			 run.config.vcpu_count > 1 ? "s" : "",
			 (unsigned long long)run.config.mem_mib);
	status = foreground_run(&run.foreground, boot, &run);
out:
	vm_config_fini(&run.config);
	return status;
}
