/* SPDX-License-Identifier: Apache-2.0 */
/* Firecracker's configuration file: vmm/config/file/config_file.c. */
#include <stdio.h>
#include <string.h>

#include "core/base/util.h"
#include "tests/unit/testing.h"
#include "vmm/config/file/config_file.h"

static struct config_file file;
static struct err e;

static int fini(void **state)
{
	(void)state;
	config_file_fini(&file);
	return 0;
}

static int parse(const char *text)
{
	config_file_fini(&file);
	return config_file_parse(&file, text, strlen(text), &e);
}

/* A document that is fine but for @more. */
static int parse_with(const char *more)
{
	char text[1024];

	snprintf(text, sizeof(text),
		 "{\"boot-source\":{\"kernel_image_path\":\"/dev/null\"},"
		 "\"drives\":[]%s%s}",
		 *more ? "," : "", more);
	return parse(text);
}

/* From Firecracker's tests/framework/vm_config.json, without its drive. */
static void firecrackers_example_is_read(void **state)
{
	(void)state;
	assert_ok(parse("{\n"
			"  \"boot-source\": {\n"
			"    \"kernel_image_path\": \"/dev/null\",\n"
			"    \"boot_args\": \"console=ttyS0 reboot=k panic=1\","
			"    \"initrd_path\": null\n"
			"  },\n"
			"  \"drives\": [],\n"
			"  \"machine-config\": {\n"
			"    \"vcpu_count\": 2,\n"
			"    \"mem_size_mib\": 1024,\n"
			"    \"smt\": false,\n"
			"    \"track_dirty_pages\": false,\n"
			"    \"huge_pages\": \"None\"\n"
			"  },\n"
			"  \"cpu-config\": null,\n"
			"  \"balloon\": null,\n"
			"  \"network-interfaces\": [],\n"
			"  \"vsock\": null,\n"
			"  \"logger\": null,\n"
			"  \"metrics\": null,\n"
			"  \"mmds-config\": null,\n"
			"  \"entropy\": null,\n"
			"  \"pmem\": [],\n"
			"  \"memory-hotplug\": null\n"
			"}\n"),
		  e);
	assert_string_equal(file.vm.kernel, "/dev/null");
	assert_string_equal(file.vm.cmdline, "console=ttyS0 reboot=k panic=1");
	assert_null(file.vm.initrd);
	assert_int_equal(file.vm.vcpu_count, 2);
	assert_int_equal(file.vm.mem_mib, 1024);
}

static void least_document_has_the_defaults(void **state)
{
	(void)state;
	assert_ok(parse_with(""), e);
	assert_string_equal(file.vm.kernel, "/dev/null");
	assert_null(file.vm.cmdline);
	assert_int_equal(file.vm.vcpu_count, 1);
	assert_int_equal(file.vm.mem_mib, 128);
	assert_false(file.vm.boot_timer);
}

static void initrd_is_read(void **state)
{
	(void)state;
	assert_ok(parse("{\"boot-source\":{\"kernel_image_path\":\"/dev/null\","
			"\"initrd_path\":\"/dev/zero\"},\"drives\":[]}"),
		  e);
	assert_string_equal(file.vm.initrd, "/dev/zero");
}

static void logger_is_read(void **state)
{
	(void)state;
	assert_ok(parse_with("\"logger\":{\"log_path\":\"l\",\"level\":"
			     "\"Debug\",\"show_level\":true,"
			     "\"show_log_origin\":true,\"module\":\"m\"}"),
		  e);
	assert_string_equal(file.logger.path, "l");
	assert_string_equal(file.logger.level, "Debug");
	assert_string_equal(file.logger.module, "m");
	assert_true(file.logger.show_level && file.logger.show_origin);
}

static void vsock_and_balloon_are_read(void **state)
{
	(void)state;
	assert_ok(parse_with("\"vsock\":{\"guest_cid\":42,\"uds_path\":"
			     "\"/tmp/none\"},\"balloon\":{\"amount_mib\":20,"
			     "\"deflate_on_oom\":true},\"entropy\":{}"),
		  e);
	assert_int_equal(file.vm.vsock.guest_cid, 42);
	assert_string_equal(file.vm.vsock.uds_path, "/tmp/none");
	assert_true(file.vm.has_balloon && file.vm.balloon.deflate_on_oom);
	assert_int_equal(file.vm.balloon.amount_mib, 20);
	assert_true(file.vm.has_entropy);
}

static void cpu_template_none_is_accepted(void **state)
{
	(void)state;
	assert_ok(parse_with("\"machine-config\":{\"vcpu_count\":1,"
			     "\"mem_size_mib\":64,\"cpu_template\":\"None\"}"),
		  e);
}

#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define FEATURE(index, bitmap)                                     \
	"\"cpu-config\":{\"vcpu_features\":[{\"index\":" index "," \
	"\"bitmap\":\"" bitmap "\"}]}"
#define REGISTER(addr, bitmap)                                       \
	"\"cpu-config\":{\"reg_modifiers\":[{\"addr\":\"" addr "\"," \
	"\"bitmap\":\"" bitmap "\"}]}"

/* This program's own file, as good as any. */
#define DRIVE(id, root)                                                 \
	"{\"drive_id\":\"" id "\",\"path_on_host\":\"/proc/self/exe\"," \
	"\"is_root_device\":" root "}"

static char cmdline[4096];

#define MACHINE "\"machine-config\":{\"vcpu_count\":1,\"mem_size_mib\":64,"

/* A section, and what is said of it. */
static const char *const refused[][2] = {
	{"\"machine-config\":{\"vcpu_count\":1}",
	 "machine-config: missing field `mem_size_mib`"},
	{"\"machine-config\":{\"mem_size_mib\":1}",
	 "machine-config: missing field `vcpu_count`"},
	{"\"machine-config\":{\"vcpu_count\":256,\"mem_size_mib\":1}",
	 "machine-config: invalid value: integer `256`, expected u8 at "
	 "line 1 column 95 (field `vcpu_count` is 0 to 255)"},
	{"\"machine-config\":{\"vcpu_count\":1,"
	 "\"mem_size_mib\":2147483648}",
	 "machine-config: invalid value: integer `2147483648`"},
	{"\"machine-config\":[]",
	 "machine-config: invalid type: sequence, expected an object"},
	{MACHINE "\"smt\":true}",
	 "machine-config: Enabling simultaneous multithreading is not "
	 "supported on aarch64."},
	{MACHINE "\"cpu_template\":\"V1N1\"}",
	 "machine-config: this build has no CPU templates"},
	{MACHINE "\"huge_pages\":\"1G\"}",
	 "machine-config: huge_pages: unknown variant `1G`, expected "
	 "one of `None`, `Transparent`, `2M`"},
	{MACHINE "\"vcpus\":1}", "machine-config: unknown field `vcpus`"},
	{"\"network-interfaces\":[{}]",
	 "network-interfaces: element 0: missing field `iface_id`"},
	{"\"network-interfaces\":[{\"iface_id\":\"a\",\"host_dev_"
	 "name\":"
	 "\"no-such-tap\"}]",
	 "network-interfaces: element 0: Could not create the network "
	 "device: Open tap device failed: "},
	{"\"network-interfaces\":{}", "network-interfaces: expected an array"},
	{"\"pmem\":[{}]", "pmem: this build has no such device"},
	{"\"logger\":{\"show_level\":1}",
	 "logger: invalid type: integer `1`, expected a boolean"},
	{"\"logger\":{\"path\":\"x\"}", "logger: unknown field `path`"},
	{"\"balloon\":{}", "balloon: missing field `amount_mib`"},
	{"\"cpu-config\":{\"kvm_capabilities\":[\"1\"]}",
	 "cpu-config: field `kvm_capabilities`, element 0: this "
	 "build does not support it"},
	{"\"cpu-config\":\"/nope\"", "cpu-config: /nope"},
	{"\"metrics\":{}", "metrics: missing field `metrics_path`"},
	{"\"mmds-config\":{}",
	 "mmds-config: missing field `network_interfaces`"},
	{"\"mmds-config\":{\"network_interfaces\":[\"a\"]}",
	 "mmds-config: The list of network interface IDs provided "
	 "contains at least one ID that does not correspond to any "
	 "existing network interface."},
	{"\"vsock\":{}", "vsock: missing field `guest_cid`"},
	{"\"entropy\":{\"x\":1}", "entropy: unknown field `x`"},
	{"\"memory-hotplug\":{}",
	 "memory-hotplug: this build does not support it"},
};

static void refusals_name_the_section(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(refused); i++)
		assert_err(parse_with(refused[i][0]), e, refused[i][1]);
}

static void files_must_be_there(void **state)
{
	(void)state;
	assert_err(parse("{\"boot-source\":{\"kernel_image_path\":\"/no/pe\"},"
			 "\"drives\":[]}"),
		   e,
		   "boot-source: The kernel file cannot be opened: No such "
		   "file or directory (os error 2)");
	assert_err(parse("{\"boot-source\":{\"kernel_image_path\":"
			 "\"/dev/null\",\"initrd_path\":\"/no/pe\"},"
			 "\"drives\":[]}"),
		   e, "The initrd file cannot be opened");
}

static void metrics_are_read(void **state)
{
	(void)state;
	assert_ok(parse_with("\"metrics\":{\"metrics_path\":\"m\","
			     "\"emit_id\":true,\"properties\":"
			     "{\"a\":\"b\"}}"),
		  e);
	assert_string_equal(file.metrics.path, "m");
	assert_true(file.metrics.emit_id);
	assert_string_equal(file.metrics.properties, "{\"a\":\"b\"}");
}

static void cpu_features_and_registers_are_read(void **state)
{
	(void)state;
	assert_ok(parse_with("\"cpu-config\":{\"vcpu_features\":[{\"index\":0,"
			     "\"bitmap\":\"0b011x_1xxx\"}],\"reg_modifiers\":"
			     "[{\"addr\":\"0x603000000013c020\",\"bitmap\":"
			     "\"0b10x1\"},{\"addr\":\"0x6040000000100054\","
			     "\"bitmap\":\"0b1" X64 "0\"}]}"),
		  e);
	assert_int_equal(file.vm.cpu[ARCH_PMU], ARCH_ON);
	assert_int_equal(file.vm.cpu[ARCH_PAUTH], ARCH_ON);
	assert_int_equal(file.vm.cpu[ARCH_SVE], ARCH_AUTO);
	assert_int_equal(file.vm.reg_count, 2);
	assert_int_equal(file.vm.reg[0].id, 0x603000000013c020);
	assert_int_equal(file.vm.reg[0].mask[0], 13);
	assert_int_equal(file.vm.reg[0].value[0], 9);
	assert_int_equal(file.vm.reg[1].mask[0], 1);
	assert_int_equal(file.vm.reg[1].value[0], 0);
	assert_int_equal(file.vm.reg[1].mask[1], 2);
	assert_int_equal(file.vm.reg[1].value[1], 2);
}

static void cpu_config_refusals_say_why(void **state)
{
	static const char *const cases[][2] = {
		{FEATURE("1", "0b1"), "KVM has vCPU features at index 0"},
		{FEATURE("0", "0b0xx"), "vCPU feature bit 2 cannot"},
		{FEATURE("0", "0b1"), "vCPU feature bit 0 cannot be chosen"},
		{FEATURE("0", "1"), "does not begin with 0b"},
		{FEATURE("0", "0b"), "has no digits"},
		{FEATURE("0", "0b2"), "digits 0, 1 and x only"},
		{FEATURE("0", "0b" X64), "more than 32 bits"},
		{REGISTER("0x1", "0b1"), "is not KVM's number"},
		{REGISTER("603000000013c020", "0b1"), "is not KVM's number"},
		{REGISTER("0x60300000001xc020", "0b1"), "is not KVM's number"},
		/* SVE's Z0, of 2048 bits. */
		{REGISTER("0x6080000000150000", "0b1"), "is not KVM's number"},
		{REGISTER("0x603000000013c020", "0b1" X64), "than 64 bits"},
		{"\"cpu-config\":{\"vcpu_features\":{}}", "is not an array"},
		{"\"cpu-config\":{\"cpuid_modifiers\":[]}", "unknown field"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		assert_err(parse_with(cases[i][0]), e, cases[i][1]);
}

#define BOOT                                                    \
	"\"boot-source\":{\"kernel_image_path\":\"/dev/null\"," \
	"\"boot_args\":\"quiet\"}"

static void drives_are_read(void **state)
{
	static const char first[] = DRIVE("a", "false,\"is_read_only\":true");
	static const char second[] = DRIVE("b", "true,\"is_read_only\":true,"
						"\"partuuid\":\"12-34\"");
	char text[1000];

	(void)state;
	snprintf(text, sizeof(text), "{" BOOT ",\"drives\":[%s,%s]}", first,
		 second);
	assert_ok(parse(text), e);
	assert_int_equal(file.vm.drive_count, 2);
	assert_string_equal(file.vm.drive[0].block.id, "b");
	assert_ok(vm_config_cmdline(&file.vm, cmdline, sizeof(cmdline), &e), e);
	assert_string_equal(cmdline, "quiet root=PARTUUID=12-34 ro");
}

static void a_drive_that_cannot_be_is_refused_by_number(void **state)
{
	static const char first[] = DRIVE("a", "true,\"is_read_only\":true");
	static const char second[] = DRIVE("b", "true,\"is_read_only\":true");
	char text[1000];

	(void)state;
	snprintf(text, sizeof(text), "{" BOOT ",\"drives\":[%s,%s]}", first,
		 second);
	assert_err(parse(text), e,
		   "drives: element 1: A root block device already exists!");
	assert_err(parse("{" BOOT ",\"drives\":[{\"drive_id\":\"a\"}]}"), e,
		   "drives: element 0: missing field `is_root_device`");
	assert_err(parse("{" BOOT ",\"drives\":[" DRIVE("", "false") "]}"), e,
		   "drives: element 0: The ID cannot be empty.");
	assert_err(parse("{" BOOT ",\"drives\":[" DRIVE("a b", "false") "]}"),
		   e, "drives: element 0: the ID has a character");
}

static void required_sections_are_named(void **state)
{
	(void)state;
	assert_err(parse("{\"drives\":[]}"), e, "missing field `boot-source`");
	assert_err(parse("{\"boot-source\":{\"kernel_image_path\":\"/dev/"
			 "null\"}}"),
		   e, "missing field `drives`");
	assert_err(parse("{\"boot-source\":{},\"drives\":[]}"), e,
		   "boot-source: missing field `kernel_image_path`");
}

/* Firecracker ignores them, silently. */
static void unknown_section_is_ignored(void **state)
{
	(void)state;
	assert_ok(parse_with("\"drive\":[]"), e);
	assert_err(parse_with("\"drive\":[],\"entropy\":{\"drive\":1}"), e,
		   "entropy: unknown field `drive`");
}

static void duplicate_section_is_refused(void **state)
{
	(void)state;
	assert_err(parse_with("\"drives\":[]"), e, "duplicate");
}

static void broken_text_is_refused(void **state)
{
	(void)state;
	assert_err(parse("{"), e, "line 1");
	assert_err(parse(""), e, "line 1");
	assert_err(parse("[]"), e, "invalid type: sequence");
}

static void nul_in_a_path_is_refused(void **state)
{
	(void)state;
	assert_int_equal(parse("{\"boot-source\":{\"kernel_image_path\":"
			       "\"k\\u0000x\"},\"drives\":[]}"),
			 -1);
}

static void machine_is_unchanged_by_a_refused_one(void **state)
{
	(void)state;
	assert_int_equal(parse_with("\"machine-config\":{\"vcpu_count\":4,"
				    "\"mem_size_mib\":64,\"smt\":true}"),
			 -1);
	assert_int_equal(file.vm.vcpu_count, 1);
}

static void strings_of_a_refused_document_are_freed(void **state)
{
	(void)state;
	/* The leak sanitizer judges. */
	assert_int_equal(parse_with(MACHINE "\"huge_pages\":\"2M\","
					    "\"cpu_template\":\"T2\"}"),
			 -1);
}

static void fini_twice_is_fine(void **state)
{
	(void)state;
	assert_ok(parse_with(""), e);
	config_file_fini(&file);
	config_file_fini(&file);
	assert_null(file.vm.kernel);
}

#define PARSES(test) cmocka_unit_test_teardown(test, fini)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PARSES(firecrackers_example_is_read),
		PARSES(least_document_has_the_defaults),
		PARSES(initrd_is_read),
		PARSES(logger_is_read),
		PARSES(vsock_and_balloon_are_read),
		PARSES(cpu_template_none_is_accepted),
		PARSES(refusals_name_the_section),
		PARSES(files_must_be_there),
		PARSES(metrics_are_read),
		PARSES(cpu_features_and_registers_are_read),
		PARSES(cpu_config_refusals_say_why),
		PARSES(drives_are_read),
		PARSES(a_drive_that_cannot_be_is_refused_by_number),
		PARSES(required_sections_are_named),
		PARSES(unknown_section_is_ignored),
		PARSES(duplicate_section_is_refused),
		PARSES(broken_text_is_refused),
		PARSES(nul_in_a_path_is_refused),
		PARSES(machine_is_unchanged_by_a_refused_one),
		PARSES(strings_of_a_refused_document_are_freed),
		PARSES(fini_twice_is_fine),
	};

	return RUN_TESTS("config_file", tests);
}
