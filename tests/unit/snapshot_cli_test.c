/* SPDX-License-Identifier: Apache-2.0 */
/* `stasis snapshot` and `stasis inspect`: vmm/ctl/snapshot.c, inspect.c. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/io.h"
#include "snapshot/codec.h"
#include "snapshot/memory/memory_mark.h"
#include "snapshot/state_file.h"
#include "tests/unit/snapshot_cli_world.h"
#include "tests/unit/testing.h"
#include "vmm/cli/cli.h"
#include "vmm/vm/vm_snapshot.h"

/* ------------------------------------------------------------------- taking */

static void a_running_vm_is_paused_and_goes_on(void **state)
{
	const struct vmm vmm = {
		.answer = {running, no_content, no_content, no_content}};
	char wanted[1024];
	struct stat st;

	(void)state;
	assert_int_equal(snapshot(&vmm, NULL), EXIT_OK);
	snprintf(wanted, sizeof(wanted),
		 "GET / ;PATCH /vm {\"state\":\"Paused\"};"
		 "PUT /snapshot/create {\"snapshot_type\":\"Full\","
		 "\"snapshot_path\":\"%s/new/state\","
		 "\"mem_file_path\":\"%s/new/memory\"};"
		 "PATCH /vm {\"state\":\"Resumed\"};",
		 folder, folder);
	assert_string_equal(requests, wanted);
	assert_string_equal(complained, "");
	snprintf(wanted, sizeof(wanted), "%s/new", folder);
	assert_int_equal(stat(wanted, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void a_paused_vm_stays_paused(void **state)
{
	const struct vmm vmm = {.answer = {paused, no_content}};

	(void)state;
	assert_int_equal(snapshot(&vmm, "--changes"), EXIT_OK);
	assert_contains(requests, "GET / ;PUT /snapshot/create "
				  "{\"snapshot_type\":\"Diff\"");
	assert_lacks(requests, "Resumed");
}

static void a_vm_is_left_paused_on_request(void **state)
{
	const struct vmm vmm = {.answer = {running, no_content, no_content}};

	(void)state;
	assert_int_equal(snapshot(&vmm, "--paused"), EXIT_OK);
	assert_lacks(requests, "Resumed");
}

static void it_goes_to_other_places_on_request(void **state)
{
	const struct vmm vmm = {.answer = {paused, no_content}};
	static const char *const options[3] = {"--memory=m.fifo",
					       "--state=/run/s", "--mode=0640"};
	char here[PATH_MAX], wanted[2 * PATH_MAX];

	(void)state;
	assert_non_null(getcwd(here, sizeof(here)));
	assert_int_equal(snapshot_with(&vmm, options), EXIT_OK);
	snprintf(wanted, sizeof(wanted),
		 "\"snapshot_path\":\"/run/s\","
		 "\"mem_file_path\":\"%s/m.fifo\",\"mode\":\"0640\"}",
		 here);
	assert_contains(requests, wanted);
}

static void it_goes_on_when_the_snapshot_fails(void **state)
{
	const struct vmm vmm = {
		.answer = {running, no_content, failed, no_content}};

	(void)state;
	assert_int_equal(snapshot(&vmm, "--no-sync"), EXIT_FAILED);
	assert_contains(requests, "\"sync_snapshot_files\":false};"
				  "PATCH /vm {\"state\":\"Resumed\"};");
	assert_contains(complained, "disk is full");
}

static void that_it_does_not_go_on_is_said(void **state)
{
	const struct vmm vmm = {
		.answer = {running, no_content, no_content, failed}};

	(void)state;
	assert_int_equal(snapshot(&vmm, NULL), EXIT_FAILED);
	assert_contains(complained, "was taken, but the VM stays paused");
}

static void without_a_vmm_the_socket_is_named(void **state)
{
	char new[80];

	(void)state;
	snprintf(new, sizeof(new), "%s/new", folder);
	assert_int_equal(RUN(cli_snapshot, new, "--socket", socket_path),
			 EXIT_FAILED);
	assert_contains(complained, socket_path);
}

static void what_is_missing_is_asked_for(void **state)
{
	(void)state;
	assert_int_equal(RUN(cli_snapshot, NULL), EXIT_BAD_ARGUMENTS);
	assert_contains(complained, "FOLDER is needed");
	assert_int_equal(RUN(cli_snapshot, "merge", "--base", "x"),
			 EXIT_BAD_ARGUMENTS);
	assert_contains(complained, "--base FILE and --diff FILE");
	assert_int_equal(RUN(cli_snapshot, "--help"), EXIT_OK);
	assert_contains(printed, "--changes");
	assert_contains(printed, "merge --base FILE");
	assert_int_equal(RUN(cli_snapshot, "merge", "--help"), EXIT_OK);
	assert_int_equal(RUN(cli_inspect, NULL), EXIT_BAD_ARGUMENTS);
	assert_contains(complained, "FILE is needed");
	assert_int_equal(RUN(cli_inspect, "--help"), EXIT_OK);
	assert_contains(printed, "--json");
}

/* ------------------------------------------------------------------ merging */

/* Memory with one letter in it, marked as that of snapshot @id. */
static int memory(char letter, char id, char base, enum memory_mark_kind kind)
{
	struct memory_mark mark = {.kind = (uint8_t)kind};
	int fd = testing_file(&letter, 1);

	mark.id[3] = (uint8_t)id;
	mark.base[3] = (uint8_t)base;
	assert_int_equal(io_pwrite(fd, &mark, sizeof(mark), vm_mark_offset()),
			 0);
	return fd;
}

static int merge(const char *base, const char *diff)
{
	return RUN(cli_snapshot, "merge", "--base", base, "--diff", diff);
}

static void a_diff_is_merged_over_its_base(void **state)
{
	AUTO_CLOSE int base = memory('a', 'A', 0, MEMORY_WHOLE);
	AUTO_CLOSE int diff = memory('b', 'B', 'A', MEMORY_SINCE_LAST);
	AUTO_CLOSE int other = memory('c', 'C', 0, MEMORY_WHOLE);
	AUTO_CLOSE int small = testing_file("d", 1);
	char base_path[64], diff_path[64], other_path[64];
	char text[8] = "";

	(void)state;
	strcpy(base_path, testing_file_path(base));
	strcpy(diff_path, testing_file_path(diff));
	strcpy(other_path, testing_file_path(other));
	assert_int_equal(merge(other_path, diff_path), EXIT_FAILED);
	assert_contains(complained, "was not made for this base");
	assert_int_equal(io_pread(other, text, 1, 0), 1);
	assert_string_equal(text, "c");
	assert_int_equal(merge(base_path, testing_file_path(small)),
			 EXIT_FAILED);
	assert_contains(complained, "too short to be memory");
	assert_int_equal(merge(base_path, diff_path), EXIT_OK);
	assert_int_equal(io_pread(base, text, 1, 0), 1);
	assert_string_equal(text, "b");
	assert_int_equal(merge("/dev/null/x", diff_path), EXIT_FAILED);
	assert_contains(complained, "cannot open /dev/null/x");
	assert_int_equal(merge(base_path, base_path), EXIT_FAILED);
	assert_contains(complained, "the same file");
	assert_int_equal(merge(base_path, other_path), EXIT_FAILED);
	assert_contains(complained, "the whole memory; use it as it is");
}

static void a_base_that_a_vm_runs_from_is_not_changed(void **state)
{
	AUTO_CLOSE int base = memory('a', 'A', 0, MEMORY_WHOLE);
	AUTO_CLOSE int diff = memory('b', 'B', 'A', MEMORY_SINCE_LAST);
	char base_path[64], text[8] = "";

	(void)state;
	strcpy(base_path, testing_file_path(base));
	assert_int_equal(flock(base, LOCK_SH), 0);
	assert_int_equal(merge(base_path, testing_file_path(diff)),
			 EXIT_FAILED);
	assert_contains(complained, "a microVM runs from it");
	assert_int_equal(io_pread(base, text, 1, 0), 1);
	assert_string_equal(text, "a");
}

/* --------------------------------------------------------------- inspecting */

static void write_state(const char *path)
{
	AUTO_CLOSE int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	bool done = true;
	struct snap s;
	const void *body;
	struct err e;
	size_t len;

	snap_save(&s, 1);
	snap_begin(&s, SNAP_TAG('b', 'o', 'o', 't'));
	snap_bool(&s, &done);
	snap_end(&s);
	body = snap_data(&s, &len);
	assert_ok(state_file_save(fd, body, len, &e), e);
	snap_fini(&s);
}

/* The minor version is between @before and @after. */
static void printed_is(const char *before, const char *after)
{
	char text[128];

	snprintf(text, sizeof(text), "%s%u%s", before, STATE_FILE_MINOR, after);
	assert_string_equal(printed, text);
}

static void a_state_is_shown_as_text_and_json(void **state)
{
	char path[80];

	(void)state;
	snprintf(path, sizeof(path), "%s/state", folder);
	write_state(path);
	assert_int_equal(RUN(cli_inspect, path), EXIT_OK);
	printed_is("format: 1.", "\nboot_timer:\n  done: true\n");
	/* So is that of a folder. */
	assert_int_equal(RUN(cli_inspect, folder, "--json"), EXIT_OK);
	printed_is("{\"format\":\"1.",
		   "\",\"sections\":["
		   "{\"section\":\"boot_timer\",\"done\":true}]}\n");
}

/* As launchers ask Firecracker. */
static void versions_are_told_as_firecracker_does(void **state)
{
	char path[80];

	(void)state;
	snprintf(path, sizeof(path), "%s/state", folder);
	assert_int_equal(RUN(cli_firecracker, "--describe-snapshot", path),
			 EXIT_FAILED);
	assert_contains(complained, path);
	write_state(path);
	assert_int_equal(RUN(cli_firecracker, "--describe-snapshot", path),
			 EXIT_OK);
	printed_is("v1.", ".0\n");
	assert_int_equal(RUN(cli_firecracker, "--snapshot-version"), EXIT_OK);
	printed_is("v1.", ".0\n");
}

static void what_is_no_state_is_named(void **state)
{
	char path[80];

	(void)state;
	snprintf(path, sizeof(path), "%s/state", folder);
	assert_int_equal(RUN(cli_inspect, folder), EXIT_FAILED);
	assert_contains(complained, path);
	write_state(path);
	assert_int_equal(truncate(path, 30), 0);
	assert_int_equal(RUN(cli_inspect, path), EXIT_FAILED);
	assert_contains(complained, "/state: it is cut off");
	assert_string_equal(printed, "");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		in_folder(a_running_vm_is_paused_and_goes_on),
		in_folder(a_paused_vm_stays_paused),
		in_folder(a_vm_is_left_paused_on_request),
		in_folder(it_goes_to_other_places_on_request),
		in_folder(it_goes_on_when_the_snapshot_fails),
		in_folder(that_it_does_not_go_on_is_said),
		in_folder(without_a_vmm_the_socket_is_named),
		cmocka_unit_test(what_is_missing_is_asked_for),
		cmocka_unit_test(a_diff_is_merged_over_its_base),
		cmocka_unit_test(a_base_that_a_vm_runs_from_is_not_changed),
		in_folder(a_state_is_shown_as_text_and_json),
		in_folder(versions_are_told_as_firecracker_does),
		in_folder(what_is_no_state_is_named),
	};

	return RUN_TESTS("snapshot_cli", tests);
}
