/* SPDX-License-Identifier: Apache-2.0 */
/* `stasis snapshot` and `stasis inspect`: vmm/ctl/snapshot.c, inspect.c. */
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/io.h"
#include "snapshot/codec.h"
#include "snapshot/memory/memory_mark.h"
#include "snapshot/state_file.h"
#include "tests/unit/testing.h"
#include "vmm/cli/cli.h"
#include "vmm/vm/vm_snapshot.h"

enum { ANSWERS_MAX = 6 };

static const char no_content[] = "HTTP/1.1 204 \r\n\r\n";
static const char failed[] = "HTTP/1.1 400 \r\nContent-Length: 32\r\n\r\n"
			     "{\"fault_message\":\"disk is full\"}";
static const char running[] =
	"HTTP/1.1 200 \r\nContent-Length: 19\r\n\r\n{\"state\":\"Running\"}";
static const char paused[] =
	"HTTP/1.1 200 \r\nContent-Length: 18\r\n\r\n{\"state\":\"Paused\"}";

static char folder[64], socket_path[80];
static char printed[65536], complained[4096];
static char requests[8192]; /* that were made, one after the other */

/* ------------------------------------------------------------------- a VMM */

struct vmm {
	const char *answer[ANSWERS_MAX];
	int listener;
};

static void answer(int fd, const char *text)
{
	size_t at = strlen(requests);

	while (at < sizeof(requests) - 1) {
		const char *head = strstr(requests, "\r\n\r\n");
		ssize_t n;

		/* Bodies are objects. */
		if (head && (strstr(requests, "GET ") || strchr(head, '}')))
			break;
		n = recv(fd, requests + at, sizeof(requests) - 1 - at, 0);
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void *serve(void *arg)
{
	struct vmm *vmm = arg;
	static char all[sizeof(requests)];

	all[0] = '\0';
	for (unsigned i = 0; vmm->answer[i]; i++) {
		int fd = accept(vmm->listener, NULL, NULL);
		char *end;

		if (fd < 0)
			return NULL;
		memset(requests, 0, sizeof(requests));
		answer(fd, vmm->answer[i]);
		close(fd);
		/* First line and body. */
		end = strstr(requests, " HTTP");
		if (end)
			*end = '\0';
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s %s;",
			 requests,
			 end && strchr(end + 1, '{') ? strchr(end + 1, '{')
						     : "");
	}
	memcpy(requests, all, sizeof(all));
	return NULL;
}

/* --------------------------------------------------------------- running it */

static void take(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
}

static int run(int (*command)(int, char **), const char *const *words)
{
	AUTO_CLOSE int out = testing_file("", 0);
	AUTO_CLOSE int err = testing_file("", 0);
	AUTO_CLOSE int old_out = dup(1);
	AUTO_CLOSE int old_err = dup(2);
	char *argv[8] = {NULL};
	int argc = 0, status;

	for (; words[argc]; argc++)
		argv[argc] = (char *)words[argc];
	if (out < 0 || err < 0 || old_out < 0 || old_err < 0)
		fail();
	fflush(stdout);
	dup2(out, 1);
	dup2(err, 2);
	status = command(argc, argv);
	fflush(stdout);
	dup2(old_out, 1);
	dup2(old_err, 2);
	take(out, printed, sizeof(printed));
	take(err, complained, sizeof(complained));
	return status;
}

#define RUN(command, ...) run(command, (const char *const[]){__VA_ARGS__, NULL})

/* `stasis snapshot FOLDER/new`, and perhaps options, with such a VMM. */
static int snapshot_with(const struct vmm *vmm, const char *const options[3])
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct vmm served = *vmm;
	char new[80];
	pthread_t thread;
	int status;

	snprintf(new, sizeof(new), "%s/new", folder);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
	unlink(socket_path);
	served.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (served.listener < 0)
		fail();
	assert_int_equal(bind(served.listener, (struct sockaddr *)&address,
			      sizeof(address)),
			 0);
	assert_int_equal(listen(served.listener, 1), 0);
	pthread_create(&thread, NULL, serve, &served);
	status = RUN(cli_snapshot, new, "--socket", socket_path, options[0],
		     options[1], options[2]);
	pthread_join(thread, NULL);
	close(served.listener);
	return status;
}

static int snapshot(const struct vmm *vmm, const char *option)
{
	return snapshot_with(vmm, (const char *const[3]){option});
}

static int make_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/snapshot-cli-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(socket_path, sizeof(socket_path), "%s/api", folder);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

static int remove_folder(void **state)
{
	(void)state;
	return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

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

/* ---------------------------------------------------------------- the disks */

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
	AUTO_CLOSE int disk = make_disk(true), copied = -1;
	char name[160], text[5] = {0};
	struct stat st;

	(void)state;
	assert_int_equal(snapshot_with_disks("a"), EXIT_OK);
	assert_contains(requests, "GET /vm/config ;PATCH /vm "
				  "{\"state\":\"Resumed\"};");
	assert_contains(printed, "disk a is in ");
	snprintf(name, sizeof(name), "%s/new/a.disk", folder);
	copied = open(name, O_RDONLY | O_CLOEXEC);
	assert_int_equal(fstat(copied, &st), 0);
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
	assert_int_equal(snapshot_with_disks("a"), EXIT_FAILED);
	assert_contains(complained, "has another file open");
	assert_contains(requests, "{\"state\":\"Resumed\"};");
	assert_false(has_file("a.disk") || has_file(".a.disk"));
}

static void a_disks_id_is_no_path(void **state)
{
	AUTO_CLOSE int disk = make_disk(true);

	(void)state;
	assert_int_equal(snapshot_with_disks("../a"), EXIT_FAILED);
	assert_contains(complained, "its id cannot be a file's name");
	assert_int_equal(snapshot(&(struct vmm){0}, "--with-disks=1"),
			 EXIT_BAD_ARGUMENTS);
	assert_int_equal(RUN(cli_snapshot, "--with-disks"), EXIT_BAD_ARGUMENTS);
	assert_contains(complained, "--with-disks needs a FOLDER");
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

static void a_state_is_shown_as_text_and_json(void **state)
{
	char path[80];

	(void)state;
	snprintf(path, sizeof(path), "%s/state", folder);
	write_state(path);
	assert_int_equal(RUN(cli_inspect, path), EXIT_OK);
	assert_string_equal(printed, "format: 1.2\nboot_timer:\n"
				     "  done: true\n");
	/* So is that of a folder. */
	assert_int_equal(RUN(cli_inspect, folder, "--json"), EXIT_OK);
	assert_string_equal(printed,
			    "{\"format\":\"1.2\",\"sections\":["
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
	assert_string_equal(printed, "v1.2.0\n");
	assert_int_equal(RUN(cli_firecracker, "--snapshot-version"), EXIT_OK);
	assert_string_equal(printed, "v1.2.0\n");
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

#define in_folder(test) \
	cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		in_folder(a_running_vm_is_paused_and_goes_on),
		in_folder(a_paused_vm_stays_paused),
		in_folder(a_vm_is_left_paused_on_request),
		in_folder(it_goes_to_other_places_on_request),
		in_folder(it_goes_on_when_the_snapshot_fails),
		in_folder(that_it_does_not_go_on_is_said),
		in_folder(disks_are_copied_while_the_vm_is_paused),
		in_folder(a_file_that_is_not_the_vms_is_not_copied),
		in_folder(a_disks_id_is_no_path),
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
