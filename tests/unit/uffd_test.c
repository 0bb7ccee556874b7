/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM that a page server fills: snapshot/memory/uffd.c.  The server is
 * this test; userfaultfd is the kernel's, which needs a privilege.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/machine/mem.h"
#include "snapshot/memory/uffd.h"
#include "tests/unit/testing.h"

static char folder[40], path[64];
static struct guest_mem mem;
static struct uffd uffd;
static int listener;
static struct server {
	int socket, fd; /* the connection, and the userfaultfd it got */
	char text[1024];
} server;

static int set_up(void **state)
{
	/* What lies between them is not in the file. */
	const struct guest_mem_region regions[] = {
		{.gpa = 0x80000000, .size = MIB(2)},
		{.gpa = 0x100000000, .size = MIB(4)},
	};
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	struct err e;

	(void)state;
	strcpy(folder, "/tmp/uffd_test.XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/pages", folder);
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 ||
	    bind(listener, (struct sockaddr *)&name, sizeof(name)) ||
	    listen(listener, 0))
		fail_msg("cannot listen at %s", path);
	uffd = (struct uffd){.fd = -1, .socket = -1};
	server = (struct server){.socket = -1, .fd = -1};
	return guest_mem_create(&mem, regions, ARRAY_SIZE(regions), &e);
}

static int tear_down(void **state)
{
	(void)state;
	uffd_release(&uffd, &mem);
	guest_mem_destroy(&mem);
	uffd_close(&uffd);
	util_close(&server.fd);
	util_close(&server.socket);
	close(listener);
	unlink(path);
	return rmdir(folder);
}

static int connect_it(void)
{
	struct err e;
	bool busy = true;
	int fd = uffd_connect(path, &busy, &e);

	if (fd < 0)
		fail_msg("%s", e.text);
	assert_false(busy);
	return fd;
}

static void receive(void)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {server.text, sizeof(server.text) - 1};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	server.socket = accept(listener, NULL, NULL);
	n = server.socket < 0 ? -1 : recvmsg(server.socket, &message, 0);
	assert_true(n > 0);
	server.text[n] = '\0';
	memcpy(&server.fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
}

/* It is served from now on; skips the test where that is not permitted. */
static void serve(void)
{
	struct err e;

	if (uffd_serve(&uffd, &mem, connect_it(), &e)) {
		if (!strstr(e.text, "cannot create a userfaultfd"))
			fail_msg("%s", e.text);
		assert_int_equal(uffd.fd, -1);
		assert_int_equal(uffd.socket, -1);
		skip();
	}
	receive();
}

static struct uffd_msg next_message(void)
{
	struct pollfd p = {.fd = server.fd, .events = POLLIN};
	struct uffd_msg m = {0};

	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(read(server.fd, &m, sizeof(m)), sizeof(m));
	return m;
}

static void the_server_is_told_where_ram_is(void **state)
{
	unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);
	char expected[600];

	(void)state;
	serve();
	snprintf(expected, sizeof(expected),
		 "[{\"base_host_virt_addr\":%llu,\"size\":2097152,\"offset\":0,"
		 "\"page_size\":%lu,\"page_size_kib\":%lu},"
		 "{\"base_host_virt_addr\":%llu,\"size\":4194304,"
		 "\"offset\":2097152,\"page_size\":%lu,\"page_size_kib\":%lu}]",
		 (unsigned long long)(uintptr_t)mem.region[0].host, page, page,
		 (unsigned long long)(uintptr_t)mem.region[1].host, page, page);
	assert_string_equal(server.text, expected);
	assert_true(uffd.process >= 0);
	assert_false(uffd_server_has_ended(&uffd));
}

static atomic_uint touched;

static void *touch(void *arg)
{
	volatile uint8_t *at = arg;

	touched = *at;
	return NULL;
}

/* In either region. */
static void a_page_comes_from_the_server(void **state)
{
	static uint8_t page[65536];

	(void)state;
	serve();
	memset(page, 0x5a, sizeof(page));
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *at = mem.region[i].host + 5 * sizeof(page);
		struct uffdio_copy copy = {
			.dst = (uintptr_t)at,
			.src = (uintptr_t)page,
			.len = (uint64_t)sysconf(_SC_PAGESIZE),
		};
		struct uffd_msg m;
		pthread_t thread;

		assert_false(uffd_is_unread(&uffd));
		pthread_create(&thread, NULL, touch, at);
		while (!uffd_is_unread(&uffd))
			usleep(1000);
		m = next_message();
		assert_int_equal(m.event, UFFD_EVENT_PAGEFAULT);
		assert_int_equal(m.arg.pagefault.address, (uintptr_t)at);
		/* A server that died may have read it: it is asked again. */
		uffd_ask_again(&uffd, &mem);
		assert_int_equal(next_message().event, UFFD_EVENT_PAGEFAULT);
		assert_int_equal(ioctl(server.fd, UFFDIO_COPY, &copy), 0);
		pthread_join(thread, NULL);
		assert_int_equal(touched, 0x5a);
	}
}

static atomic_int discarded;

static void *discard(void *arg)
{
	discarded = guest_mem_discard(&mem, arg, MIB(1));
	return NULL;
}

/* Or it would bring their old content back. */
static void the_server_is_told_of_pages_that_are_given_back(void **state)
{
	uint8_t *at = mem.region[1].host + MIB(1);
	struct uffd_msg m;
	pthread_t thread;

	(void)state;
	serve();
	pthread_create(&thread, NULL, discard, at);
	m = next_message();
	pthread_join(thread, NULL);
	assert_int_equal(discarded, 0);
	assert_int_equal(m.event, UFFD_EVENT_REMOVE);
	assert_int_equal(m.arg.remove.start, (uintptr_t)at);
	assert_int_equal(m.arg.remove.end, (uintptr_t)at + MIB(1));
}

static void what_waits_at_the_end_gets_zeroes(void **state)
{
	pthread_t thread;

	(void)state;
	serve();
	touched = 1;
	pthread_create(&thread, NULL, touch, mem.region[1].host);
	while (!uffd_is_unread(&uffd))
		usleep(1000);
	uffd_release(&uffd, &mem);
	pthread_join(thread, NULL);
	assert_int_equal(touched, 0);
}

static void a_server_that_ended_is_noticed(void **state)
{
	struct uffd nobody = {.fd = -1, .socket = -1, .process = -1};
	int ends[2];
	pid_t child;
	char byte;

	(void)state;
	/* Not known who it is: it may live. */
	assert_false(uffd_server_has_ended(&nobody));
	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (!child) {
		close(ends[1]);
		_exit((int)read(ends[0], &byte, 1));
	}
	nobody.process = (int)syscall(SYS_pidfd_open, child, 0);
	assert_true(nobody.process >= 0);
	assert_false(uffd_server_has_ended(&nobody));
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_true(uffd_server_has_ended(&nobody));
	uffd_close(&nobody);
	assert_int_equal(nobody.process, -1);
}

static void a_server_that_does_not_accept_is_busy(void **state)
{
	struct err e;
	int fd[3], n;
	bool busy;

	(void)state;
	for (n = 0; n < 3; n++) {
		fd[n] = uffd_connect(path, &busy, &e);
		if (fd[n] < 0)
			break;
	}
	assert_in_range(n, 1, 2);
	assert_true(busy);
	assert_contains(e.text, "it does not accept connections");
	while (n--)
		close(fd[n]);
}

static void a_server_that_is_not_there_is_told(void **state)
{
	char long_path[200];
	struct err e;
	bool busy;

	(void)state;
	memset(long_path, 'x', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = '\0';
	assert_err(uffd_connect(long_path, &busy, &e), e,
		   "a socket's path has at most 107 characters");
	assert_false(busy);
	assert_err(uffd_connect("/tmp/there/is/none", &busy, &e), e,
		   "cannot connect to /tmp/there/is/none");
	assert_false(busy);
}

/* Nothing stays open. */
static void a_server_that_went_away_is_told(void **state)
{
	int fd = connect_it();
	unsigned before = testing_count_fds();
	struct err e;

	(void)state;
	close(listener);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(uffd_serve(&uffd, &mem, fd, &e), -1);
	if (!strstr(e.text, "cannot create a userfaultfd"))
		assert_contains(e.text, "cannot hand guest RAM over");
	assert_int_equal(uffd.fd, -1);
	assert_int_equal(testing_count_fds(), before - 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_server_is_told_where_ram_is),
		TEST(a_page_comes_from_the_server),
		TEST(the_server_is_told_of_pages_that_are_given_back),
		TEST(what_waits_at_the_end_gets_zeroes),
		TEST(a_server_that_ended_is_noticed),
		TEST(a_server_that_does_not_accept_is_busy),
		TEST(a_server_that_is_not_there_is_told),
		TEST(a_server_that_went_away_is_told),
	};

	return RUN_TESTS("uffd", tests);
}
