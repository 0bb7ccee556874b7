/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a load opens of the host files that a state file names:
 * vmm/instance/load_paths.c, and core/io/io_beneath.c, which opens them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/io.h"
#include "snapshot/publish.h"
#include "tests/unit/testing.h"
#include "vmm/config/snapshot_bodies.h"
#include "vmm/instance/load_paths.h"

/* The folder of a snapshot, in one that it must not lead to. */
static char outside[64], folder[80], home[4096];

static const char *in(const char *where, const char *name)
{
	static char path[4][256];
	static unsigned next;

	next = (next + 1) % ARRAY_SIZE(path);
	snprintf(path[next], sizeof(path[0]), "%s/%s", where, name);
	return path[next];
}

static void make(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, path, strlen(path)), strlen(path));
	close(fd);
}

static int set_up(void **state)
{
	(void)state;
	assert_non_null(getcwd(home, sizeof(home)));
	strcpy(outside, "/tmp/load_paths_test.XXXXXX");
	assert_non_null(mkdtemp(outside));
	snprintf(folder, sizeof(folder), "%s/shot", outside);
	assert_int_equal(mkdir(folder, 0700), 0);
	assert_int_equal(mkdir(in(folder, "sub"), 0700), 0);
	make(in(folder, "disk"));
	make(in(folder, "sub/disk"));
	make(in(outside, "secret"));
	assert_int_equal(symlink("disk", in(folder, "link")), 0);
	assert_int_equal(symlink(in(outside, "secret"), in(folder, "out")), 0);
	assert_int_equal(symlink(outside, in(folder, "up")), 0);
	assert_int_equal(symlink("sub", in(folder, "sublink")), 0);
	assert_int_equal(link(in(outside, "secret"), in(folder, "hard")), 0);
	assert_int_equal(mkfifo(in(folder, "fifo"), 0600), 0);
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	assert_int_equal(chdir(home), 0);
	snprintf(command, sizeof(command), "rm -r %s", outside);
	return system(command); /* NOLINT(cert-env33-c): a fixed command */
}

/* --------------------------------------------------------- io_open_beneath */

static int opened(const char *rest)
{
	return io_open_beneath(in(folder, rest), strlen(folder), O_RDONLY);
}

static void files_below_the_folder_are_opened(void **state)
{
	static const char *const names[] = {"disk", "sub/disk", "sub//disk",
					    "./disk", "/disk"};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		AUTO_CLOSE int fd = opened(names[i]);
		char text[256] = "";

		assert_true(fd >= 0);
		assert_true(read(fd, text, sizeof(text) - 1) > 0);
		assert_contains(text, "disk");
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	}
}

static void nothing_that_leads_out_is_opened(void **state)
{
	static const struct {
		const char *name;
		int error;
	} wrong[] = {
		{"link", ELOOP},        {"out", ELOOP},
		{"up/secret", ENOTDIR}, {"sublink/disk", ENOTDIR},
		{"../secret", ENOENT},  {"sub/../disk", ENOENT},
		{"..", ENOENT},         {"hard", EMLINK},
		{"fifo", EINVAL},       {"sub", EINVAL},
		{"", ENOENT},           {"none", ENOENT},
	};
	unsigned before = testing_count_fds();

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		errno = 0;
		if (io_open_beneath(in(folder, wrong[i].name), strlen(folder),
				    O_RDONLY | O_NONBLOCK) != -1 ||
		    errno != wrong[i].error)
			fail_msg("%s: %s", wrong[i].name, strerror(errno));
		if (io_open_beneath(in(folder, wrong[i].name), strlen(folder),
				    O_PATH) != -1)
			fail_msg("%s (O_PATH)", wrong[i].name);
	}
	assert_int_equal(testing_count_fds(), before);
}

static void the_folder_itself_may_be_reached_through_a_link(void **state)
{
	AUTO_CLOSE int fd = -1;

	(void)state;
	assert_int_equal(symlink(folder, in(outside, "alias")), 0);
	fd = io_open_beneath(in(outside, "alias/disk"),
			     strlen(outside) + strlen("/alias"), O_RDONLY);
	assert_true(fd >= 0);
}

/* -------------------------------------------------------- load_paths_check */

struct world {
	struct snapshot_load body;
	struct vm_config config;
	struct err e;
};

static void world_init(struct world *w, const char *state_path)
{
	*w = (struct world){.body.strict = true};
	w->body.state_path = strdup(state_path);
	vm_config_init(&w->config);
}

static void world_fini(struct world *w)
{
	snapshot_load_fini(&w->body);
	vm_config_fini(&w->config);
}

static void add_drive(struct world *w, const char *path)
{
	struct drive_config drive = {.block.id = strdup("root"),
				     .block.path = strdup(path)};

	assert_ok(vm_config_put_drive(&w->config, &drive, &w->e), w->e);
}

static int check(struct world *w)
{
	return load_paths_check(&w->body, &w->config, &w->e);
}

static void a_drive_in_the_folder_is_opened_there(void **state)
{
	struct world w;
	char before[256];

	(void)state;
	snprintf(before, sizeof(before), "%s", in(folder, "sub/disk"));
	world_init(&w, in(folder, "state"));
	add_drive(&w, before);
	assert_ok(check(&w), w.e);
	assert_string_equal(w.config.drive[0].block.path, before);
	assert_int_equal(w.config.drive[0].block.folder, strlen(folder));
	world_fini(&w);
}

static void a_folder_may_be_named_in_many_ways(void **state)
{
	static const struct {
		const char *state, *drive, *path;
		size_t folder;
	} ways[] = {
		{"state", "disk", "./disk", 1},
		{"./state", "./disk", "./disk", 1},
		{"sub/state", "sub/disk", "sub/disk", 3},
		{"sub//state", "sub/disk", "sub/disk", 3},
	};

	(void)state;
	assert_int_equal(chdir(folder), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
		struct world w;

		world_init(&w, ways[i].state);
		add_drive(&w, ways[i].drive);
		assert_ok(check(&w), w.e);
		assert_string_equal(w.config.drive[0].block.path, ways[i].path);
		assert_int_equal(w.config.drive[0].block.folder,
				 ways[i].folder);
		world_fini(&w);
	}
}

/* At the root of a jail. */
static void the_folder_may_be_the_root(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, "/state");
	add_drive(&w, in(folder, "disk"));
	assert_ok(check(&w), w.e);
	assert_int_equal(w.config.drive[0].block.folder, 1);
	world_fini(&w);
}

static void is_refused(const char *state_path, const char *drive,
		       const char *why)
{
	unsigned before = testing_count_fds();
	struct world w;

	world_init(&w, state_path);
	add_drive(&w, drive);
	assert_err(check(&w), w.e, why);
	assert_contains(w.e.text, "drive root");
	assert_contains(w.e.text, drive);
	assert_contains(w.e.text, "--disk ID=FILE (`drive_overrides`)");
	assert_contains(w.e.text, "without `strict`");
	assert_int_equal(testing_count_fds(), before);
	/* It could not be opened by another rule. */
	assert_int_equal(w.config.drive[0].block.folder, 0);
	w.body.strict = false;
	assert_ok(check(&w), w.e);
	world_fini(&w);
}

static void other_files_are_refused(void **state)
{
	char of[256], beside[256];

	(void)state;
	snprintf(of, sizeof(of), "%s", in(folder, "state"));
	snprintf(beside, sizeof(beside), "%s-2/disk", folder);
	is_refused(of, in(outside, "secret"), "not in its folder");
	is_refused(of, beside, "not in its folder");
	is_refused(of, folder, "not in its folder");
	is_refused(of, "disk", "not in its folder");
	is_refused("state", in(folder, "disk"), "not in its folder");
	is_refused(of, in(folder, "../secret"), "not a file in its folder");
	is_refused(of, in(folder, "out"), "symbolic link");
	is_refused(of, in(folder, "up/secret"), "symbolic link");
	is_refused(of, in(folder, "hard"), "hard link");
	is_refused(of, in(folder, "fifo"), "not a file in its folder");
}

static void what_the_load_gives_is_taken(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, in(folder, "state"));
	add_drive(&w, "/dev/sda");
	w.body.drive[0] = (struct host_override){
		.id = strdup("root"), .place = strdup(in(outside, "secret"))};
	w.body.drive_count = 1;
	assert_ok(check(&w), w.e);
	assert_ok(snapshot_load_override(&w.body, &w.config, &w.e), w.e);
	assert_string_equal(w.config.drive[0].block.path,
			    in(outside, "secret"));
	assert_int_equal(w.config.drive[0].block.folder, 0);
	world_fini(&w);
}

static void taps_have_to_be_given(void **state)
{
	static const char *const taps[] = {"tap0", "fd:7"};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(taps); i++) {
		struct interface_config net = {.net.id = strdup("net0"),
					       .net.tap = strdup(taps[i])};
		struct world w;

		world_init(&w, in(folder, "state"));
		assert_ok(vm_config_put_interface(&w.config, &net, &w.e), w.e);
		assert_err(check(&w), w.e, "network interface net0");
		assert_contains(w.e.text, taps[i]);
		assert_contains(w.e.text, "`network_overrides`");
		w.body.network[0] = (struct host_override){
			.id = strdup("net0"), .place = strdup("tap7")};
		w.body.network_count = 1;
		assert_ok(check(&w), w.e);
		/* The kernel's vhost is not used because the state says so. */
		assert_true(w.body.network[0].vhost_chosen);
		assert_false(w.body.network[0].vhost);
		w.body.network[0].vhost_chosen = false;
		w.body.strict = false;
		assert_ok(check(&w), w.e);
		assert_false(w.body.network[0].vhost_chosen);
		world_fini(&w);
	}
}

static void a_vsocks_path_has_to_be_given(void **state)
{
	struct world w;

	(void)state;
	world_init(&w, in(folder, "state"));
	w.config.vsock.uds_path = strdup(in(folder, "v.sock"));
	assert_err(check(&w), w.e, "vsock");
	assert_contains(w.e.text, "`vsock_override`");
	w.body.vsock_path = strdup("/run/v.sock");
	assert_ok(check(&w), w.e);
	world_fini(&w);
}

/* As in a state without host details, whether the load is strict or not. */
static void a_name_that_is_missing_has_to_be_given(void **state)
{
	(void)state;
	for (unsigned strict = 0; strict < 2; strict++) {
		struct world w;

		world_init(&w, in(folder, "state"));
		w.body.strict = strict;
		add_drive(&w, "");
		assert_err(check(&w), w.e, "does not say what it uses");
		assert_contains(w.e.text, "--disk ID=FILE");
		assert_lacks(w.e.text, "strict");
		vm_config_set(&w.config.vsock.uds_path, "", &w.e);
		assert_err(check(&w), w.e, "--vsock PATH");
		world_fini(&w);
	}
}

/* --------------------------------------------------------- the files
 * themselves */

static void state_and_memory_may_not_be_links(void **state)
{
	struct published p;
	struct err e;

	(void)state;
	assert_err(publish_open_strict(&p, in(folder, "link"), NULL, &e), e,
		   "is a symbolic link");
	assert_err(publish_open_strict(&p, in(folder, "disk"),
				       in(folder, "out"), &e),
		   e, "is a symbolic link");
	/* It is no state, but it was opened. */
	assert_int_equal(publish_open_strict(&p, in(folder, "disk"), NULL, &e),
			 -1);
	assert_lacks(e.text, "link");
}

/* Beside the link's target there is one that would be used. */
static void a_next_state_is_looked_for_beside_the_name(void **state)
{
	struct published p;
	struct err e;

	(void)state;
	assert_int_equal(symlink(in(outside, "state"), in(folder, "state")), 0);
	make(in(outside, "state.next"));
	assert_err(publish_open_strict(&p, in(folder, "state"),
				       in(folder, "disk"), &e),
		   e, "is a symbolic link");
}

#define t(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		t(files_below_the_folder_are_opened),
		t(nothing_that_leads_out_is_opened),
		t(the_folder_itself_may_be_reached_through_a_link),
		t(a_drive_in_the_folder_is_opened_there),
		t(a_folder_may_be_named_in_many_ways),
		t(the_folder_may_be_the_root),
		t(other_files_are_refused),
		t(what_the_load_gives_is_taken),
		t(taps_have_to_be_given),
		t(a_vsocks_path_has_to_be_given),
		t(a_name_that_is_missing_has_to_be_given),
		t(state_and_memory_may_not_be_links),
		t(a_next_state_is_looked_for_beside_the_name),
	};

	return RUN_TESTS("load_paths", tests);
}
