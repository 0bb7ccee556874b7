/* SPDX-License-Identifier: Apache-2.0 */
/* --disk, --net, --vsock and --balloon of stasis run. */
#include "core/base/util.h"
#include "tests/unit/testing.h"
#include "vmm/cli/run_devices.h"
#include "vmm/config/config.h"

static struct vm_config config;
static struct err e;

static int init(void **state)
{
	(void)state;
	vm_config_init(&config);
	return 0;
}

static int fini(void **state)
{
	(void)state;
	vm_config_fini(&config);
	return 0;
}

static void disks_have_words(void **state)
{
	(void)state;
	assert_ok(run_add_disk(&config, "/proc/self/exe,ro,async", &e), e);
	assert_ok(run_add_disk(&config, "/proc/self/exe,root,ro,unsafe", &e),
		  e);
	assert_int_equal(config.drive_count, 2);
	assert_true(config.drive[0].root && config.drive[0].block.read_only);
	assert_false(config.drive[0].block.writeback);
	assert_true(config.drive[1].block.async &&
		    config.drive[1].block.writeback);
	assert_err(run_add_disk(&config, "/proc/self/exe,rw", &e), e,
		   "--disk: \"rw\" is not valid");
	assert_int_equal(config.drive_count, 2);
}

/* There is no tap; what is said about the rest comes first. */
static void networks_have_words(void **state)
{
	static const char *const cases[][2] = {
		{"none", "--net: Could not create the network device: "},
		{"none,mac=06:00:00:00:00:01", "No such device"},
		{"none,mtu=9000,mac=06:00:00:00:00:aF", "No such device"},
		{"none,mac=06:00:00:00:00:1", "is not a valid MAC address"},
		{"none,mac=06:00:00:00:00:01:", "is not a valid MAC address"},
		{"none,mac=06-00-00-00-00-01", "is not a valid MAC address"},
		{"none,mac=", "is not a valid MAC address"},
		{"none,mtu=0", "0 is not a valid MTU"},
		{"none,mtu=65536", "65536 is not a valid MTU"},
		{"none,mtu=67", "The MTU is 67; give one from 68 to 65535"},
		{"none,mtu=1x", "1x is not a valid MTU"},
		{"none,", "\"\" is not valid"},
		{"none,vhost", "No such device"},
		{"none,vhost=1", "\"vhost=1\" is not valid"},
		{"", "Invalid interface name"},
		{"fd:x", "'fd:x' is not fd: and a number"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		assert_err(run_add_net(&config, cases[i][0], &e), e,
			   cases[i][1]);
	assert_int_equal(config.interface_count, 0);
}

static void vsock_is_a_cid_and_a_path(void **state)
{
	static const char *const cases[][2] = {
		{"", "write a CID and a path"},
		{"3", "write a CID and a path"},
		{"/tmp/x", "write a CID and a path"},
		{"3x,/tmp/x", "write a CID and a path"},
		{"4294967296,/tmp/x", "write a CID and a path"},
		{"2,/tmp/x", "--vsock: The guest CID 2 is reserved"},
		{"3,", "--vsock: Cannot create backend for vsock device"},
		{"3,/dev/null", "Address already in use"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		assert_err(run_add_vsock(&config, cases[i][0], &e), e,
			   cases[i][1]);
	assert_null(config.vsock.uds_path);
	assert_ok(run_add_vsock(&config, "77,/tmp/a,b", &e), e);
	assert_int_equal(config.vsock.guest_cid, 77);
	assert_string_equal(config.vsock.uds_path, "/tmp/a,b");
}

static void balloon_has_words(void **state)
{
	(void)state;
	assert_err(run_add_balloon(&config, "", &e), e,
		   "is not a valid size in MiB");
	assert_err(run_add_balloon(&config, "64M", &e), e,
		   "is not a valid size in MiB");
	assert_err(run_add_balloon(&config, "64,all", &e), e,
		   "\"all\" is not valid");
	assert_err(run_add_balloon(&config, "64,stats=0", &e), e,
		   "\"stats=0\" is not valid");
	assert_ok(run_add_balloon(&config, "64,oom,stats=5,reporting", &e), e);
	assert_true(config.has_balloon && config.balloon.deflate_on_oom);
	assert_int_equal(config.balloon.amount_mib, 64);
	assert_int_equal(config.balloon.stats_polling_interval_s, 5);
	assert_true(config.balloon.free_page_reporting);
	assert_false(config.balloon.free_page_hinting);
}

/* RAM may be given after it. */
static void a_balloon_is_measured_at_the_end(void **state)
{
	(void)state;
	assert_ok(vm_config_set(&config.kernel, "k", &e), e);
	assert_ok(run_add_balloon(&config, "200", &e), e);
	assert_err(vm_config_check(&config, &e), e,
		   "balloon of 200 MiB: Amount of pages requested is too "
		   "large.");
	config.mem_mib = 256;
	assert_ok(vm_config_check(&config, &e), e);
}

#define WITH_CONFIG(test) cmocka_unit_test_setup_teardown(test, init, fini)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_CONFIG(disks_have_words),
		WITH_CONFIG(networks_have_words),
		WITH_CONFIG(vsock_is_a_cid_and_a_path),
		WITH_CONFIG(balloon_has_words),
		WITH_CONFIG(a_balloon_is_measured_at_the_end),
	};

	return RUN_TESTS("run_devices", tests);
}
