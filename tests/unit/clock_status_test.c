/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of guest time: its history, and the reply to GET /clock. */
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/json/json.h"
#include "devices/vmclock.h"
#include "tests/fake/kvm_fake.h"
#include "tests/unit/testing.h"
#include "vmm/config/bodies.h"

struct machine {
	struct kvm_vm vm;
	struct kvm_vcpu vcpu;
	struct arch_clock clock;
	struct err e;
};

static void start(struct machine *m, struct clock_request request)
{
	assert_ok(
		arch_clock_start(&m->clock, &m->vm, &m->vcpu, &request, &m->e),
		m->e);
	kvm_fake.counter += 500; /* until they are released */
	arch_clock_started(&m->clock);
}

static void stop(struct machine *m)
{
	arch_clock_stopping(&m->clock);
	kvm_fake.counter += 300; /* until the last has parked */
	assert_ok(
		arch_clock_stop(&m->clock, &m->vcpu, kvm_counter_read(), &m->e),
		m->e);
}

static int set_up(void **state)
{
	static const struct clock_config config = {
		.on_restore = CLOCK_CONTINUOUS,
		.max_jump_ms = CLOCK_MAX_JUMP_MS,
	};
	struct machine *m = calloc(1, sizeof(*m));

	kvm_fake_reset();
	m->vm.kvm_fd = kvm_open("kvm", &m->e);
	assert_ok(kvm_vm_create(&m->vm, m->vm.kvm_fd, 0, &m->e), m->e);
	assert_ok(arch_clock_pin(&m->clock, &m->vm, &config, &m->e), m->e);
	assert_ok(kvm_vcpu_create(&m->vm, &m->vcpu, 0, &m->e), m->e);
	start(m, (struct clock_request){.policy = CLOCK_FROZEN});
	*state = m;
	return 0;
}

static int tear_down(void **state)
{
	struct machine *m = *state;

	kvm_vcpu_destroy(&m->vcpu);
	kvm_vm_destroy(&m->vm);
	close(m->vm.kvm_fd);
	free(m);
	return 0;
}

static const struct arch_clock_event *event(const struct machine *m, unsigned i)
{
	return &m->clock.history[i % CLOCK_HISTORY_MAX];
}

static void each_operation_is_kept_as_it_was(void **state)
{
	struct machine *m = *state;
	const struct arch_clock_event *stopped = event(m, 1),
				      *frozen = event(m, 2),
				      *continuous = event(m, 4),
				      *set = event(m, 6);

	assert_int_equal(m->clock.event_count, 1);
	assert_int_equal(event(m, 0)->kind, CLOCK_BOOTED);
	assert_int_equal(event(m, 0)->guest, 0);
	stop(m);
	kvm_fake.counter += 1000000;
	start(m, (struct clock_request){.policy = CLOCK_FROZEN});
	stop(m);
	kvm_fake.counter += 2000000;
	start(m, (struct clock_request){.policy = CLOCK_CONTINUOUS});
	stop(m);
	start(m, (struct clock_request){
			 .policy = CLOCK_SET,
			 .ticks = m->clock.guest_stopped + 777,
		 });
	assert_int_equal(m->clock.event_count, 7);
	assert_int_equal(m->clock.pauses, 3);
	assert_int_equal(m->clock.resumes, 3);
	assert_int_equal(stopped->kind, CLOCK_STOPPED);
	assert_in_range(stopped->late_ticks, 300, 300 + 10 * kvm_fake.tick);
	assert_int_equal(frozen->kind, CLOCK_WENT_ON);
	assert_int_equal(frozen->guest, stopped->guest);
	assert_int_equal(frozen->jump_ticks, 0);
	assert_in_range(frozen->paused_ticks, 1000000,
			1000000 + 10 * kvm_fake.tick);
	assert_int_equal(frozen->paused_ticks, frozen->host - stopped->host);
	/* From where the counter was taken to where they were released. */
	assert_in_range(frozen->late_ticks, 500, 500 + 10 * kvm_fake.tick);
	assert_int_equal(continuous->policy, CLOCK_CONTINUOUS);
	assert_int_equal(continuous->jump_ticks, continuous->paused_ticks);
	assert_in_range(continuous->jump_ticks, 2000000, 2010000);
	assert_int_equal(continuous->offset, frozen->offset);
	assert_int_equal(set->jump_ticks, 777);
	for (unsigned i = 0; i < 7; i++) {
		assert_int_equal(event(m, i)->host - event(m, i)->offset,
				 event(m, i)->guest);
		assert_int_equal(event(m, i)->error_ticks, 0);
		assert_true(event(m, i)->realtime_ns > 1600000000000000000u);
	}
}

static void a_refused_resume_leaves_no_trace(void **state)
{
	struct machine *m = *state;
	const struct clock_request back = {.policy = CLOCK_SET};

	kvm_fake.counter += 1000;
	stop(m);
	assert_err(arch_clock_start(&m->clock, &m->vm, &m->vcpu, &back, &m->e),
		   m->e, "cannot go back");
	assert_int_equal(m->clock.event_count, 2);
	assert_int_equal(m->clock.resumes, 0);
}

static struct vmclock vmclock; /* what the guest was told */
static const struct clock_threads threads = {.count = 2, .id = {4711, 4712}};

static struct json_t *status(const struct machine *m, bool stopped)
{
	struct buf text = {0};
	struct json_t *document;
	struct err e;

	clock_status_print(&m->clock, stopped, &vmclock, &threads, &text);
	document = json_parse(text.data, text.len, &e);
	if (!document)
		fail_msg("%s: %s", e.text, text.data);
	buf_free(&text);
	return document;
}

static int64_t number(const struct json_t *object, const char *name)
{
	int64_t n = 0;

	if (!json_i64(json_member(object, name), &n))
		fail_msg("no number `%s`", name);
	return n;
}

static void bounds_that_are_not_known_are_left_out(void **state)
{
	struct json_t *all = status(*state, false);
	const struct json_t *told = json_member(all, "vmclock");

	assert_string_equal(json_text(json_member(told, "status")),
			    "freerunning");
	assert_null(json_member(told, "max_error_ns"));
	assert_null(json_member(told, "rate_est_error_ppb"));
	assert_int_equal(json_array_len(json_member(all, "vcpu_threads")), 2);
	json_free(all);
}

static void so_is_what_the_guest_was_told(void **state)
{
	struct machine *m = *state;
	const struct json_t *told;
	struct json_t *all;
	int64_t n;

	vmclock = (struct vmclock){
		.seq = 14,
		.disruption = 3,
		.pair = {.counter = -77ull,
			 .synchronized = true,
			 .max_error = 1500000,
			 .est_error = 1000,
			 .rate = -2 * 65536,
			 .rate_max_error = 502 * 65536,
			 .rate_est_error = 65536 / 2,
			 .tai_offset = 38,
			 .leap = CLOCK_LEAP_POS,
			 .smear = CLOCK_SMEAR_NOON_LINEAR},
	};
	all = status(m, false);
	told = json_member(all, "vmclock");
	assert_string_equal(json_text(json_member(told, "status")),
			    "synchronized");
	assert_true(json_i64(json_member(told, "rate_ppb"), &n));
	assert_int_equal(n, -2000);
	assert_int_equal(number(told, "max_error_ns"), 1500000);
	assert_int_equal(number(told, "est_error_ns"), 1000);
	assert_int_equal(number(told, "rate_max_error_ppb"), 502000);
	assert_int_equal(number(told, "rate_est_error_ppb"), 500);
	assert_int_equal(number(told, "tai_offset"), 38);
	assert_int_equal(number(told, "guest_counter"), -77);
	assert_int_equal(number(told, "disruptions"), 3);
	assert_int_equal(number(told, "published"), 7);
	assert_string_equal(json_text(json_member(told, "leap")), "inserting");
	assert_string_equal(json_text(json_member(told, "smear")),
			    "noon-linear");
	json_free(all);
	vmclock = (struct vmclock){0};
}

static void who_asks_is_told_the_latest_operations(void **state)
{
	struct machine *m = *state;
	struct json_t *told = status(m, false);
	const struct json_t *history = json_member(told, "history");

	assert_string_equal(json_text(json_member(told, "state")), "running");
	assert_string_equal(json_text(json_member(told, "on_pause")), "frozen");
	assert_string_equal(json_text(json_member(told, "on_restore")),
			    "continuous");
	assert_string_equal(json_text(json_member(told, "mode")), "offset");
	assert_int_equal(json_array_len(history), 1);
	assert_string_equal(
		json_text(json_member(json_array_at(history, 0), "event")),
		"booted");
	assert_int_equal(number(told, "host_counter") - number(told, "offset"),
			 number(told, "guest_counter"));
	assert_true(number(told, "host_monotonic_raw_ns") > 0);
	json_free(told);

	for (int i = 0; i < 10; i++) {
		stop(m);
		start(m, (struct clock_request){.policy = CLOCK_CONTINUOUS});
	}
	stop(m);
	told = status(m, true);
	history = json_member(told, "history");
	assert_string_equal(json_text(json_member(told, "state")), "stopped");
	assert_int_equal(number(told, "guest_counter"), m->clock.guest_stopped);
	assert_int_equal(json_array_len(history), CLOCK_HISTORY_MAX);
	assert_string_equal(
		json_text(json_member(json_array_at(history, 15), "event")),
		"paused");
	assert_int_equal(number(json_array_at(history, 15), "guest_counter"),
			 m->clock.guest_stopped);
	assert_string_equal(
		json_text(json_member(json_array_at(history, 14), "policy")),
		"continuous");
	for (int i = 1; i < CLOCK_HISTORY_MAX; i++)
		assert_true(number(json_array_at(history, (unsigned)i),
				   "host_counter") >
			    number(json_array_at(history, (unsigned)i - 1),
				   "host_counter"));
	json_free(told);
}

/* After a reboot of the host its counter is behind the guest's. */
static void an_offset_may_be_negative(void **state)
{
	struct machine *m = *state;
	struct json_t *told;

	kvm_fake.counter += 1ull << 40;
	stop(m);
	kvm_fake.counter = 1000;
	start(m, (struct clock_request){.policy = CLOCK_FROZEN});
	told = status(m, false);
	assert_int_equal(m->clock.frozen_ticks, 0); /* nobody knows */
	assert_true(number(told, "offset") < 0);
	assert_int_equal(number(told, "host_counter") - number(told, "offset"),
			 number(told, "guest_counter"));
	json_free(told);
}

/* Of a snapshot, taken up on the same boot of the host. */
static void a_restore_is_told_as_one(void **state)
{
	struct machine *m = *state;
	struct arch_clock_record record;
	struct json_t *told;
	const struct json_t *latest;

	stop(m);
	assert_ok(arch_clock_record(&m->clock, &record, &m->e), m->e);
	kvm_fake.counter += 5000000;
	m->clock.event_count = 0;
	assert_ok(arch_clock_restore(&m->clock, &record, &m->e), m->e);
	start(m, (struct clock_request){.policy = CLOCK_FROZEN});
	told = status(m, false);
	latest = json_array_at(json_member(told, "history"), 0);
	assert_string_equal(json_text(json_member(latest, "event")),
			    "restored");
	assert_string_equal(json_text(json_member(latest, "policy")), "frozen");
	assert_int_equal(number(latest, "guest_counter"), record.guest_stopped);
	assert_int_equal(number(latest, "jump_ns"), 0);
	assert_in_range(number(latest, "paused_ns"), 80000000, 90000000);
	json_free(told);
}

/* On another, nobody knows better than its clocks. */
static void what_clocks_may_be_wrong_by_is_told(void **state)
{
	struct machine *m = *state;
	struct arch_clock_record record;
	const struct clock_request request = {
		.policy = CLOCK_CONTINUOUS,
		.unsynchronized = true,
	};

	stop(m);
	assert_ok(arch_clock_record(&m->clock, &record, &m->e), m->e);
	record.boot_id[0] = '\0';
	record.boot.ns = 0;
	assert_ok(arch_clock_restore(&m->clock, &record, &m->e), m->e);
	m->clock.elapsed_error_ns = 1000000;
	start(m, request);
	assert_int_equal(event(m, 2)->kind, CLOCK_RESTORED);
	assert_int_equal(event(m, 2)->error_ticks, kvm_fake.hz / 1000);
}

#define CLOCK_TEST(name) \
	cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLOCK_TEST(each_operation_is_kept_as_it_was),
		CLOCK_TEST(a_refused_resume_leaves_no_trace),
		CLOCK_TEST(bounds_that_are_not_known_are_left_out),
		CLOCK_TEST(so_is_what_the_guest_was_told),
		CLOCK_TEST(who_asks_is_told_the_latest_operations),
		CLOCK_TEST(an_offset_may_be_negative),
		CLOCK_TEST(a_restore_is_told_as_one),
		CLOCK_TEST(what_clocks_may_be_wrong_by_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
