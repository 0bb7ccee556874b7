/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots by the API: when one may be taken or loaded, what a resume does to
 * one that is being written, and that a diff has what changed although the
 * snapshot before it failed.  vmm/instance/instance_snapshot.c,
 * instance_load.c.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/machine/mem.h"
#include "tests/fake/kvm_fake.h"
#include "tests/unit/api_world.h"
#include "tests/unit/testing.h"
#include "vmm/vm/vm.h"
#include "vmm/vm/vm_snapshot.h"

#define PUT   HTTP_METHOD_PUT
#define PATCH HTTP_METHOD_PATCH

enum { FAR = 5 << 20 }; /* in guest RAM: what only the test writes */

static const char pause_body[] = "{\"state\":\"Paused\"}";
static const char resume_body[] = "{\"state\":\"Resumed\"}";

/* Files in the world's folder; they are removed at its end. */
static char paths[8][80];
static unsigned path_count;

static const char *path_of(struct world *w, const char *name)
{
	char *path = paths[path_count++];

	snprintf(path, sizeof(paths[0]), "%s/%s", w->folder, name);
	return path;
}

static int tear_down(void **state)
{
	while (path_count)
		unlink(paths[--path_count]);
	return api_world_tear_down(state);
}

static const char *create_body(const char *state, const char *memory,
			       const char *type)
{
	static char text[300];

	snprintf(text, sizeof(text),
		 "{\"snapshot_path\":\"%s\",\"mem_file_path\":\"%s\","
		 "\"snapshot_type\":\"%s\"}",
		 state, memory, type);
	return text;
}

static const char *load_body(const char *state, const char *memory, bool resume)
{
	static char text[300];

	snprintf(text, sizeof(text),
		 "{\"snapshot_path\":\"%s\",\"mem_backend\":{\"backend_path\":"
		 "\"%s\",\"backend_type\":\"File\"},\"resume_vm\":%s}",
		 state, memory, resume ? "true" : "false");
	return text;
}

static void refused(struct world *w, enum http_method method, const char *path,
		    const char *body, const char *part)
{
	char text[1000];

	assert_int_equal(
		api_world_call(w, method, path, body, text, sizeof(text)), 400);
	assert_contains(text, part);
}

/* Paused, with this in its configuration beside the kernel. */
static void boot_and_pause(struct world *w, const char *machine)
{
	api_world_do(w, PUT, "/machine-config", machine);
	api_world_do(w, PUT, "/boot-source", w->body);
	api_world_do(w, PUT, "/actions", "{\"action_type\":\"InstanceStart\"}");
	api_world_do(w, PATCH, "/vm", pause_body);
}

static const char plain[] = "{\"vcpu_count\":1,\"mem_size_mib\":64}";
static const char tracked[] = "{\"vcpu_count\":1,\"mem_size_mib\":64,"
			      "\"track_dirty_pages\":true}";

/* ------------------------------------------------------ while it is written */

/* The answer to the client @fd, while the FIFO @fifo is read. */
static void expect_while_read(struct world *w, int fd, int fifo,
			      const char *answer)
{
	static char data[1 << 16];
	uint64_t end = api_world_now_ms() + 10000;
	const char *text;

	while (!*(text = api_world_heard(fd))) {
		assert_true(api_world_now_ms() < end);
		api_world_run(w);
		testing_read_all(fifo, data, sizeof(data));
	}
	assert_contains(text, answer);
}

/*
 * A snapshot whose memory goes to a FIFO that nobody reads yet.  The client
 * that waits for it.
 */
static int begin_snapshot(struct world *w, int *fifo)
{
	const char *path = path_of(w, "fifo");
	int fd;

	assert_int_equal(mkfifo(path, 0600), 0);
	*fifo = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_true(*fifo >= 0);
	fd = api_world_client(w);
	api_world_request(w, fd, "PUT", "/snapshot/create",
			  create_body(path_of(w, "begun"), path, "Full"));
	assert_string_equal(api_world_heard(fd), "");
	return fd;
}

/* Or the memory file would have pages of before the resume and of after it. */
static void a_resume_cancels_what_still_reads_ram(void **state)
{
	struct world *w = *state;
	AUTO_CLOSE int fifo = -1;
	int fd, other;

	boot_and_pause(w, plain);
	fd = begin_snapshot(w, &fifo);
	other = api_world_client(w);
	api_world_request(w, other, "PATCH", "/vm", resume_body);
	api_world_expect(w, other, "204");
	/* All of it can be written now. */
	expect_while_read(w, fd, fifo,
			  "the snapshot was cancelled, because the microVM was "
			  "resumed");
	assert_int_equal(access(paths[1], F_OK), -1);
	close(fd);
	close(other);
}

static void one_is_written_at_a_time(void **state)
{
	struct world *w = *state;
	AUTO_CLOSE int fifo = -1;
	int fd;

	boot_and_pause(w, plain);
	fd = begin_snapshot(w, &fifo);
	refused(w, PUT, "/snapshot/create",
		create_body(path_of(w, "state"), path_of(w, "memory"), "Full"),
		"a snapshot is being written already");
	expect_while_read(w, fd, fifo, "204");
	close(fd);
}

static void a_guest_that_runs_is_not_saved(void **state)
{
	struct world *w = *state;

	boot_and_pause(w, plain);
	api_world_do(w, PATCH, "/vm", resume_body);
	refused(w, PUT, "/snapshot/create",
		create_body(path_of(w, "state"), path_of(w, "memory"), "Full"),
		"pause the microVM first");
	assert_int_equal(access(paths[0], F_OK), -1);
}

/* ------------------------------------------------------------- what changed */

/* The page at FAR in a file of guest RAM. */
static uint8_t byte_in(const char *path)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t byte = 0;

	assert_int_equal(pread(fd, &byte, 1, FAR), 1);
	return byte;
}

/* A device writes to the guest's RAM. */
static void change_ram(struct world *w, uint8_t byte)
{
	const struct guest_mem *mem = vm_memory(w->instance.vm);
	uint8_t *at = mem->region[0].host + FAR;

	*at = byte;
	guest_mem_written(mem, at, 1);
}

static void assert_diff_has(struct world *w, uint8_t byte)
{
	const char *state = path_of(w, "state2"),
		   *memory = path_of(w, "memory2");

	api_world_do(w, PUT, "/snapshot/create",
		     create_body(state, memory, "Diff"));
	assert_int_equal(byte_in(memory), byte);
}

static void save_whole(struct world *w)
{
	const char *state = path_of(w, "state"), *memory = path_of(w, "memory");

	boot_and_pause(w, tracked);
	api_world_do(w, PUT, "/snapshot/create",
		     create_body(state, memory, "Full"));
	assert_int_equal(byte_in(memory), 0);
}

static void a_diff_has_what_changed_before_one_that_failed(void **state)
{
	struct world *w = *state;
	char pipe_name[40];
	int pipe[2];

	save_whole(w);
	change_ram(w, 0x77);
	testing_pipe(pipe);
	snprintf(pipe_name, sizeof(pipe_name), "/proc/self/fd/%d", pipe[1]);
	refused(w, PUT, "/snapshot/create",
		create_body(path_of(w, "state1"), pipe_name, "Diff"),
		"a diff cannot be sent to a pipe");
	close(pipe[0]);
	close(pipe[1]);
	assert_diff_has(w, 0x77);
}

static void
a_diff_has_what_changed_before_one_that_could_not_begin(void **state)
{
	struct world *w = *state;
	struct rlimit limit, none;

	save_whole(w);
	change_ram(w, 0x78);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	refused(w, PUT, "/snapshot/create",
		create_body(path_of(w, "state1"), path_of(w, "memory1"),
			    "Diff"),
		"cannot begin a snapshot");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_diff_has(w, 0x78);
}

/* Is the page at @offset data in a file of guest RAM, or a hole? */
static bool is_data(const char *path, uint64_t offset)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && lseek(fd, (off_t)offset, SEEK_DATA) == (off_t)offset;
}

/* And no more: nothing that an earlier diff has had. */
static void a_diff_has_what_changed_since_the_last(void **state)
{
	struct world *w = *state;
	const char *state_path = path_of(w, "state3"),
		   *memory = path_of(w, "memory3");

	save_whole(w);
	change_ram(w, 0x79);
	assert_diff_has(w, 0x79);
	api_world_do(w, PUT, "/snapshot/create",
		     create_body(state_path, memory, "Diff"));
	assert_false(is_data(memory, FAR));
	/* What stasis itself writes at each of them is in each. */
	assert_true(is_data(memory, vm_mark_offset()));
}

/* The first has no other to go over. */
static void the_first_diff_has_all(void **state)
{
	struct world *w = *state;

	boot_and_pause(w, tracked);
	*(vm_memory(w->instance.vm)->region[0].host + FAR) = 0x7a;
	assert_diff_has(w, 0x7a);
}

/* ---------------------------------------------------------- state alone */

/* Whoever saves the memory by other means: the next diff has all of it. */
static void state_alone_saves_no_memory(void **state)
{
	struct world *w = *state;
	const char *alone = path_of(w, "state1"), *none = path_of(w, "none");
	char body[200];

	save_whole(w);
	change_ram(w, 0x7b);
	api_world_do(w, PUT, "/snapshot/create",
		     create_body(alone, none, "VmstateOnly"));
	assert_int_equal(access(alone, R_OK), 0);
	assert_int_equal(access(none, F_OK), -1);
	snprintf(body, sizeof(body), "{\"snapshot_path\":\"%s\"}", alone);
	api_world_do(w, PUT, "/snapshot/create", body);
	assert_diff_has(w, 0x7b);
}

/* RAM as it is after that, read by whoever wants to. */
static void write_ram(struct world *w, const char *path)
{
	const struct guest_mem_region *r =
		&vm_memory(w->instance.vm)->region[0];
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, r->host, r->size, 0), (ssize_t)r->size);
}

/* --------------------------------------------------------------------- load */

enum { KEPT = 3 };

static char kept[KEPT][60];

static void begin_anew(void **state)
{
	assert_int_equal(tear_down(state), 0);
	assert_int_equal(api_world_set_up(state), 0);
	for (unsigned i = 0; i < KEPT; i++)
		snprintf(paths[path_count++], sizeof(paths[0]), "%s", kept[i]);
}

static void save_and_keep(struct world *w, const char **files)
{
	for (unsigned i = 0; i < KEPT; i++)
		snprintf(kept[i], sizeof(kept[i]), "/tmp/api_snapshot.%d.%u",
			 (int)getpid(), i);
	files[0] = kept[0];
	files[1] = kept[1];
	boot_and_pause(w, plain);
	api_world_do(w, PUT, "/snapshot/create",
		     create_body(files[0], files[1], "Full"));
}

/* A snapshot; then a world in which nothing has happened. */
static void save_and_begin_anew(void **state, const char **files)
{
	save_and_keep(*state, files);
	begin_anew(state);
}

static void state_alone_goes_with_memory_read_after_it(void **state)
{
	const char *files[2];

	save_and_keep(*state, files);
	api_world_do(*state, PUT, "/snapshot/create",
		     create_body(files[0], "/no/where", "VmstateOnly"));
	write_ram(*state, kept[2]);
	begin_anew(state);
	api_world_do(*state, PUT, "/snapshot/load",
		     load_body(files[0], kept[2], true));
	api_world_expect_state(*state, "Running");
}

static void state_alone_does_not_go_with_older_memory(void **state)
{
	const char *files[2];

	save_and_keep(*state, files);
	api_world_do(*state, PATCH, "/vm", "{\"state\":\"Resumed\"}");
	api_world_do(*state, PATCH, "/vm", pause_body);
	api_world_do(*state, PUT, "/snapshot/create",
		     create_body(files[0], "/no/where", "VmstateOnly"));
	begin_anew(state);
	refused(*state, PUT, "/snapshot/load",
		load_body(files[0], files[1], false), "do not belong together");
}

static void it_is_paused_unless_told_to_run(void **state)
{
	const char *files[2];

	save_and_begin_anew(state, files);
	api_world_do(*state, PUT, "/snapshot/load",
		     load_body(files[0], files[1], false));
	api_world_expect_state(*state, "Paused");
}

static void it_runs_if_told_to(void **state)
{
	const char *files[2];

	save_and_begin_anew(state, files);
	api_world_do(*state, PUT, "/snapshot/load",
		     load_body(files[0], files[1], true));
	api_world_expect_state(*state, "Running");
}

static void none_is_loaded_over_a_configuration(void **state)
{
	const char *files[2];

	save_and_begin_anew(state, files);
	api_world_do(*state, PUT, "/machine-config", plain);
	refused(*state, PUT, "/snapshot/load",
		load_body(files[0], files[1], true),
		"not allowed after configuring boot-specific resources");
	assert_false(((struct world *)*state)->ended);
	api_world_expect_state(*state, "Not started");
}

/* A VM that was restored in part is of no use. */
static void a_load_that_fails_ends_it(void **state)
{
	const char *files[2];
	struct world *w;

	save_and_begin_anew(state, files);
	w = *state;
	assert_int_equal(truncate(files[1], 4096), 0);
	refused(w, PUT, "/snapshot/load", load_body(files[0], files[1], true),
		"Load snapshot error: Failed to restore from snapshot");
	assert_true(w->ended);
	assert_int_equal(w->status, 1);
}

#define SNAPSHOT_TEST(test) \
	cmocka_unit_test_setup_teardown(test, api_world_set_up, tear_down)

static void without_snapshots_none_is_taken_or_loaded(void **state)
{
	struct world *w = *state;
	const char *file = path_of(w, "state"), *memory = path_of(w, "memory");

	w->instance.no_snapshots = true;
	refused(w, PUT, "/snapshot/load", load_body(file, memory, true),
		"Load snapshot error: the VMM was started with --no-snapshots");
	boot_and_pause(w, plain);
	refused(w, PUT, "/snapshot/create", create_body(file, memory, "Full"),
		"Create snapshot error: the VMM was started with "
		"--no-snapshots");
	assert_int_equal(access(file, F_OK), -1);
	api_world_do(w, PATCH, "/vm", resume_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SNAPSHOT_TEST(a_resume_cancels_what_still_reads_ram),
		SNAPSHOT_TEST(without_snapshots_none_is_taken_or_loaded),
		SNAPSHOT_TEST(one_is_written_at_a_time),
		SNAPSHOT_TEST(a_guest_that_runs_is_not_saved),
		SNAPSHOT_TEST(a_diff_has_what_changed_before_one_that_failed),
		SNAPSHOT_TEST(
			a_diff_has_what_changed_before_one_that_could_not_begin),
		SNAPSHOT_TEST(a_diff_has_what_changed_since_the_last),
		SNAPSHOT_TEST(the_first_diff_has_all),
		SNAPSHOT_TEST(state_alone_saves_no_memory),
		SNAPSHOT_TEST(state_alone_goes_with_memory_read_after_it),
		SNAPSHOT_TEST(state_alone_does_not_go_with_older_memory),
		SNAPSHOT_TEST(it_is_paused_unless_told_to_run),
		SNAPSHOT_TEST(it_runs_if_told_to),
		SNAPSHOT_TEST(none_is_loaded_over_a_configuration),
		SNAPSHOT_TEST(a_load_that_fails_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
