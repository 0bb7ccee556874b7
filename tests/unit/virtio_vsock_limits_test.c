/* SPDX-License-Identifier: Apache-2.0 */
/* Vsock: streams without end, and descriptors that have one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/fd_limit.h"
#include "core/io/log.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_vsock_ends.h"

static struct rlimit before;
static int64_t ahead_ms; /* of the real clock */

/* The linker's name for what --wrap hides. */
int __real_clock_gettime(clockid_t clock, struct timespec *t);

/* The device's clock is the real one, or ahead of it. */
static void set_clock(void)
{
	struct timespec now;

	__real_clock_gettime(CLOCK_MONOTONIC, &now);
	fake_clock_set(now.tv_sec, now.tv_nsec);
	fake_clock_advance_ms(ahead_ms);
}

static int set_up(void **state)
{
	ahead_ms = 0;
	set_clock();
	return getrlimit(RLIMIT_NOFILE, &before) || begin(state);
}

static int tear_down(void **state)
{
	return setrlimit(RLIMIT_NOFILE, &before) || end(state);
}

static void set_soft(rlim_t soft)
{
	struct rlimit limit = {soft, before.rlim_max};

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static int lowest_free(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

/* How often the loop wakes within @ms. */
static unsigned wakes_within(int64_t ms)
{
	struct timespec first, now;
	unsigned wakes = 0;

	__real_clock_gettime(CLOCK_MONOTONIC, &first);
	do {
		wakes += (unsigned)driver_poll(&d, 1);
		set_clock();
		__real_clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - first.tv_sec) * 1000 +
			 (now.tv_nsec - first.tv_nsec) / 1000000 <
		 ms);
	return wakes;
}

/* The guest asks for streams until one is refused. */
static unsigned open_streams(uint32_t port)
{
	struct virtio_vsock_hdr h = {0};
	unsigned opened = 0;

	for (;;) {
		guest(VIRTIO_VSOCK_OP_REQUEST, port, 1000 + opened);
		if (!packet(&h))
			fail_msg("no answer");
		if (h.op != VIRTIO_VSOCK_OP_RESPONSE)
			break;
		opened++;
	}
	assert_int_equal(h.op, VIRTIO_VSOCK_OP_RST);
	return opened;
}

static void assert_reserve(void)
{
	int fd[FD_RESERVE];

	for (unsigned i = 0; i < FD_RESERVE; i++) {
		fd[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (fd[i] < 0)
			fail_msg("%u descriptors are left: %s", i,
				 strerror(errno));
	}
	for (unsigned i = 0; i < FD_RESERVE; i++)
		close(fd[i]);
}

static void a_guests_streams_leave_a_reserve(void **state)
{
	uint64_t fails;
	char path[80];
	int listener, client;
	unsigned opened;

	(void)state;
	start();
	listener = host_listens(60, path, sizeof(path));
	assert_int_equal(listen(listener, 1000), 0);
	set_soft((rlim_t)lowest_free() + 300);
	opened = open_streams(60);
	assert_int_equal(opened, 300 - FD_RESERVE);
	assert_reserve();
	/* A program of the host is refused at once, and counted. */
	fails = metrics()->muxer_event_fails;
	client = host_connects();
	assert_true(is_closed(client));
	close(client);
	assert_int_equal(metrics()->muxer_event_fails, fails + 1);
	/* A place that is free again is given away again. */
	guest(VIRTIO_VSOCK_OP_RST, 60, 1000);
	guest(VIRTIO_VSOCK_OP_RST, 60, 1001); /* one for the client's end */
	driver_run(&d);
	client = host_connects();
	assert_false(is_closed(client));
	close(client);
	close(listener);
	unlink(path);
}

static void programs_leave_a_reserve(void **state)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	enum { PLACES = 300 };
	static int fd[PLACES];
	unsigned served = 0;

	(void)state;
	start();
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", uds);
	/* Their ends are of this process, too, but no part of the limit. */
	for (unsigned i = 0; i < PLACES; i++)
		fd[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	set_soft((rlim_t)lowest_free() + PLACES);
	for (unsigned i = 0; i < PLACES; i++) {
		assert_int_equal(
			connect(fd[i], (struct sockaddr *)&name, sizeof(name)),
			0);
		served += !is_closed(fd[i]);
	}
	assert_int_equal(served, PLACES - FD_RESERVE);
	assert_reserve();
	for (unsigned i = 0; i < PLACES; i++)
		close(fd[i]);
}

static void without_descriptors_nobody_wakes_the_loop(void **state)
{
	int fd;

	(void)state;
	start();
	fd = host_connects();
	set_soft((rlim_t)lowest_free());
	assert_in_range(wakes_within(350), 1, 20);
	assert_in_range(metrics()->muxer_event_fails, 1, 5);
	/* It is served when that is possible again. */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	wakes_within(150);
	host_says(fd, "CONNECT 52\n");
	expect(VIRTIO_VSOCK_OP_REQUEST, FIRST, 52);
	close(fd);
}

static void accepting_is_parked_with_the_rest(void **state)
{
	int fd;

	(void)state;
	start();
	fd = host_connects();
	set_soft((rlim_t)lowest_free());
	driver_run(&d);
	assert_true(virtio_quiesce(d.dev, 0));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	wakes_within(150);
	assert_int_equal(vsock_conn_count(d.dev), 0);
	assert_int_equal(driver_poll(&d, 0), 0);
	virtio_resume(d.dev);
	driver_run(&d);
	assert_int_equal(vsock_conn_count(d.dev), 1);
	close(fd);
}

static void who_is_silent_gives_up_its_place_for_others(void **state)
{
	static int fd[VSOCK_CONNS_MAX];
	int young, extra;

	(void)state;
	start();
	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++) {
		fd[i] = host_connects();
		driver_run(&d);
	}
	/* They have a while for it. */
	young = host_connects();
	assert_true(is_closed(young));
	assert_false(is_closed(fd[0]));
	ahead_ms += VSOCK_TIMEOUT_MS;
	set_clock();
	driver_run(&d);
	assert_false(is_closed(fd[0])); /* as long as nobody else comes */
	extra = host_connects();
	assert_false(is_closed(extra));
	assert_true(is_closed(fd[0]));
	assert_false(is_closed(fd[1]));
	host_says(extra, "CONNECT 52\n");
	expect(VIRTIO_VSOCK_OP_REQUEST, FIRST, 52);
	for (unsigned i = 0; i < VSOCK_CONNS_MAX; i++)
		close(fd[i]);
	close(young);
	close(extra);
}

static void who_is_silent_gives_up_its_descriptor(void **state)
{
	char path[80];
	int listener, silent;

	(void)state;
	start();
	listener = host_listens(60, path, sizeof(path));
	assert_int_equal(listen(listener, 1000), 0);
	silent = host_connects();
	driver_run(&d);
	set_soft((rlim_t)lowest_free() + 100);
	open_streams(60);
	assert_false(is_closed(silent));
	ahead_ms += VSOCK_TIMEOUT_MS;
	set_clock();
	guest(VIRTIO_VSOCK_OP_REQUEST, 60, 5);
	expect(VIRTIO_VSOCK_OP_RESPONSE, 60, 5);
	assert_true(is_closed(silent));
	close(silent);
	close(listener);
	unlink(path);
}

/* What the log says while the guest asks for @port. */
static void ask_for(uint32_t port, uint16_t answer, char *text, size_t size)
{
	int fds[2];

	testing_pipe(fds);
	log_configure(&(struct log_config){.level = LOG_WARN, .fd = fds[1]});
	guest(VIRTIO_VSOCK_OP_REQUEST, port, 9);
	expect(answer, port, 9);
	log_configure(
		&(struct log_config){.level = LOG_WARN, .fd = STDERR_FILENO});
	testing_read_all(fds[0], text, size);
	close(fds[0]);
	close(fds[1]);
}

static void why_a_guest_is_not_connected_is_logged(void **state)
{
	char path[80], text[500];
	int listener;

	(void)state;
	start();
	ask_for(60, VIRTIO_VSOCK_OP_RST, text, sizeof(text));
	assert_string_equal(text, ""); /* nobody is there: the guest's affair */
	listener = host_listens(60, path, sizeof(path));
	assert_int_equal(listen(listener, 0), 0);
	guest(VIRTIO_VSOCK_OP_REQUEST, 60, 8);
	expect(VIRTIO_VSOCK_OP_RESPONSE, 60, 8);
	ask_for(60, VIRTIO_VSOCK_OP_RST, text, sizeof(text));
	assert_contains(text, "the guest was not connected to ");
	assert_contains(text, "v.sock_60: Resource temporarily unavailable");
	close(listener);
	expect(VIRTIO_VSOCK_OP_RST, 60, 8);
	ask_for(60, VIRTIO_VSOCK_OP_RST, text, sizeof(text));
	assert_string_equal(text, ""); /* a socket that nobody listens on */
	unlink(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_guests_streams_leave_a_reserve),
		TEST(programs_leave_a_reserve),
		TEST(without_descriptors_nobody_wakes_the_loop),
		TEST(accepting_is_parked_with_the_rest),
		TEST(who_is_silent_gives_up_its_place_for_others),
		TEST(who_is_silent_gives_up_its_descriptor),
		TEST(why_a_guest_is_not_connected_is_logged),
	};

	/* What we inherited would be in the way of our counting. */
	close_range(STDERR_FILENO + 1, ~0u, 0);
	return RUN_TESTS("vsock_limits", tests);
}
