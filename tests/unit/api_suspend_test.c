/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that suspends itself, as clients of the API see it. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/util.h"
#include "tests/fake/kvm_fake.h"
#include "tests/unit/api_world.h"
#include "tests/unit/testing.h"

#define X1                                                     \
	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | \
	 KVM_REG_ARM_CORE_REG(regs.regs[1]))

#define PATCH HTTP_METHOD_PATCH
#define PUT   HTTP_METHOD_PUT

static const char pause_body[] = "{\"state\":\"Paused\"}";
static const char resume_body[] = "{\"state\":\"Resumed\"}";

/* A client that listens to events; nothing else was told. */
static int listens(struct world *w)
{
	int fd = api_world_client(w);
	static const char get[] = "GET /events HTTP/1.1\r\n\r\n";

	assert_int_equal(write(fd, get, sizeof(get) - 1), sizeof(get) - 1);
	api_world_expect(w, fd, "\"state\"");
	return fd;
}

/* Its single vCPU asks; the client that has heard of it. */
static int fall_asleep(struct world *w)
{
	int fd;

	kvm_fake_step(0, (struct fake_step){.kind = FAKE_STUCK,
					    .exit = KVM_EXITED_SUSPEND});
	api_world_do(w, PUT, "/machine-config",
		     "{\"vcpu_count\":1,\"mem_size_mib\":64}");
	api_world_do(w, PUT, "/boot-source", w->body);
	api_world_do(w, PUT, "/actions", "{\"action_type\":\"InstanceStart\"}");
	kvm_fake_await_stuck();
	kvm_fake_put_reg(0, X1, 0x80200000);
	fd = listens(w);
	kvm_fake_let_go();
	api_world_expect(w, fd, "\"event\":\"suspended\"");
	api_world_expect_state(w, "Suspended");
	return fd;
}

static void types(struct world *w)
{
	vm_serial_receive(w->instance.vm, (const uint8_t *)"x", 1);
}

static void a_resume_wakes_it(void **state)
{
	struct world *w = *state;
	int fd = fall_asleep(w);
	char text[4000];

	assert_int_equal(api_world_call(w, HTTP_METHOD_GET, "/clock", NULL,
					text, sizeof(text)),
			 200);
	assert_contains(text, "{\"state\":\"stopped\"");
	api_world_do(w, PATCH, "/vm", resume_body);
	api_world_expect_state(w, "Running");
	api_world_expect(w, fd, "\"event\":\"resumed\"");
	close(fd);
}

static void what_comes_for_it_wakes_it(void **state)
{
	struct world *w = *state;
	int fd = fall_asleep(w);

	types(w);
	api_world_expect_state(w, "Running");
	api_world_expect(w, fd, "\"event\":\"resumed\"");
	close(fd);
}

static void paused_only_a_resume_wakes_it(void **state)
{
	struct world *w = *state;
	int fd = fall_asleep(w);

	api_world_do(w, PATCH, "/vm", pause_body);
	api_world_expect_state(w, "Paused");
	api_world_expect(w, fd, "\"event\":\"paused\"");
	types(w);
	api_world_expect_state(w, "Paused");
	api_world_do(w, PATCH, "/vm", resume_body);
	api_world_expect_state(w, "Running");
	assert_int_equal(kvm_fake.vcpu[0].mp_state, KVM_MP_STATE_RUNNABLE);
	close(fd);
}

/* A wake-up would cancel it. */
static void a_snapshot_is_finished_first(void **state)
{
	static char data[1 << 16];
	struct world *w = *state;
	char body[300], fifo_path[80], state_path[80];
	uint64_t end = api_world_now_ms() + 20000;
	AUTO_CLOSE int fifo = -1;
	int fd = fall_asleep(w), saves = api_world_client(w);

	snprintf(fifo_path, sizeof(fifo_path), "%s/fifo", w->folder);
	snprintf(state_path, sizeof(state_path), "%s/state", w->folder);
	assert_int_equal(mkfifo(fifo_path, 0600), 0);
	fifo = open(fifo_path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	snprintf(body, sizeof(body),
		 "{\"snapshot_path\":\"%s\",\"mem_file_path\":\"%s\"}",
		 state_path, fifo_path);
	api_world_request(w, saves, "PUT", "/snapshot/create", body);
	assert_string_equal(api_world_heard(saves), "");
	types(w);
	api_world_expect_state(w, "Suspended");
	while (w->instance.job) {
		assert_true(api_world_now_ms() < end);
		api_world_run(w);
		testing_read_all(fifo, data, sizeof(data));
	}
	assert_contains(api_world_heard(saves), "204");
	api_world_expect_state(w, "Running");
	unlink(fifo_path);
	unlink(state_path);
	close(fd);
	close(saves);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		API_TEST(a_resume_wakes_it),
		API_TEST(what_comes_for_it_wakes_it),
		API_TEST(paused_only_a_resume_wakes_it),
		API_TEST(a_snapshot_is_finished_first),
	};

	return RUN_TESTS("api_suspend", tests);
}
