/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pause whose vCPUs take their time: the API answers meanwhile, and the pause
 * succeeds, fails or is cancelled, in bounded time.
 */
#include <unistd.h>

#include "tests/fake/kvm_fake.h"
#include "tests/unit/api_world.h"
#include "tests/unit/testing.h"

enum { PATIENCE_MS = 10000 };

/* vCPU 1 is to get stuck, and then to exit like this. */
static void boot(struct world *w, enum kvm_exit exit)
{
	kvm_fake_step(1, (struct fake_step){.kind = FAKE_STUCK, .exit = exit});
	api_world_boot(w);
	/* It is in there. */
	kvm_fake_await_stuck();
}

/* A client that has asked for a pause. */
static int pauses(struct world *w, const char *body)
{
	int fd = api_world_client(w);

	api_world_request(w, fd, "PATCH", "/vm", body);
	return fd;
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
		assert_string_equal(api_world_heard(fd), "");
		api_world_expect_state(w, "Running");
	}
	before = kvm_counter_read();
	kvm_fake_let_go();
	api_world_expect(w, fd, "204");
	api_world_expect_state(w, "Paused");
	/* Guest time stopped when the last one did. */
	assert_true(vm_clock(w->instance.vm)->host_stopped > before);
	assert_true(vm_clock(w->instance.vm)->host_stopped <
		    kvm_counter_read());
	close(fd);
	api_world_do(w, HTTP_METHOD_PATCH, "/vm", "{\"state\":\"Resumed\"}");
}

/* Its connection does not just close. */
static void a_client_that_waits_at_the_end_is_answered(void **state)
{
	struct world *w = *state;
	int fd;

	boot(w, KVM_EXITED_INTERRUPTED);
	fd = pauses(w, pause_body);
	kvm_fake_let_go();
	assert_int_equal(api_world_tear_down(state), 0);
	assert_contains(api_world_heard(fd), "the microVM has ended");
	close(fd);
	assert_int_equal(api_world_set_up(state), 0);
}

static void a_pause_fails_when_its_time_is_over(void **state)
{
	struct world *w = *state;
	uint64_t before = api_world_now_ms();
	int fd;

	boot(w, KVM_EXITED_INTERRUPTED);
	fd = pauses(w, "{\"state\":\"Paused\",\"timeout_ms\":60}");
	api_world_expect(w, fd, "a vCPU did not stop within 60 ms");
	assert_in_range(api_world_now_ms() - before, 55, PATIENCE_MS);
	api_world_expect_state(w, "Running");
	assert_int_equal(w->instance.vm ? vm_clock(w->instance.vm)->pauses : 1,
			 0);
	/* Nothing is left of it. */
	kvm_fake_let_go();
	api_world_request(w, fd, "PATCH", "/vm", pause_body);
	api_world_expect(w, fd, "204");
	api_world_expect_state(w, "Paused");
	close(fd);
}

/* The vCPU that had stopped in time, too. */
static void after_one_that_failed_the_guest_runs(void **state)
{
	struct world *w = *state;
	uint64_t end = api_world_now_ms() + PATIENCE_MS;
	unsigned before;
	int fd;

	boot(w, KVM_EXITED_INTERRUPTED);
	while (!kvm_fake_entries(0))
		usleep(500);
	fd = pauses(w, "{\"state\":\"Paused\",\"timeout_ms\":60}");
	before = kvm_fake_entries(0);
	api_world_expect(w, fd, "a vCPU did not stop within 60 ms");
	while (kvm_fake_entries(0) == before) {
		assert_true(api_world_now_ms() < end);
		usleep(500);
	}
	close(fd);
}

static void a_timeout_shorter_than_a_moment_fails_at_once(void **state)
{
	struct world *w = *state;
	int fd;

	boot(w, KVM_EXITED_INTERRUPTED);
	fd = pauses(w, "{\"state\":\"Paused\",\"timeout_ms\":0}");
	api_world_expect(w, fd, "a vCPU did not stop within 0 ms");
	api_world_expect_state(w, "Running");
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
	assert_string_equal(api_world_heard(a), "");
	assert_string_equal(api_world_heard(b), "");
	kvm_fake_let_go();
	api_world_expect(w, a, "204");
	api_world_expect(w, b, "204");
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
	b = api_world_client(w);
	api_world_request(w, b, "PATCH", "/vm", "{\"state\":\"Resumed\"}");
	api_world_expect(w, b, "204");
	api_world_expect(w, a, "the pause was cancelled");
	kvm_fake_let_go();
	/* It runs on. */
	usleep(20000);
	api_world_run(w);
	api_world_expect_state(w, "Running");
	api_world_request(w, a, "PATCH", "/vm", pause_body);
	api_world_expect(w, a, "204");
	assert_int_equal(vm_clock(w->instance.vm)->pauses, 1);
	close(a);
	close(b);
}

static void it_takes_place_without_who_asked_for_it(void **state)
{
	struct world *w = *state;
	uint64_t end = api_world_now_ms() + PATIENCE_MS;

	boot(w, KVM_EXITED_INTERRUPTED);
	close(pauses(w, pause_body));
	api_world_run(w);
	kvm_fake_let_go();
	while (w->instance.state != INSTANCE_PAUSED) {
		assert_true(api_world_now_ms() < end);
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
	uint64_t end = api_world_now_ms() + PATIENCE_MS;

	while (!w->ended) {
		assert_true(api_world_now_ms() < end);
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
	assert_contains(api_world_heard(fd), "the guest has ended");
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
	before = api_world_now_ms();
	boot(w, KVM_EXITED_INTERRUPTED);
	run_until_it_ends(w);
	assert_in_range(api_world_now_ms() - before, 0, 900);
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
		PAUSE_TEST(a_client_that_waits_at_the_end_is_answered),
		PAUSE_TEST(a_pause_fails_when_its_time_is_over),
		PAUSE_TEST(after_one_that_failed_the_guest_runs),
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
