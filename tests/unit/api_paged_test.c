/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot whose memory a page server serves that is slow, hangs or dies: the
 * API answers, and the end comes, with a status.
 *
 * The servers are real ones, and so is userfaultfd; it needs a privilege.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/log.h"
#include "tests/fake/kvm_fake.h"
#include "tests/unit/api_world.h"
#include "tests/unit/testing.h"

enum {
	RAM = 64 << 20,
	PATIENCE_MS = 10000,
	SOON_MS = 1000, /* the end has to come by then */
	/* Of guest RAM: nobody but the guest touches it. */
	FAR = 4 << 20,
};

/* What the server does. */
enum behaviour {
	SERVES,
	NEVER_ACCEPTS,
	CLOSES_AT_ONCE,
	NEVER_ANSWERS,
	DIES_WHEN_ASKED_FAR, /* the guest's page, not ours */
	HANGS_WHEN_ASKED_FAR,
	CLOSES_THE_SOCKET, /* and serves */
};

static struct {
	char folder[40], state[60], memory[60], socket[60];
	pid_t server;
} files;

/* --------------------------------------------------------------- the server */

static const char *receive(int client, int *fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	static char text[1024];
	struct iovec iov = {text, sizeof(text) - 1};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};

	if (client < 0 || recvmsg(client, &message, 0) <= 0)
		_exit(1);
	memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(*fd));
	return text;
}

static void serve(int client, enum behaviour b)
{
	const char *memory = mmap(NULL, RAM, PROT_READ, MAP_PRIVATE,
				  open(files.memory, O_RDONLY), 0);
	struct uffd_msg m;
	uint64_t base;
	int uffd;

	base = strtoull(strstr(receive(client, &uffd), "addr\":") + 6, NULL,
			10);
	if (b == CLOSES_THE_SOCKET)
		close(client);
	if (b == NEVER_ANSWERS)
		pause();
	for (;;) {
		struct pollfd p = {.fd = uffd, .events = POLLIN};
		struct uffdio_copy copy = {.len = 4096};
		uint64_t at;

		poll(&p, 1, -1);
		if (read(uffd, &m, sizeof(m)) != sizeof(m) ||
		    m.event != UFFD_EVENT_PAGEFAULT)
			continue;
		at = (m.arg.pagefault.address - base) & ~4095ull;
		if (at >= FAR && b == DIES_WHEN_ASKED_FAR)
			_exit(0);
		if (at >= FAR && b == HANGS_WHEN_ASKED_FAR)
			pause();
		copy.dst = base + at;
		copy.src = (uintptr_t)memory + at;
		ioctl(uffd, UFFDIO_COPY, &copy);
	}
}

/* Serves one VMM. */
static void run_server(enum behaviour b, int ready)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), client;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", files.socket);
	unlink(files.socket);
	if (listener < 0 ||
	    bind(listener, (struct sockaddr *)&name, sizeof(name)) ||
	    listen(listener, 0) || write(ready, "", 1) != 1)
		_exit(1);
	if (b == NEVER_ACCEPTS)
		pause();
	client = accept(listener, NULL, NULL);
	close(listener);
	if (b != CLOSES_AT_ONCE)
		serve(client, b);
	_exit(0);
}

/* It ends with the test. */
static void start_server(enum behaviour b)
{
	int ready[2];
	char byte;

	assert_int_equal(pipe(ready), 0);
	files.server = fork();
	if (!files.server)
		run_server(b, ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
}

static void end_server(void)
{
	if (files.server) {
		kill(files.server, SIGKILL);
		waitpid(files.server, NULL, 0);
	}
	files.server = 0;
}

/* ----------------------------------------------------------------- a world */

static void name_files(void)
{
	strcpy(files.folder, "/tmp/api_paged_test.XXXXXX");
	assert_non_null(mkdtemp(files.folder));
	snprintf(files.state, sizeof(files.state), "%s/state", files.folder);
	snprintf(files.memory, sizeof(files.memory), "%s/memory", files.folder);
	snprintf(files.socket, sizeof(files.socket), "%s/pages", files.folder);
}

/* Once, a snapshot of a guest that did nothing. */
static int make_snapshot(void **state)
{
	char body[300];
	struct world *w;

	name_files();
	api_world_set_up(state);
	w = *state;
	api_world_boot(w);
	api_world_do(w, HTTP_METHOD_PATCH, "/vm", "{\"state\":\"Paused\"}");
	snprintf(body, sizeof(body),
		 "{\"snapshot_path\":\"%s\",\"mem_file_path\":\"%s\"}",
		 files.state, files.memory);
	api_world_do(w, HTTP_METHOD_PUT, "/snapshot/create", body);
	return api_world_tear_down(state);
}

static int remove_snapshot(void **state)
{
	(void)state;
	unlink(files.state);
	unlink(files.memory);
	unlink(files.socket);
	return rmdir(files.folder);
}

/* Also: that ends, whatever the server does. */
static int tear_down(void **state)
{
	uint64_t before = api_world_now_ms();

	api_world_tear_down(state);
	assert_in_range(api_world_now_ms() - before, 0, SOON_MS);
	end_server();
	return 0;
}

/* A client that has asked for the load. */
static int loads(struct world *w)
{
	int fd = api_world_client(w);
	char body[400];

	snprintf(body, sizeof(body),
		 "{\"snapshot_path\":\"%s\",\"resume_vm\":true,\"mem_backend\":"
		 "{\"backend_type\":\"Uffd\",\"backend_path\":\"%s\"}}",
		 files.state, files.socket);
	api_world_request(w, fd, "PUT", "/snapshot/load", body);
	return fd;
}

/* vCPU @index touches a page that nobody had before. */
static void touches(unsigned index)
{
	kvm_fake_step(index, (struct fake_step){.kind = FAKE_TOUCH,
						.gpa = 0x80000000 + FAR});
}

static void stop(struct world *w)
{
	api_world_do(w, HTTP_METHOD_PUT, "/actions",
		     "{\"action_type\":\"Stop\"}");
	assert_true(w->ended);
	assert_int_equal(w->status, 0);
}

static void run_until_it_ends(struct world *w)
{
	uint64_t end = api_world_now_ms() + PATIENCE_MS;

	while (!w->ended) {
		assert_true(api_world_now_ms() < end);
		api_world_run(w);
		usleep(500);
	}
}

/* For @ms, nothing comes at @fd, and the API answers. */
static void waits(struct world *w, int fd, unsigned ms)
{
	for (unsigned i = 0; i < ms / 10; i++) {
		usleep(10000);
		api_world_run(w);
		assert_string_equal(api_world_heard(fd), "");
		api_world_expect_state(w, "Not started");
	}
}

/* ------------------------------------------------------------------- tests */

static void memory_comes_from_the_server(void **state)
{
	struct world *w = *state;
	int fd;

	touches(0);
	start_server(SERVES);
	fd = loads(w);
	api_world_expect(w, fd, "204");
	api_world_expect_state(w, "Running");
	api_world_do(w, HTTP_METHOD_PATCH, "/vm", "{\"state\":\"Paused\"}");
	close(fd);
}

static void a_server_that_never_answers_holds_nobody_up(void **state)
{
	struct world *w = *state;
	char text[400];
	int fd;

	start_server(NEVER_ANSWERS);
	fd = loads(w);
	waits(w, fd, 50);
	/* There can be one VM only. */
	assert_int_equal(api_world_call(w, HTTP_METHOD_PUT, "/boot-source",
					w->body, text, sizeof(text)),
			 400);
	assert_contains(text, "a snapshot is being loaded");
	assert_int_equal(api_world_call(w, HTTP_METHOD_PUT, "/actions",
					"{\"action_type\":\"InstanceStart\"}",
					text, sizeof(text)),
			 400);
	assert_contains(text, "a snapshot is being loaded");
	stop(w);
	close(fd);
}

static void a_server_that_never_accepts_holds_nobody_up(void **state)
{
	struct world *w = *state;
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

	start_server(NEVER_ACCEPTS);
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", files.socket);
	assert_true(other >= 0);
	while (other >= 0 &&
	       connect(other, (struct sockaddr *)&name, sizeof(name)))
		usleep(100);
	/* Nobody else gets in. */
	fd = loads(w);
	waits(w, fd, 100);
	stop(w);
	close(fd);
	close(other);
}

static void a_server_that_goes_at_once_fails_the_load(void **state)
{
	struct world *w = *state;
	int fd;

	start_server(CLOSES_AT_ONCE);
	usleep(20000);
	fd = loads(w);
	waitpid(files.server, NULL, 0);
	api_world_expect(w, fd, "400");
	assert_true(w->ended);
	assert_int_equal(w->status, 1);
	close(fd);
}

static int load_running(struct world *w, enum behaviour b)
{
	int fd;

	start_server(b);
	fd = loads(w);
	api_world_expect(w, fd, "204");
	kvm_fake_await_stuck();
	return fd;
}

static void a_vcpu_that_waits_for_a_page_holds_nobody_up(void **state)
{
	struct world *w = *state;
	int fd;

	touches(1);
	fd = load_running(w, HANGS_WHEN_ASKED_FAR);
	api_world_request(w, fd, "PATCH", "/vm",
			  "{\"state\":\"Paused\",\"timeout_ms\":60}");
	api_world_expect_state(w, "Running");
	api_world_expect(w, fd, "(it may wait for the page server)");
	stop(w);
	close(fd);
}

static void a_guest_ends_while_a_vcpu_waits_for_a_page(void **state)
{
	struct world *w = *state;
	uint64_t before;
	int fd;

	touches(1);
	kvm_fake_step(0, (struct fake_step){.kind = FAKE_EXIT,
					    .exit = KVM_EXITED_OFF,
					    .after_stuck = true});
	fd = load_running(w, HANGS_WHEN_ASKED_FAR);
	before = api_world_now_ms();
	run_until_it_ends(w);
	assert_in_range(api_world_now_ms() - before, 0, SOON_MS);
	assert_int_equal(w->status, 0);
	close(fd);
}

/* Its guest can never go on. */
static void a_server_that_dies_ends_the_vm(void **state)
{
	struct world *w = *state;
	int fd;

	touches(1);
	fd = load_running(w, DIES_WHEN_ASKED_FAR);
	waitpid(files.server, NULL, 0);
	run_until_it_ends(w);
	assert_int_equal(w->status, 1);
	close(fd);
}

/* Some do, when they have what they need. */
static void a_server_may_close_its_socket(void **state)
{
	struct world *w = *state;
	int fd;

	touches(1);
	fd = load_running(w, CLOSES_THE_SOCKET);
	for (unsigned i = 0; i < 30; i++) {
		usleep(10000);
		api_world_run(w);
		assert_false(w->ended);
	}
	api_world_do(w, HTTP_METHOD_PATCH, "/vm", "{\"state\":\"Paused\"}");
	close(fd);
}

/* It reads them all, and would wait for those that nobody serves. */
static void a_snapshot_that_waits_for_pages_holds_nobody_up(void **state)
{
	struct world *w = *state;
	char body[300], text[400];
	int fd, other;

	start_server(HANGS_WHEN_ASKED_FAR);
	fd = loads(w);
	api_world_expect(w, fd, "204");
	api_world_do(w, HTTP_METHOD_PATCH, "/vm", "{\"state\":\"Paused\"}");
	snprintf(body, sizeof(body),
		 "{\"snapshot_path\":\"%s/s\",\"mem_file_path\":\"%s/m\"}",
		 files.folder, files.folder);
	other = api_world_client(w);
	api_world_request(w, other, "PUT", "/snapshot/create", body);
	usleep(300000);
	api_world_expect_state(w, "Paused");
	/* A resume cancels it, whatever its thread still waits for. */
	assert_int_equal(api_world_call(w, HTTP_METHOD_PATCH, "/vm",
					"{\"state\":\"Resumed\"}", text,
					sizeof(text)),
			 204);
	api_world_expect_state(w, "Running");
	stop(w);
	close(fd);
	close(other);
	api_world_tear_down(state);
	/* It was not written with what is not its memory. */
	assert_int_equal(access(body, F_OK), -1);
	snprintf(text, sizeof(text), "%s/m", files.folder);
	assert_int_equal(access(text, F_OK), -1);
	api_world_set_up(state);
}

#define PAGED_TEST(test) \
	cmocka_unit_test_setup_teardown(test, api_world_set_up, tear_down)

static bool can_serve(void)
{
	AUTO_CLOSE int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int fd =
		device < 0 ? -1 : ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC);
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_EVENT_REMOVE,
	};
	bool can = fd >= 0 && !ioctl(fd, UFFDIO_API, &api);

	util_close(&fd);
	return can;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAGED_TEST(memory_comes_from_the_server),
		PAGED_TEST(a_server_that_never_answers_holds_nobody_up),
		PAGED_TEST(a_server_that_never_accepts_holds_nobody_up),
		PAGED_TEST(a_server_that_goes_at_once_fails_the_load),
		PAGED_TEST(a_vcpu_that_waits_for_a_page_holds_nobody_up),
		PAGED_TEST(a_guest_ends_while_a_vcpu_waits_for_a_page),
		PAGED_TEST(a_server_that_dies_ends_the_vm),
		PAGED_TEST(a_server_may_close_its_socket),
		PAGED_TEST(a_snapshot_that_waits_for_pages_holds_nobody_up),
	};

	if (!can_serve()) {
		puts("1..0 # SKIP this user may not create a userfaultfd");
		return 0;
	}
	return cmocka_run_group_tests(tests, make_snapshot, remove_snapshot);
}
