/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pause whose vCPUs take their time: the API answers meanwhile, and the pause
 * succeeds, fails or is cancelled, in bounded time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tests/fake/kvm_fake.h"
#include "tests/unit/api_world.h"
#include "tests/unit/testing.h"
#include "vmm/api/server.h"
#include "vmm/base/now.h"

enum { PATIENCE_MS = 10000 };

static uint64_t now_ms(void)
{
	return clock_now_ns(CLOCK_MONOTONIC) / 1000000;
}

/* vCPU 1 is to get stuck, and then to exit like this. */
static void boot(struct world *w, enum kvm_exit exit)
{
	kvm_fake_step(1, (struct fake_step){.kind = FAKE_STUCK, .exit = exit});
	api_world_boot(w);
	/* It is in there. */
	kvm_fake_await_stuck();
}

static int client(struct world *w)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(name.sun_path, sizeof(name.sun_path), "%s", w->socket);
	if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof(name)))
		fail_msg("cannot connect");
	api_world_run(w);
	return fd;
}

static void request(struct world *w, int fd, const char *method,
		    const char *path, const char *body)
{
	char text[300];
	int n = snprintf(text, sizeof(text),
			 "%s %s HTTP/1.1\r\nContent-Length: %zu\r\n\r\n%s",
			 method, path, strlen(body), body);

	assert_int_equal(send(fd, text, (size_t)n, 0), n);
	api_world_run(w);
}

/* A client that has asked for a pause. */
static int pauses(struct world *w, const char *body)
{
	int fd = client(w);

	request(w, fd, "PATCH", "/vm", body);
	return fd;
}

/* What has come, at once. */
static const char *heard(int fd)
{
	static char text[4000];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* The same, and the loop runs until something comes. */
static const char *hear(struct world *w, int fd)
{
	uint64_t end = now_ms() + PATIENCE_MS;
	const char *text;

	while (!*(text = heard(fd))) {
		assert_true(now_ms() < end);
		api_world_run(w);
		usleep(500);
	}
	return text;
}

static void expect(struct world *w, int fd, const char *answer)
{
	assert_contains(hear(w, fd), answer);
}

/* The API answers, at once. */
static void expect_state(struct world *w, const char *name)
{
	char text[300], state[60];
	uint64_t before = now_ms();

	snprintf(state, sizeof(state), "\"state\":\"%s\"", name);
	assert_int_equal(api_world_call(w, HTTP_METHOD_GET, "/", NULL, text,
					sizeof(text)),
			 200);
	assert_contains(text, state);
	assert_true(now_ms() - before < 1000);
}

static const char pause_body[] = "{\"state\":\"Paused\"}";

static void a_slow_pause_is_answered_when_it_is_done(void **state)
{
	struct world *w = *state;
	uint64_t before;
	int fd;

	boot(w, KVM_EXITED_INTERRUPTED);
	fd = pauses(w, pause_body);
	for (unsigned i = 0; i < 10; i++) {
		usleep(5000);
		api_world_run(w);
		assert_string_equal(heard(fd), "");
		expect_state(w, "Running");
	}
	before = kvm_counter_read();
	kvm_fake_let_go();
	expect(w, fd, "204");
	expect_state(w, "Paused");
	/* Guest time stopped when the last one did. */
	assert_true(vm_clock(w->instance.vm)->host_stopped > before);
	assert_true(vm_clock(w->instance.vm)->host_stopped <
		    kvm_counter_read());
	close(fd);
	api_world_do(w, HTTP_METHOD_PATCH, "/vm", "{\"state\":\"Resumed\"}");
}

static void a_pause_fails_when_its_time_is_over(void **state)
{
	struct world *w = *state;
	uint64_t before = now_ms();
	int fd;

	boot(w, KVM_EXITED_INTERRUPTED);
	fd = pauses(w, "{\"state\":\"Paused\",\"timeout_ms\":60}");
	expect(w, fd, "a vCPU did not stop within 60 ms");
	assert_in_range(now_ms() - before, 55, PATIENCE_MS);
	expect_state(w, "Running");
	assert_int_equal(w->instance.vm ? vm_clock(w->instance.vm)->pauses : 1,
			 0);
	/* Nothing is left of it. */
	kvm_fake_let_go();
	request(w, fd, "PATCH", "/vm", pause_body);
	expect(w, fd, "204");
	expect_state(w, "Paused");
	close(fd);
}

static void a_timeout_shorter_than_a_moment_fails_at_once(void **state)
{
	struct world *w = *state;
	int fd;

	boot(w, KVM_EXITED_INTERRUPTED);
	fd = pauses(w, "{\"state\":\"Paused\",\"timeout_ms\":0}");
	expect(w, fd, "a vCPU did not stop within 0 ms");
	expect_state(w, "Running");
	close(fd);
}

static void a_second_pause_joins_the_first(void **state)
{
	struct world *w = *state;
	int a, b;

	boot(w, KVM_EXITED_INTERRUPTED);
	a = pauses(w, pause_body);
	b = pauses(w, pause_body);
	usleep(20000);
	api_world_run(w);
	assert_string_equal(heard(a), "");
	assert_string_equal(heard(b), "");
	kvm_fake_let_go();
	expect(w, a, "204");
	expect(w, b, "204");
	assert_int_equal(vm_clock(w->instance.vm)->pauses, 1);
	close(a);
	close(b);
}

static void a_resume_cancels_it(void **state)
{
	struct world *w = *state;
	int a, b;

	boot(w, KVM_EXITED_INTERRUPTED);
	a = pauses(w, pause_body);
	b = client(w);
	request(w, b, "PATCH", "/vm", "{\"state\":\"Resumed\"}");
	expect(w, b, "204");
	expect(w, a, "the pause was cancelled");
	kvm_fake_let_go();
	/* It runs on. */
	usleep(20000);
	api_world_run(w);
	expect_state(w, "Running");
	request(w, a, "PATCH", "/vm", pause_body);
	expect(w, a, "204");
	assert_int_equal(vm_clock(w->instance.vm)->pauses, 1);
	close(a);
	close(b);
}

static void it_takes_place_without_who_asked_for_it(void **state)
{
	struct world *w = *state;
	uint64_t end = now_ms() + PATIENCE_MS;

	boot(w, KVM_EXITED_INTERRUPTED);
	close(pauses(w, pause_body));
	api_world_run(w);
	kvm_fake_let_go();
	while (w->instance.state != INSTANCE_PAUSED) {
		assert_true(now_ms() < end);
		api_world_run(w);
	}
}

static void stop_does_not_wait_for_it(void **state)
{
	struct world *w = *state;
	int fd;

	boot(w, KVM_EXITED_INTERRUPTED);
	fd = pauses(w, pause_body);
	api_world_do(w, HTTP_METHOD_PUT, "/actions",
		     "{\"action_type\":\"Stop\"}");
	assert_true(w->ended);
	assert_int_equal(w->status, 0);
	close(fd);
}

static void run_until_it_ends(struct world *w)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	while (!w->ended) {
		assert_true(now_ms() < end);
		api_world_run(w);
		usleep(500);
	}
}

static void a_guest_that_ends_instead_is_told_of(void **state)
{
	struct world *w = *state;
	int fd;

	boot(w, KVM_EXITED_OFF);
	fd = pauses(w, pause_body);
	kvm_fake_let_go();
	run_until_it_ends(w);
	assert_int_equal(w->status, 0);
	assert_contains(heard(fd), "the guest has ended");
	close(fd);
}

/* Such as one that waits for a page that nobody serves. */
static void a_guest_ends_though_a_vcpu_is_stuck(void **state)
{
	struct world *w = *state;
	uint64_t before;

	kvm_fake_step(0, (struct fake_step){.kind = FAKE_EXIT,
					    .exit = KVM_EXITED_OFF,
					    .after_stuck = true});
	before = now_ms();
	boot(w, KVM_EXITED_INTERRUPTED);
	run_until_it_ends(w);
	assert_in_range(now_ms() - before, 0, 900);
	assert_int_equal(w->status, 0);
}

static void a_timeout_is_checked(void **state)
{
	struct world *w = *state;
	char text[600];

	api_world_boot(w);
	assert_int_equal(
		api_world_call(w, HTTP_METHOD_PATCH, "/vm",
			       "{\"state\":\"Resumed\",\"timeout_ms\":5}", text,
			       sizeof(text)),
		400);
	assert_contains(text, "`timeout_ms`");
	assert_int_equal(
		api_world_call(w, HTTP_METHOD_PATCH, "/vm",
			       "{\"state\":\"Paused\",\"timeout_ms\":3600001}",
			       text, sizeof(text)),
		400);
	assert_contains(text, "`timeout_ms`");
	api_world_do(w, HTTP_METHOD_PATCH, "/vm",
		     "{\"state\":\"Paused\",\"timeout_ms\":3600000}");
}

static int tear_down(void **state)
{
	kvm_fake_let_go();
	return api_world_tear_down(state);
}

#define PAUSE_TEST(test) \
	cmocka_unit_test_setup_teardown(test, api_world_set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAUSE_TEST(a_slow_pause_is_answered_when_it_is_done),
		PAUSE_TEST(a_pause_fails_when_its_time_is_over),
		PAUSE_TEST(a_timeout_shorter_than_a_moment_fails_at_once),
		PAUSE_TEST(a_second_pause_joins_the_first),
		PAUSE_TEST(a_resume_cancels_it),
		PAUSE_TEST(it_takes_place_without_who_asked_for_it),
		PAUSE_TEST(stop_does_not_wait_for_it),
		PAUSE_TEST(a_guest_that_ends_instead_is_told_of),
		PAUSE_TEST(a_guest_ends_though_a_vcpu_is_stuck),
		PAUSE_TEST(a_timeout_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
