/* SPDX-License-Identifier: Apache-2.0 */
/* `stasis snapshot --with-disks`: vmm/ctl/snapshot_disks.c. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/util.h"
#include "tests/unit/snapshot_cli_world.h"
#include "tests/unit/testing.h"
#include "vmm/cli/cli.h"

/* A VMM with the writable disk FOLDER/disk, and one that is read-only. */
static int snapshot_with_disks(const char *id)
{
	static char config[512], body[400];
	const struct vmm vmm = {.answer = {running, no_content, no_content,
					   config, no_content}};

	snprintf(body, sizeof(body),
		 "{\"drives\":[{\"drive_id\":\"%s\",\"path_on_host\":"
		 "\"%s/disk\",\"is_read_only\":false},{\"drive_id\":\"b\","
		 "\"path_on_host\":\"/none\",\"is_read_only\":true}]}",
		 id, folder);
	snprintf(config, sizeof(config),
		 "HTTP/1.1 200 \r\nContent-Length: %zu\r\n\r\n%s", strlen(body),
		 body);
	return snapshot(&vmm, "--with-disks");
}

/* The disk, as its VMM holds it. */
static int make_disk(bool lock)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char name[80];
	int fd;

	snprintf(name, sizeof(name), "%s/disk", folder);
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "data", 4, 1 << 20), 4);
	if (lock)
		assert_int_equal(fcntl(fd, F_OFD_SETLK, &whole), 0);
	return fd;
}

static bool has_file(const char *name)
{
	char whole[160];

	snprintf(whole, sizeof(whole), "%s/new/%s", folder, name);
	return !access(whole, F_OK);
}

static void disks_are_copied_while_the_vm_is_paused(void **state)
{
	AUTO_CLOSE int disk = make_disk(true);
	AUTO_CLOSE int copied = -1;
	char name[160], text[5] = {0};
	struct stat st;

	(void)state;
	assert_true(disk >= 0);
	assert_int_equal(snapshot_with_disks("a"), EXIT_OK);
	assert_contains(requests, "GET /vm/config ;PATCH /vm "
				  "{\"state\":\"Resumed\"};");
	assert_contains(printed, "disk a is in ");
	snprintf(name, sizeof(name), "%s/new/a.disk", folder);
	copied = open(name, O_RDONLY | O_CLOEXEC);
	if (copied < 0 || fstat(copied, &st))
		fail();
	assert_int_equal(st.st_size, (1 << 20) + 4);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(pread(copied, text, 4, 1 << 20), 4);
	assert_string_equal(text, "data");
	assert_false(has_file("b.disk") || has_file(".a.disk"));
}

/* Nobody holds its lock: the VMM has another file open. */
static void a_file_that_is_not_the_vms_is_not_copied(void **state)
{
	AUTO_CLOSE int disk = make_disk(false);

	(void)state;
	assert_true(disk >= 0);
	assert_int_equal(snapshot_with_disks("a"), EXIT_FAILED);
	assert_contains(complained, "has another file open");
	assert_contains(requests, "{\"state\":\"Resumed\"};");
	assert_false(has_file("a.disk") || has_file(".a.disk"));
}

static void a_disks_id_is_no_path(void **state)
{
	AUTO_CLOSE int disk = make_disk(true);

	(void)state;
	assert_true(disk >= 0);
	assert_int_equal(snapshot_with_disks("../a"), EXIT_FAILED);
	assert_contains(complained, "its id cannot be a file's name");
	assert_int_equal(snapshot(&(struct vmm){0}, "--with-disks=1"),
			 EXIT_BAD_ARGUMENTS);
	assert_int_equal(RUN(cli_snapshot, "--with-disks"), EXIT_BAD_ARGUMENTS);
	assert_contains(complained, "--with-disks needs a FOLDER");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		in_folder(disks_are_copied_while_the_vm_is_paused),
		in_folder(a_file_that_is_not_the_vms_is_not_copied),
		in_folder(a_disks_id_is_no_path),
	};

	return RUN_TESTS("snapshot_with_disks", tests);
}
