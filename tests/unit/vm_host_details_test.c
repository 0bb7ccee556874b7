/* SPDX-License-Identifier: Apache-2.0 */
/* A state without what describes the host that wrote it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tests/fake/kvm_fake.h"
#include "tests/unit/snapshot_world.h"
#include "tests/unit/testing.h"
#include "vmm/vm/vm.h"

static char vsock_path[64];

static int set_up(void **state)
{
	struct snapshot_world *w;

	snapshot_world_set_up(state);
	w = *state;
	snprintf(vsock_path, sizeof(vsock_path), "/tmp/host_details.%d",
		 getpid());
	w->config.vsock.guest_cid = 3;
	assert_ok(vm_config_set(&w->config.vsock.uds_path, vsock_path, &w->e),
		  w->e);
	return 0;
}

static bool contains(const struct snapshot_world *w, const char *text)
{
	assert_true(*text);
	return memmem(w->body, w->len, text, strlen(text));
}

static void boot_id(char id[64])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	assert_non_null(f);
	assert_non_null(fgets(id, 64, f));
	id[strcspn(id, "\n")] = '\0';
	fclose(f);
}

/* What the state says of the host, after it was read. */
static void read_back(struct snapshot_world *w)
{
	snapshot_world_unload(w);
	w->saved = calloc(1, sizeof(*w->saved));
	assert_ok(vm_saved_read(w->saved, w->body, w->len, w->minor, &w->e),
		  w->e);
}

static void usually_they_are_there(void **state)
{
	struct snapshot_world *w = *state;
	struct utsname host;
	char id[64];

	snapshot_world_save(w, snapshot_world_boot(w));
	uname(&host);
	boot_id(id);
	assert_true(contains(w, w->config.drive[0].block.path));
	assert_true(contains(w, w->config.kernel));
	assert_true(contains(w, vsock_path));
	assert_true(contains(w, host.release));
	assert_true(contains(w, id));
	read_back(w);
	assert_int_not_equal(w->saved->disk[0].inode, 0);
	assert_int_not_equal(w->saved->clock.host_stopped, 0);
}

static void they_can_be_left_out(void **state)
{
	struct snapshot_world *w = *state;
	struct utsname host;
	char id[64];

	w->no_host_details = true;
	kvm_fake.counter = 1000000000;
	snapshot_world_save(w, snapshot_world_boot(w));
	uname(&host);
	boot_id(id);
	assert_false(contains(w, w->config.drive[0].block.path));
	assert_false(contains(w, w->config.kernel));
	assert_false(contains(w, vsock_path));
	assert_false(contains(w, host.release));
	assert_false(contains(w, id));
	/* The VM goes on with what it has. */
	assert_string_not_equal(w->config.drive[0].block.path, "");
	assert_string_equal(w->config.vsock.uds_path, vsock_path);

	read_back(w);
	assert_string_equal(w->saved->config.drive[0].block.id, "root");
	assert_string_equal(w->saved->config.drive[0].block.path, "");
	assert_string_equal(w->saved->config.vsock.uds_path, "");
	assert_null(w->saved->config.kernel);
	assert_int_equal(w->saved->disk[0].inode, 0);
	assert_int_equal(w->saved->disk[0].size, 0);
	assert_int_equal(w->saved->clock.host_stopped, 0);
	assert_int_equal(w->saved->clock.boot.ns, 0);
	assert_int_equal(w->saved->clock.guest_stopped, w->stopped);
	/* Between the stop and the sample of the clock. */
	assert_true(w->saved->clock.sample.host < w->saved->clock.hz);
}

/* With the names given, it is restored as on another host. */
static void it_is_restored_with_the_names_given(void **state)
{
	struct snapshot_world *w = *state;
	struct vm_ram_source ram = {0};
	struct vm *vm;

	w->no_host_details = true;
	snapshot_world_save(w, snapshot_world_boot(w));
	read_back(w);
	assert_ok(vm_config_set(&w->saved->config.drive[0].block.path,
				w->config.drive[0].block.path, &w->e),
		  w->e);
	assert_ok(vm_config_set(&w->saved->config.vsock.uds_path, vsock_path,
				&w->e),
		  w->e);
	w->saved->any_disk[0] = true;
	ram.fd = w->memory_fd;
	vm = vm_restore(w->saved, &ram, &w->host, &w->e);
	if (!vm)
		fail_msg("%s", w->e.text);
	assert_int_equal(vm_clock(vm)->guest_stopped, w->stopped);
	assert_true(vm_clock(vm)->estimated);
	vm_destroy(vm);
}

#define t(test) \
	cmocka_unit_test_setup_teardown(test, set_up, snapshot_world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		t(usually_they_are_there),
		t(they_can_be_left_out),
		t(it_is_restored_with_the_names_given),
	};

	return RUN_TESTS("vm_host_details", tests);
}
