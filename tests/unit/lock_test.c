/* SPDX-License-Identifier: Apache-2.0 */
/* The order of locks is checked, in the builds in which tests run. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/thread/lock.h"
#include "tests/unit/testing.h"

static struct late_lock late = LOCK_INITIALIZER;
static struct device_lock device = LOCK_INITIALIZER,
			  another_device = LOCK_INITIALIZER;
static struct prefault_lock prefault = LOCK_INITIALIZER;
static struct vcpu_lock vcpu = LOCK_INITIALIZER;
static struct leftover_lock leftover = LOCK_INITIALIZER;
static struct log_lock log_of = LOCK_INITIALIZER;

static void documented_order(void)
{
	late_lock_take(&late);
	device_lock_take(&device);
	prefault_lock_take(&prefault);
	log_lock_take(&log_of);
	log_lock_release(&log_of);
	prefault_lock_release(&prefault);
	device_lock_release(&device);
	device_lock_take(&another_device);
	device_lock_release(&another_device);
	late_lock_release(&late);
	vcpu_lock_take(&vcpu);
	leftover_lock_take(&leftover);
	leftover_lock_release(&leftover);
	vcpu_lock_release(&vcpu);
}

static void device_under_prefault(void)
{
	prefault_lock_take(&prefault);
	device_lock_take(&device);
}

static void late_under_device(void)
{
	device_lock_take(&device);
	late_lock_take(&late);
}

static void two_devices(void)
{
	device_lock_take(&device);
	device_lock_take(&another_device);
}

static void vcpu_under_device(void)
{
	device_lock_take(&device);
	vcpu_lock_take(&vcpu);
}

static void device_under_vcpu(void)
{
	vcpu_lock_take(&vcpu);
	device_lock_take(&device);
}

static void two_of_the_innermost(void)
{
	leftover_lock_take(&leftover);
	log_lock_take(&log_of);
}

static void release_without_take(void)
{
	device_lock_release(&device);
}

/* Does @body end its process by a failed assertion? */
static bool is_refused(void (*body)(void))
{
	const struct rlimit no_core = {0, 0};
	int status;
	pid_t child = fork();

	if (!child) {
		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGABRT, SIG_DFL);
		close(STDERR_FILENO);
		/* Those that wait for each other would wait for ever. */
		alarm(10);
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status))
		assert_int_equal(WTERMSIG(status), SIGABRT);
	else
		assert_int_equal(WEXITSTATUS(status), 0);
	return WIFSIGNALED(status);
}

static void documented_order_is_accepted(void **state)
{
	(void)state;
	assert_false(is_refused(documented_order));
}

static void any_other_order_is_refused(void **state)
{
	static void (*const wrong[])(void) = {
		device_under_prefault, late_under_device, two_devices,
		vcpu_under_device,     device_under_vcpu, two_of_the_innermost,
		release_without_take,
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		if (!is_refused(wrong[i]))
			fail_msg("order %u is accepted", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documented_order_is_accepted),
		cmocka_unit_test(any_other_order_is_refused),
	};

	return RUN_TESTS("lock", tests);
}
