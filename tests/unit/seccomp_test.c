/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiled filters (core/seccomp): what each decides, as the kernel would.
 * System calls have arm64's numbers.
 */
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "core/base/util.h"
#include "core/seccomp/placeholder.h"
#include "core/seccomp/programs.h"
#include "core/seccomp/seccomp.h"
#include "tests/unit/seccomp_bpf.h"
#include "tests/unit/testing.h"

enum {
	NR_IOCTL = 29,
	NR_OPENAT = 56,
	NR_WRITE = 64,
	NR_FUTEX = 98,
	NR_TGKILL = 131,
	NR_MREMAP = 216,
	NR_CLONE = 220,
	NR_EXECVE = 221,
	NR_MMAP = 222,
	NR_MPROTECT = 226,
	NR_SOCKET = 198,
	NR_MINCORE = 232,
	NR_CLONE3 = 435,
	NR_END = 512,
	THREAD_FLAGS = 0x3d0f00, /* of glibc's pthread_create() */
	KICK = 34,
};

static const unsigned allowed = SECCOMP_RET_ALLOW, trapped = SECCOMP_RET_TRAP;

static unsigned run(enum seccomp_thread thread, const struct seccomp_data *data)
{
	struct sock_filter code[SECCOMP_INSTRUCTIONS_MAX];

	return bpf_run(code, seccomp_program(thread, code), data);
}

static unsigned decide(enum seccomp_thread thread, int number, uint64_t a,
		       uint64_t b, uint64_t c)
{
	return run(thread, &(struct seccomp_data){.nr = number,
						  .arch = AUDIT_ARCH_AARCH64,
						  .args = {a, b, c}});
}

static void programs_fit_where_they_are_loaded(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SECCOMP_THREADS; i++) {
		unsigned n = seccomp_first[i + 1] - seccomp_first[i];

		assert_in_range(n, 10, SECCOMP_INSTRUCTIONS_MAX);
	}
}

static void no_thread_runs_programs_or_maps_code(void **state)
{
	(void)state;
	for (unsigned t = 0; t < SECCOMP_THREADS; t++) {
		assert_int_equal(decide(t, NR_EXECVE, 0, 0, 0), trapped);
		assert_int_not_equal(
			decide(t, NR_MMAP, 0, 4096, PROT_READ | PROT_EXEC),
			allowed);
		assert_int_not_equal(decide(t, NR_MPROTECT, 0, 4096, PROT_EXEC),
				     allowed);
		/* fork() */
		assert_int_not_equal(decide(t, NR_CLONE, 17, 0, 0), allowed);
	}
}

static void every_thread_may_wait_and_write(void **state)
{
	(void)state;
	for (unsigned t = 0; t < SECCOMP_THREADS; t++) {
		assert_int_equal(decide(t, NR_FUTEX, 0, 0, 0), allowed);
		assert_int_equal(decide(t, NR_WRITE, 0, 0, 0), allowed);
	}
}

/* 32-bit programs have other numbers for the same calls. */
static void another_architecture_is_killed(void **state)
{
	const struct seccomp_data data = {.nr = NR_WRITE,
					  .arch = AUDIT_ARCH_ARM};

	(void)state;
	for (unsigned t = 0; t < SECCOMP_THREADS; t++)
		assert_int_not_equal(run(t, &data), allowed);
}

static void the_kernel_sees_32_bits_and_so_do_we(void **state)
{
	const uint64_t above = 0xabcdull << 32;

	(void)state;
	assert_int_equal(decide(SECCOMP_VCPU, NR_IOCTL, 7, KVM_RUN, 0),
			 allowed);
	assert_int_equal(decide(SECCOMP_VCPU, NR_IOCTL, 7, above | KVM_RUN, 0),
			 allowed);
	assert_int_equal(decide(SECCOMP_VCPU, NR_IOCTL, 7, KVM_CREATE_VM, 0),
			 trapped);
	assert_int_equal(
		decide(SECCOMP_MAIN, NR_IOCTL, 7, KVM_SET_DEVICE_ATTR, 0),
		trapped);
	assert_int_equal(decide(SECCOMP_MAIN, NR_IOCTL, 7, KVM_RUN, 0),
			 trapped);
	assert_int_equal(decide(SECCOMP_MAIN, NR_SOCKET, AF_UNIX, 0, 0),
			 allowed);
	assert_int_equal(decide(SECCOMP_MAIN, NR_SOCKET, AF_INET, 0, 0),
			 trapped);
	assert_int_equal(decide(SECCOMP_MAIN, NR_SOCKET, above | AF_INET, 0, 0),
			 trapped);
}

static void only_this_process_is_signalled(void **state)
{
	(void)state;
	assert_int_equal(
		decide(SECCOMP_VCPU, NR_TGKILL, SECCOMP_OWN_PID, 5, KICK),
		allowed);
	assert_int_equal(decide(SECCOMP_VCPU, NR_TGKILL, 1, 1, KICK), trapped);
	assert_int_equal(decide(SECCOMP_VCPU, NR_TGKILL, SECCOMP_OWN_PID, 5, 9),
			 trapped);
	assert_int_equal(decide(SECCOMP_MAIN, NR_TGKILL, 1, 1, 9), trapped);
}

static void files_are_opened_but_not_made(void **state)
{
	(void)state;
	assert_int_equal(
		decide(SECCOMP_MAIN, NR_OPENAT, 0, 0, O_RDWR | O_CLOEXEC),
		allowed);
	assert_int_equal(
		decide(SECCOMP_MAIN, NR_OPENAT, 0, 0, O_RDWR | O_CREAT),
		trapped);
	assert_int_equal(
		decide(SECCOMP_MAIN, NR_OPENAT, 0, 0, O_WRONLY | O_TRUNC),
		trapped);
	assert_int_equal(decide(SECCOMP_VCPU, NR_OPENAT, 0, 0, O_RDONLY),
			 trapped);
}

static void threads_are_started_by_the_starter(void **state)
{
	const unsigned no = SECCOMP_RET_ERRNO | 38; /* ENOSYS */

	(void)state;
	assert_int_equal(decide(SECCOMP_STARTER, NR_CLONE, THREAD_FLAGS, 0, 0),
			 allowed);
	assert_int_equal(decide(SECCOMP_MAIN, NR_CLONE, THREAD_FLAGS, 0, 0),
			 trapped);
	assert_int_equal(decide(SECCOMP_STARTER, NR_CLONE3, 0, 0, 0), no);
	assert_int_equal(decide(SECCOMP_MAIN, NR_MREMAP, 0, 0, 0),
			 SECCOMP_RET_ERRNO | 12 /* ENOMEM */);
}

/* What it forbids, SECCOMP_MAIN allows; nothing else. */
static void without_snapshots_less_is_allowed(void **state)
{
	static const struct {
		int call;
		unsigned request;
		bool forbidden;
	} calls[] = {
		{NR_IOCTL, KVM_GET_REG_LIST, true},
		{NR_IOCTL, KVM_GET_DIRTY_LOG, true},
		{NR_IOCTL, KVM_GET_DEVICE_ATTR, true},
		{NR_IOCTL, KVM_SET_ONE_REG, false},
		{NR_IOCTL, KVM_GET_ONE_REG, false},
		{NR_MINCORE, 0, true},
		{NR_WRITE, 0, false},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(calls); i++) {
		int call = calls[i].call;
		unsigned request = calls[i].request;

		assert_int_equal(decide(SECCOMP_MAIN, call, 7, request, 0),
				 allowed);
		assert_int_equal(
			decide(SECCOMP_NO_SNAPSHOTS, call, 7, request, 0),
			calls[i].forbidden ? trapped : allowed);
	}
}

/* A thread has the filters of the one that started it, too. */
static void who_starts_a_thread_allows_what_it_does(void **state)
{
	static const struct {
		enum seccomp_thread by, thread;
	} starts[] = {
		{SECCOMP_SETUP, SECCOMP_MAIN},
		{SECCOMP_SETUP, SECCOMP_VCPU},
		{SECCOMP_SETUP, SECCOMP_STARTER},
		{SECCOMP_STARTER, SECCOMP_SNAPSHOT},
		{SECCOMP_STARTER, SECCOMP_WORKING_SET},
		{SECCOMP_STARTER, SECCOMP_PAGES},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(starts); i++) {
		for (int n = 0; n < NR_END; n++) {
			if (decide(starts[i].thread, n, 0, 0, 0) == allowed &&
			    decide(starts[i].by, n, 0, 0, 0) != allowed)
				fail_msg("%d starts %d without call %d",
					 starts[i].by, starts[i].thread, n);
		}
	}
}

static unsigned lines_with(const char *text, const char *words)
{
	unsigned n = 0;

	for (; (text = strstr(text, words)); text++)
		n++;
	return n;
}

static void the_text_has_names_and_lists(void **state)
{
	const char *text = seccomp_text();
	const char *lists = strstr(text, "\n\n");

	(void)state;
	assert_int_equal(strncmp(text, "io_setup\n", 9), 0);
	assert_non_null(lists);
	assert_true(lines_with(lists, "\nvcpu\tioctl\t") > 1);
	assert_int_equal(lines_with(lists, "\nvcpu\tioctl\t!,1&ffffffff="
					   "ae80\targument 1 is KVM_RUN\t"),
			 1);
	assert_true(strstr(text, "\nexecve\n") < lists);
	assert_int_equal(strlen(text), seccomp_text_size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_fit_where_they_are_loaded),
		cmocka_unit_test(no_thread_runs_programs_or_maps_code),
		cmocka_unit_test(every_thread_may_wait_and_write),
		cmocka_unit_test(another_architecture_is_killed),
		cmocka_unit_test(the_kernel_sees_32_bits_and_so_do_we),
		cmocka_unit_test(only_this_process_is_signalled),
		cmocka_unit_test(files_are_opened_but_not_made),
		cmocka_unit_test(threads_are_started_by_the_starter),
		cmocka_unit_test(without_snapshots_less_is_allowed),
		cmocka_unit_test(who_starts_a_thread_allows_what_it_does),
		cmocka_unit_test(the_text_has_names_and_lists),
	};

	return RUN_TESTS("seccomp", tests);
}
