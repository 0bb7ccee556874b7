/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which disk a snapshot takes for the one that it had: vmm/vm/vm_snapshot.c,
 * devices/virtio/block/block_identity.c.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fake/kvm_fake.h"
#include "tests/unit/snapshot_world.h"
#include "tests/unit/testing.h"
#include "vmm/vm/vm.h"

enum {
	SIZE = 4 << 20,
	CONTENTS = 8 + 34 * 8, /* a section with one disk */
	ALARM = 8 + 10,        /* another */
	BOOT = 8 + 12,
	CLOCK = 8 + 10, /* the last */
};

static char dir[64], path[96], other[96];

/* @seed: what is in it. */
static void make_file(const char *name, size_t size, uint32_t seed)
{
	uint32_t *data = calloc(1, size);
	int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	for (size_t i = 0; i < size / sizeof(*data); i++)
		data[i] = seed + (uint32_t)i * 2654435761u;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	close(fd);
	free(data);
}

static void use_drive(struct snapshot_world *w, const char *name,
		      bool read_only)
{
	struct vm_config *c = &w->config;

	assert_ok(vm_config_set(&c->drive[0].block.path, name, &w->e), w->e);
	c->drive[0].block.read_only = read_only;
}

static int set_up(void **state)
{
	strcpy(dir, "/tmp/snapshot_disk_test.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/disk", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	make_file(path, SIZE, 1);
	snapshot_world_set_up(state);
	use_drive(*state, path, false);
	return 0;
}

static int tear_down(void **state)
{
	snapshot_world_tear_down(state);
	unlink(path);
	unlink(other);
	rmdir(dir);
	return 0;
}

/* Longer than a tick of the file system's clock. */
static void let_time_pass(void)
{
	usleep(20000);
}

static void touch_byte(const char *name, off_t at)
{
	int fd = open(name, O_WRONLY | O_CLOEXEC);

	let_time_pass();
	assert_int_equal(pwrite(fd, "x", 1, at), 1);
	close(fd);
}

static void loads(struct snapshot_world *w)
{
	struct vm *vm = snapshot_world_load(w);

	if (!vm)
		fail_msg("%s", w->e.text);
	vm_destroy(vm);
}

static void is_refused(struct snapshot_world *w, const char *words)
{
	unsigned before;

	snapshot_world_unload(w);
	before = testing_count_fds();
	assert_null(snapshot_world_load(w));
	assert_contains(w->e.text, "drive root");
	assert_contains(w->e.text, words);
	assert_int_equal(testing_count_fds(), before);
}

static void saved(struct snapshot_world *w)
{
	snapshot_world_save(w, snapshot_world_boot(w));
}

static void the_same_file_is_taken(void **state)
{
	saved(*state);
	loads(*state);
	let_time_pass();
	assert_int_equal(rename(path, other), 0); /* away and back */
	assert_int_equal(rename(other, path), 0);
	loads(*state);
}

static void what_was_written_to_is_refused(void **state)
{
	struct snapshot_world *w = *state;

	saved(w);
	touch_byte(path, 3 * 1000 * 1000);
	is_refused(w, "was written to since the snapshot was taken");
}

static void a_read_only_disk_has_to_be_what_it_was(void **state)
{
	struct snapshot_world *w = *state;

	use_drive(w, path, true);
	saved(w);
	loads(w);
	touch_byte(path, 0);
	is_refused(w, "was written to since the snapshot was taken");
}

/* File systems give a number of an inode again at once. */
static void a_copy_put_back_is_taken(void **state)
{
	struct snapshot_world *w = *state;
	struct stat before, after;

	saved(w);
	let_time_pass();
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(unlink(path), 0);
	make_file(path, SIZE, 1);
	assert_int_equal(stat(path, &after), 0);
	if (before.st_ino == after.st_ino)
		print_message("the inode's number was used again\n");
	loads(w);
}

static void another_disk_under_its_name_is_refused(void **state)
{
	struct snapshot_world *w = *state;

	saved(w);
	let_time_pass();
	assert_int_equal(unlink(path), 0);
	make_file(path, SIZE, 2);
	is_refused(w, "is not the disk that it was");
}

/* A copy of the disk after it was used: its superblock differs. */
static void a_later_copy_is_refused(void **state)
{
	struct snapshot_world *w = *state;
	static const off_t places[] = {1024, 65536, SIZE - 1};

	saved(w);
	for (unsigned i = 0; i < 3; i++) {
		unlink(path);
		make_file(path, SIZE, 1);
		touch_byte(path, places[i]);
		is_refused(w, "is not the disk that it was");
	}
}

static void what_is_open_counts_and_not_its_name(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = snapshot_world_boot(w);

	assert_int_equal(rename(path, other), 0);
	make_file(path, SIZE, 2);
	snapshot_world_save(w, vm);
	is_refused(w, "is not the disk that it was");
	assert_int_equal(rename(other, path), 0);
	loads(w);
}

static void a_disk_whose_name_is_gone_is_saved(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm = snapshot_world_boot(w);

	assert_int_equal(unlink(path), 0);
	snapshot_world_save(w, vm);
	assert_null(snapshot_world_load(w));
	assert_contains(w->e.text, "No such file or directory");
	make_file(path, SIZE, 1);
	loads(w);
}

static void a_disk_that_grew_is_taken(void **state)
{
	struct snapshot_world *w = *state;

	saved(w);
	let_time_pass();
	assert_int_equal(truncate(path, 2 * SIZE), 0);
	loads(w);
	unlink(path);
	make_file(path, SIZE, 1);
	assert_int_equal(truncate(path, 2 * SIZE), 0);
	loads(w);
	unlink(path);
	make_file(path, 2 * SIZE, 2);
	is_refused(w, "is not the disk that it was");
}

static void a_smaller_disk_is_refused_with_both_sizes(void **state)
{
	struct snapshot_world *w = *state;

	saved(w);
	assert_int_equal(truncate(path, 512), 0);
	is_refused(w, "has 512 bytes, and had 4194304 when");
}

/* Whoever names a disk for a load knows what it is, but for its size. */
static struct vm *load_any(struct snapshot_world *w)
{
	const struct vm_ram_source ram = {.fd = w->memory_fd};

	snapshot_world_unload(w);
	kvm_fake_reset();
	w->saved = calloc(1, sizeof(*w->saved));
	assert_ok(vm_saved_read(w->saved, w->body, w->len, w->minor, &w->e),
		  w->e);
	w->saved->any_disk[0] = true;
	return vm_restore(w->saved, &ram, &w->host, &w->e);
}

static void a_chosen_disk_is_taken(void **state)
{
	struct snapshot_world *w = *state;
	struct vm *vm;

	saved(w);
	touch_byte(path, 0);
	vm = load_any(w);
	assert_non_null(vm);
	vm_destroy(vm);
	assert_int_equal(truncate(path, 512), 0);
	assert_null(load_any(w));
	assert_contains(w->e.text, "has 512 bytes, and had 4194304 when");
}

/* Before 1.2 there was no content: the same file has not been modified. */
static void an_older_snapshot_goes_by_file_and_time(void **state)
{
	struct snapshot_world *w = *state;

	saved(w);
	w->len -= CLOCK + BOOT + CONTENTS;
	w->minor = 1;
	assert_memory_equal(w->body + w->len, "dsks", 4);
	w->len -= ALARM;
	assert_memory_equal(w->body + w->len, "alrm", 4);
	loads(w);
	assert_int_equal(rename(path, other), 0);
	make_file(path, SIZE, 2);
	loads(w);
	assert_int_equal(rename(other, path), 0);
	touch_byte(path, 0);
	is_refused(w, "was written to since the snapshot was taken");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_same_file_is_taken),
		TEST(what_was_written_to_is_refused),
		TEST(a_read_only_disk_has_to_be_what_it_was),
		TEST(a_copy_put_back_is_taken),
		TEST(another_disk_under_its_name_is_refused),
		TEST(a_later_copy_is_refused),
		TEST(what_is_open_counts_and_not_its_name),
		TEST(a_disk_whose_name_is_gone_is_saved),
		TEST(a_disk_that_grew_is_taken),
		TEST(a_smaller_disk_is_refused_with_both_sizes),
		TEST(a_chosen_disk_is_taken),
		TEST(an_older_snapshot_goes_by_file_and_time),
	};

	return RUN_TESTS("vm_snapshot_disk", tests);
}
