/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text as a configuration file, up to the command line the guest gets:
 * what is taken is within bounds, what is not is refused in words.
 */
#include <string.h>

#include "arch/arch.h"
#include "core/base/err.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/config/config.h"
#include "vmm/config/file/config_file.h"

/* What was asked for, with what is added before init's part: nothing is cut. */
static void check_whole(const struct vm_config *config, const char *cmdline)
{
	const char *given = config->cmdline ? config->cmdline : "";
	const char *rest = strstr(given, " -- ");
	char added[64] = "";
	size_t head;

	if (!config->cmdline)
		return; /* the default, which has no console */
	if (!rest)
		rest = given + strlen(given);
	if (vm_config_has_serial(config))
		snprintf(added, sizeof(added), " earlycon=uart,mmio,0x%08llx",
			 (unsigned long long)arch_layout.serial);
	head = (size_t)(rest - given);
	must(strlen(cmdline) == strlen(given) + strlen(added));
	must(!strncmp(cmdline, given, head));
	must(!strncmp(cmdline + head, added, strlen(added)));
	must(!strcmp(cmdline + head + strlen(added), rest));
}

static void check_config(const struct vm_config *config)
{
	struct err e = {""};
	/* As small as allowed, so that one byte too many is seen. */
	size_t size = arch_layout.cmdline_max + 1;
	char *cmdline = malloc(size);

	must(cmdline);
	must(config->kernel && config->vcpu_count >= 1);
	must(config->vcpu_count <= ARCH_VCPUS_MAX);
	must(config->mem_mib <= UINT64_MAX >> 20);
	if (vm_config_cmdline(config, cmdline, size, &e)) {
		must(e.text[0]);
	} else {
		must(memchr(cmdline, 0, size));
		for (const char *c = cmdline; *c; c++)
			must(*c >= ' ' && *c <= '~');
		check_whole(config, cmdline);
	}
	free(cmdline);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_file file;
	struct err e = {""};

	if (config_file_parse(&file, (const char *)data, size, &e) ||
	    vm_config_check(&file.vm, &e))
		must(e.text[0] && memchr(e.text, 0, sizeof(e.text)));
	else
		check_config(&file.vm);
	config_file_fini(&file);
	return 0;
}
