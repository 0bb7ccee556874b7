/* SPDX-License-Identifier: Apache-2.0 */
/* `stasis doctor`: check what this host supports, and print remedies. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "arch/arch.h"
#include "core/base/err.h"
#include "core/base/options.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/json/json.h"
#include "core/kvm/kvm.h"
#include "vmm/cli/cli.h"

struct doctor {
	struct arch_checks found;
	bool json, help;
};

/* ------------------------------------------------------------------- checks */

static void check_kernel(struct arch_checks *c)
{
	struct utsname u;

	uname(&u);
	if (!strcmp(u.machine, "aarch64"))
		arch_check_add(c, "kernel", ARCH_CHECK_OK,
			       "Linux %.60s on aarch64", u.release);
	else
		arch_check_remedy(arch_check_add(c, "kernel", ARCH_CHECK_FAIL,
						 "Linux on %.60s", u.machine),
				  "stasis runs on arm64 machines only");
	arch_check_add(c, "page size", ARCH_CHECK_OK, "%ld KiB",
		       sysconf(_SC_PAGESIZE) / 1024);
}

static void check_kvm(struct arch_checks *c)
{
	struct err e;
	AUTO_CLOSE int fd = kvm_open("/dev/kvm", &e);

	if (fd < 0) {
		arch_check_remedy(
			arch_check_add(c, "KVM", ARCH_CHECK_FAIL, "not usable"),
			e.text);
		return;
	}
	arch_check_add(c, "KVM", ARCH_CHECK_OK,
		       "/dev/kvm opens, API version 12");
	arch_examine_host(fd, c);
}

/*
 * Restoring from a page server needs userfaultfd: through /dev/userfaultfd or
 * the system call.
 */
static void check_uffd(struct arch_checks *c)
{
	AUTO_CLOSE int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	AUTO_CLOSE int fd =
		(int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (device >= 0 || fd >= 0)
		arch_check_add(
			c, "userfaultfd", ARCH_CHECK_OK, "usable through %s",
			device >= 0 ? "/dev/userfaultfd" : "the system call");
	else
		arch_check_remedy(
			arch_check_add(c, "userfaultfd", ARCH_CHECK_WARN,
				       "not usable: no lazy restore of memory"),
			"give this user access to /dev/userfaultfd, or set "
			"the sysctl vm.unprivileged_userfaultfd=1");
}

static void check_device(struct arch_checks *c, const char *name,
			 const char *path, const char *without,
			 const char *remedy)
{
	AUTO_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		arch_check_add(c, name, ARCH_CHECK_OK, "%s opens", path);
	else
		arch_check_remedy(
			arch_check_add(c, name, ARCH_CHECK_WARN, "%s: %s: %s",
				       path, strerrordesc_np(errno), without),
			remedy);
}

static void check_network(struct arch_checks *c)
{
	check_device(c, "tap", "/dev/net/tun", "guests cannot have a network",
		     "load the tun module, and give this user access");
	check_device(c, "vhost", "/dev/vhost-net",
		     "frames pass through the VMM, `vhost` is rejected",
		     "load the vhost_net module, and give this user access");
}

/* ------------------------------------------------------------------- output */

static const char *const result_name[] = {
	[ARCH_CHECK_OK] = "ok",
	[ARCH_CHECK_WARN] = "warning",
	[ARCH_CHECK_FAIL] = "FAILED",
};

static unsigned count(const struct doctor *d, int result)
{
	unsigned n = 0;

	for (unsigned i = 0; i < d->found.count; i++)
		n += (int)d->found.check[i].result == result;
	return n;
}

static void print_text(const struct doctor *d)
{
	unsigned failed = count(d, ARCH_CHECK_FAIL);

	for (unsigned i = 0; i < d->found.count; i++) {
		const struct arch_check *c = &d->found.check[i];

		printf("%-8s %-23s %s\n", result_name[c->result], c->name,
		       c->finding);
		if (c->remedy[0])
			printf("%-8s %-23s -> %s\n", "", "", c->remedy);
	}
	if (failed)
		printf("\nThis host cannot run guests yet: %u check%s "
		       "failed.\n",
		       failed, failed > 1 ? "s" : "");
	else
		printf("\nThis host can run guests.\n");
}

static void print_json(const struct doctor *d)
{
	printf("{\"can_run\":%s,\"checks\":[",
	       count(d, ARCH_CHECK_FAIL) ? "false" : "true");
	for (unsigned i = 0; i < d->found.count; i++) {
		const struct arch_check *c = &d->found.check[i];

		printf("%s{\"name\":", i ? "," : "");
		json_print_string(stdout, c->name);
		printf(",\"result\":\"%s\",\"finding\":",
		       c->result == ARCH_CHECK_FAIL ? "failed"
						    : result_name[c->result]);
		json_print_string(stdout, c->finding);
		printf(",\"remedy\":");
		json_print_string(stdout, c->remedy);
		putchar('}');
	}
	printf("]}\n");
}

/* ------------------------------------------------------------------ options */

static const struct option options[] = {
	{"json", NULL, "print JSON", OPTION_FLAG(struct doctor, json)},
	{"help", NULL, "show this", OPTION_FLAG(struct doctor, help)},
};

int cli_doctor(int argc, char **argv)
{
	struct doctor d = {0};
	struct err e;

	if (options_parse(options, ARRAY_SIZE(options), argc, argv, &d, &e)) {
		log_error("%s", e.text);
		return EXIT_BAD_ARGUMENTS;
	}
	if (d.help) {
		printf("Usage: stasis doctor [--json]\n\n"
		       "Check what this host supports, and print remedies.\n"
		       "Exit status: 0 if it can run guests, else 1.\n\n");
		options_print(options, ARRAY_SIZE(options));
		return EXIT_OK;
	}
	check_kernel(&d.found);
	check_kvm(&d.found);
	check_uffd(&d.found);
	check_network(&d.found);
	if (d.json)
		print_json(&d);
	else
		print_text(&d);
	return count(&d, ARCH_CHECK_FAIL) ? EXIT_FAILED : EXIT_OK;
}
