/* SPDX-License-Identifier: Apache-2.0 */
/* What may be asked for, and the guest's command line: vmm/config/config.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/testing.h"
#include "vmm/config/config.h"

#define EARLYCON " earlycon=uart,mmio,0x40002000"

static struct vm_config config;
static struct err e;

static int init(void **state)
{
	(void)state;
	vm_config_init(&config);
	return vm_config_set(&config.kernel, "Image", &e);
}

static int fini(void **state)
{
	(void)state;
	vm_config_fini(&config);
	return 0;
}

static void set_cmdline(const char *text)
{
	assert_ok(vm_config_set(&config.cmdline, text, &e), e);
}

/* A command line of @len characters. */
static void set_long_cmdline(size_t len, const char *start)
{
	char text[4096];

	memset(text, 'x', sizeof(text));
	memcpy(text, start, strlen(start));
	text[len] = '\0';
	set_cmdline(text);
}

static void default_is_firecrackers(void **state)
{
	(void)state;
	assert_ok(vm_config_check(&config, &e), e);
	assert_int_equal(config.vcpu_count, 1);
	assert_int_equal(config.mem_mib, 128);
	assert_false(config.boot_timer);
	for (unsigned f = 0; f < ARCH_FEATURE_COUNT; f++)
		assert_int_equal(config.cpu[f], ARCH_AUTO);
}

static void kernel_is_needed(void **state)
{
	struct vm_config none;

	(void)state;
	vm_config_init(&none);
	assert_err(vm_config_check(&none, &e), e, "no kernel");
}

static void vcpu_count_has_limits(void **state)
{
	(void)state;
	config.vcpu_count = 0;
	assert_err(vm_config_check(&config, &e), e, "0 vCPUs");
	config.vcpu_count = 33;
	assert_err(vm_config_check(&config, &e), e,
		   "33 vCPUs are not possible; choose 1 to 32");
	config.vcpu_count = 32;
	assert_ok(vm_config_check(&config, &e), e);
}

static void ram_has_a_minimum(void **state)
{
	(void)state;
	config.mem_mib = 31;
	assert_err(vm_config_check(&config, &e), e,
		   "31 MiB of RAM are too little; give at least 32 MiB");
	config.mem_mib = 32;
	assert_ok(vm_config_check(&config, &e), e);
}

static void ram_that_overflows_is_refused(void **state)
{
	(void)state;
	config.mem_mib = UINT64_MAX;
	assert_err(vm_config_check(&config, &e), e, "not possible");
	config.mem_mib = 1ull << 44; /* MiB: 2^64 bytes */
	assert_err(vm_config_check(&config, &e), e, "not possible");
}

static void cmdline_must_be_printable(void **state)
{
	(void)state;
	set_cmdline("a\nb");
	assert_err(vm_config_check(&config, &e), e, "(0x0a) at position 2");
	set_cmdline("\x7f");
	assert_err(vm_config_check(&config, &e), e, "(0x7f) at position 1");
	set_cmdline("\xc3\xa4");
	assert_err(vm_config_check(&config, &e), e, "(0xc3)");
	set_cmdline(" ~");
	assert_ok(vm_config_check(&config, &e), e);
}

static void set_takes_a_copy(void **state)
{
	char text[] = "one";

	(void)state;
	set_cmdline(text);
	text[0] = 'X';
	assert_string_equal(config.cmdline, "one");
	set_cmdline("two");
	assert_string_equal(config.cmdline, "two");
}

static void fini_makes_it_fresh(void **state)
{
	(void)state;
	config.vcpu_count = 8;
	vm_config_fini(&config);
	assert_null(config.kernel);
	assert_int_equal(config.vcpu_count, 1);
}

static void console_gets_an_earlycon(void **state)
{
	char out[2048];

	(void)state;
	set_cmdline("console=ttyS0 quiet");
	assert_true(vm_config_has_serial(&config));
	assert_ok(vm_config_cmdline(&config, out, sizeof(out), &e), e);
	assert_string_equal(out, "console=ttyS0 quiet" EARLYCON);
}

static void what_is_added_goes_before_inits_arguments(void **state)
{
	char out[2048];

	(void)state;
	set_cmdline("console=ttyS0 -- /bin/sh -c x");
	assert_ok(vm_config_cmdline(&config, out, sizeof(out), &e), e);
	assert_string_equal(out, "console=ttyS0" EARLYCON " -- /bin/sh -c x");
}

static void no_console_gets_no_earlycon(void **state)
{
	char out[2048];

	(void)state;
	set_cmdline("quiet");
	assert_false(vm_config_has_serial(&config));
	assert_ok(vm_config_cmdline(&config, out, sizeof(out), &e), e);
	assert_string_equal(out, "quiet");
}

static void empty_cmdline_stays_empty(void **state)
{
	char out[2048];

	(void)state;
	set_cmdline("");
	assert_ok(vm_config_check(&config, &e), e);
	assert_ok(vm_config_cmdline(&config, out, sizeof(out), &e), e);
	assert_string_equal(out, "");
}

static void no_cmdline_is_firecrackers_default(void **state)
{
	char out[2048];

	(void)state;
	assert_ok(vm_config_cmdline(&config, out, sizeof(out), &e), e);
	assert_string_equal(out, "reboot=k panic=1 nomodule 8250.nr_uarts=0 "
				 "i8042.noaux i8042.nomux i8042.dumbkbd "
				 "swiotlb=noforce");
	assert_false(vm_config_has_serial(&config));
}

static void longest_cmdline_fits(void **state)
{
	char out[2048];

	(void)state;
	set_long_cmdline(2047, "");
	assert_ok(vm_config_cmdline(&config, out, sizeof(out), &e), e);
	assert_int_equal(strlen(out), 2047);
}

static void longer_cmdline_is_refused(void **state)
{
	char out[2048];

	(void)state;
	set_long_cmdline(2048, "");
	assert_err(vm_config_cmdline(&config, out, sizeof(out), &e), e,
		   "too long: 2048 characters with what is added to it, of "
		   "2047");
}

static void earlycon_counts_for_the_length(void **state)
{
	char out[2048];

	(void)state;
	set_long_cmdline(2047 - strlen(EARLYCON), "console=ttyS0 ");
	assert_ok(vm_config_cmdline(&config, out, sizeof(out), &e), e);
	assert_int_equal(strlen(out), 2047);
	set_long_cmdline(2048 - strlen(EARLYCON), "console=ttyS0 ");
	assert_err(vm_config_cmdline(&config, out, sizeof(out), &e), e,
		   "too long");
}

static int put_interface(const char *id, const char *tap, uint8_t mac)
{
	struct interface_config interface = {
		.net.has_mac = mac,
		.net.mac = {2, 0, 0, 0, 0, mac},
	};
	int r;

	assert_ok(vm_config_set(&interface.net.id, id, &e), e);
	assert_ok(vm_config_set(&interface.net.tap, tap, &e), e);
	r = vm_config_put_interface(&config, &interface, &e);
	if (!r)
		assert_null(interface.net.id);
	interface_config_fini(&interface);
	return r;
}

static void interfaces_are_replaced_by_id_and_share_nothing(void **state)
{
	(void)state;
	assert_ok(put_interface("a", "tap0", 1), e);
	assert_ok(put_interface("b", "tap1", 2), e);
	assert_err(put_interface("c", "tap2", 2), e,
		   "The MAC address is already in use: 02:00:00:00:00:02");
	assert_err(put_interface("c", "tap0", 3), e,
		   "Open tap device failed: Error while creating ifreq "
		   "structure: Device or resource busy (os error 16)");
	/* Who has none shares none. */
	assert_ok(put_interface("c", "tap2", 0), e);
	assert_ok(put_interface("d", "tap3", 0), e);
	assert_ok(put_interface("a", "tap0", 9), e);
	assert_int_equal(config.interface_count, 4);
	assert_string_equal(config.interface[0].net.id, "a");
	assert_int_equal(config.interface[0].net.mac[5], 9);
	assert_ok(put_interface("b", "tap9", 1), e);
	assert_string_equal(config.interface[1].net.tap, "tap9");
}

static void there_is_a_limit_of_interfaces(void **state)
{
	char name[16];

	(void)state;
	for (unsigned i = 0; i < VM_INTERFACES_MAX; i++) {
		snprintf(name, sizeof(name), "tap%u", i);
		assert_ok(put_interface(name, name, 0), e);
	}
	assert_err(put_interface("more", "tap99", 0), e,
		   "there are 64 network interfaces already");
	assert_ok(put_interface("tap3", "tap99", 0), e);
}

static void there_is_a_limit_of_drives(void **state)
{
	char id[8];

	(void)state;
	for (unsigned i = 0; i <= VM_DRIVES_MAX; i++) {
		struct drive_config drive = {.block.path = strdup("p")};

		snprintf(id, sizeof(id), "d%u", i);
		drive.block.id = strdup(id);
		if (i < VM_DRIVES_MAX)
			assert_ok(vm_config_put_drive(&config, &drive, &e), e);
		else
			assert_err(vm_config_put_drive(&config, &drive, &e), e,
				   "there are 64 drives already");
		drive_config_fini(&drive);
	}
}

#define WITH_CONFIG(test) cmocka_unit_test_setup_teardown(test, init, fini)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_CONFIG(default_is_firecrackers),
		WITH_CONFIG(kernel_is_needed),
		WITH_CONFIG(vcpu_count_has_limits),
		WITH_CONFIG(ram_has_a_minimum),
		WITH_CONFIG(ram_that_overflows_is_refused),
		WITH_CONFIG(cmdline_must_be_printable),
		WITH_CONFIG(set_takes_a_copy),
		WITH_CONFIG(fini_makes_it_fresh),
		WITH_CONFIG(console_gets_an_earlycon),
		WITH_CONFIG(what_is_added_goes_before_inits_arguments),
		WITH_CONFIG(no_console_gets_no_earlycon),
		WITH_CONFIG(empty_cmdline_stays_empty),
		WITH_CONFIG(no_cmdline_is_firecrackers_default),
		WITH_CONFIG(longest_cmdline_fits),
		WITH_CONFIG(longer_cmdline_is_refused),
		WITH_CONFIG(earlycon_counts_for_the_length),
		WITH_CONFIG(interfaces_are_replaced_by_id_and_share_nothing),
		WITH_CONFIG(there_is_a_limit_of_interfaces),
		WITH_CONFIG(there_is_a_limit_of_drives),
	};

	return RUN_TESTS("config", tests);
}
