/* SPDX-License-Identifier: Apache-2.0 */
/* `stasis seccomp compile` and the files that it writes. */
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>

#include "core/base/util.h"
#include "core/io/log.h"
#include "core/seccomp/filter_file.h"
#include "core/seccomp/placeholder.h"
#include "tests/unit/seccomp_bpf.h"
#include "tests/unit/testing.h"
#include "vmm/cli/cli.h"

enum { NR_READ = 63, NR_WRITE = 64, NR_SOCKET = 198, TRAP = SECCOMP_RET_TRAP };

static char output[64], complained[4096];

/* Run the command; its status, and what it says in `complained`. */
static int compile(const char *json, const char *option)
{
	int in = testing_file(json, strlen(json));
	int log = memfd_create("log", MFD_CLOEXEC);
	char input[64];
	const char *argv[] = {"compile",  "--input", input,
			      "--output", output,    option};
	int status;

	snprintf(input, sizeof(input), "/proc/self/fd/%d", in);
	log_configure(&(struct log_config){
		.style = LOG_PLAIN, .fd = log, .level = LOG_WARN});
	status = cli_seccomp(option ? 6 : 5, (char **)argv);
	log_configure(&(struct log_config){
		.style = LOG_PLAIN, .fd = STDERR_FILENO, .level = LOG_WARN});
	memset(complained, 0, sizeof(complained));
	assert_true(pread(log, complained, sizeof(complained) - 1, 0) >= 0);
	close(log);
	close(in);
	return status;
}

static int make_folder(void **state)
{
	(void)state;
	snprintf(output, sizeof(output), "/tmp/seccomp_file_test.%d", getpid());
	return 0;
}

static int remove_output(void **state)
{
	(void)state;
	unlink(output);
	return 0;
}

static uint32_t decide(const struct filter_file *file, enum seccomp_thread t,
		       int call, uint64_t a, uint64_t b)
{
	const struct seccomp_data data = {
		.nr = call, .arch = AUDIT_ARCH_AARCH64, .args = {a, b}};

	assert_true(file->len[t] > 0);
	return bpf_run(file->code[t], file->len[t], &data);
}

/* ---------------------------------------------------------------- compiling */

#define FILTER(rules)                                                          \
	"{\"default_action\":\"trap\",\"filter_action\":\"allow\",\"filter\":" \
	"[" rules "]}"
#define ARGS(condition) \
	FILTER("{\"syscall\":\"socket\",\"args\":[" condition "]}")
#define EQ(val) "{\"index\":0,\"type\":\"dword\",\"op\":\"eq\",\"val\":" val "}"

static void threads_are_named_as_firecrackers_or_ours(void **state)
{
	struct filter_file file;
	struct err e;

	(void)state;
	assert_int_equal(compile("{\"vmm\":" FILTER("{\"syscall\":\"read\"}") ",\"api\":" FILTER(
					 "{\"syscall\":\"write\","
					 "\"comment\":\"why\"}") ",\"vcpu\""
								 ":" ARGS(EQ(
									 "1") ",{\"index\":1,\"type\":"
									      "\"qword\",\"op\":{\"masked_eq\":4},\"val\":0}") ",\"pages\":" FILTER("") "}",
				 NULL),
			 EXIT_OK);
	/* It is compiled, but no microVM runs with that. */
	assert_contains(complained, "the filter of `main` forbids");
	assert_ok(filter_file_load(output, &file, &e), e);
	assert_int_equal(decide(&file, SECCOMP_MAIN, NR_READ, 0, 0),
			 SECCOMP_RET_ALLOW);
	assert_int_equal(decide(&file, SECCOMP_MAIN, NR_WRITE, 0, 0),
			 SECCOMP_RET_ALLOW);
	assert_int_equal(decide(&file, SECCOMP_VCPU, NR_WRITE, 0, 0), TRAP);
	assert_int_equal(decide(&file, SECCOMP_VCPU, NR_SOCKET, 1, 3),
			 SECCOMP_RET_ALLOW);
	assert_int_equal(decide(&file, SECCOMP_VCPU, NR_SOCKET, 1, 4), TRAP);
	assert_int_equal(decide(&file, SECCOMP_VCPU, NR_SOCKET, 2, 3), TRAP);
	assert_int_equal(decide(&file, SECCOMP_PAGES, NR_READ, 0, 0), TRAP);
	assert_int_equal(file.len[SECCOMP_SETUP], 0);
	assert_int_equal(file.len[SECCOMP_STARTER], 0);
	filter_file_fini(&file);
}

static void basic_filters_look_at_no_argument(void **state)
{
	struct filter_file file;
	struct err e;

	(void)state;
	assert_int_equal(compile("{\"vcpu\":" ARGS(EQ("1")) "}", "--basic"),
			 EXIT_OK);
	assert_ok(filter_file_load(output, &file, &e), e);
	assert_int_equal(decide(&file, SECCOMP_VCPU, NR_SOCKET, 2, 0),
			 SECCOMP_RET_ALLOW);
	filter_file_fini(&file);
}

static void actions_are_mapped(void **state)
{
	static const struct {
		const char *json;
		uint32_t action;
	} actions[] = {
		{"\"allow\"", SECCOMP_RET_ALLOW},
		{"\"log\"", SECCOMP_RET_LOG},
		{"\"trap\"", TRAP},
		/* A thread is not killed alone. */
		{"\"kill_thread\"", TRAP},
		{"\"kill_process\"", SECCOMP_RET_KILL_PROCESS},
		{"{\"errno\": 38}", SECCOMP_RET_ERRNO | 38},
		{"{\"trace\": 65535}", SECCOMP_RET_TRACE | 65535},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(actions); i++) {
		struct filter_file file;
		char json[512];
		struct err e;

		snprintf(json, sizeof(json),
			 "{\"vcpu\":{\"default_action\":%s,\"filter_action\":"
			 "\"allow\",\"filter\":[{\"syscall\":\"read\"},"
			 "{\"syscall\":\"write\",\"action\":%s}]}}",
			 actions[i].json, actions[i].json);
		assert_int_equal(compile(json, NULL), EXIT_OK);
		assert_ok(filter_file_load(output, &file, &e), e);
		assert_int_equal(decide(&file, SECCOMP_VCPU, NR_READ, 0, 0),
				 SECCOMP_RET_ALLOW);
		assert_int_equal(decide(&file, SECCOMP_VCPU, NR_WRITE, 0, 0),
				 actions[i].action);
		assert_int_equal(decide(&file, SECCOMP_VCPU, NR_SOCKET, 0, 0),
				 actions[i].action);
		filter_file_fini(&file);
	}
}

static void values_have_the_bits_that_the_kernel_sees(void **state)
{
	static const struct {
		const char *json;
		uint64_t argument;
	} values[] = {
		{EQ("-100"), 0xffffff9c},
		{EQ("4294967295"), 0xdead00000000 | UINT32_MAX},
		{EQ("\"own_pid\""), SECCOMP_OWN_PID},
		{"{\"index\":0,\"type\":\"qword\",\"op\":\"eq\",\"val\":-1}",
		 UINT64_MAX},
		{"{\"index\":0,\"type\":\"qword\",\"op\":\"eq\",\"val\":"
		 "9223372036854775807}",
		 INT64_MAX},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
		struct filter_file file;
		char json[512];
		struct err e;

		snprintf(json, sizeof(json),
			 "{\"vcpu\":{\"default_action\":\"trap\","
			 "\"filter_action\":\"allow\",\"filter\":[{\"syscall\":"
			 "\"socket\",\"args\":[%s]}]}}",
			 values[i].json);
		assert_int_equal(compile(json, NULL), EXIT_OK);
		assert_ok(filter_file_load(output, &file, &e), e);
		assert_int_equal(decide(&file, SECCOMP_VCPU, NR_SOCKET,
					values[i].argument, 0),
				 SECCOMP_RET_ALLOW);
		assert_int_equal(decide(&file, SECCOMP_VCPU, NR_SOCKET,
					values[i].argument ^ 1, 0),
				 TRAP);
		filter_file_fini(&file);
	}
}

static const struct {
	const char *json, *words;
} wrong_inputs[] = {
	{"{", "'}'"},
	{"[]", "expected an object"},
	{"{}", "a filter for no thread"},
	{"{\"vmm\":" FILTER(
		 "{\"syscall\":\"read\"}") ",\"api\":{\"default_"
					   "action\":\"log\",\"filter_"
					   "action\":"
					   "\"allow\",\"filter\":[]}}",
	 "`main`: `vmm` and `api` are one thread"},
	{"{\"other\":" FILTER("") "}", "unknown field `other`"},
	{"{\"vcpu\":{}}", "`vcpu`: missing field `default_action`"},
	{"{\"vcpu\":" FILTER("") ",\"vcpu\":1}", "duplicate"},
	{"{\"vcpu\":{\"default_action\":\"trap\",\"filter_action\":"
	 "\"permit\",\"filter\":[]}}",
	 "field `filter_action`: unknown variant `permit`"},
	{"{\"vcpu\":{\"default_action\":{\"errno\":4096},"
	 "\"filter_action\":\"allow\",\"filter\":[]}}",
	 "field `errno` is 0 to 4095"},
	{"{\"vcpu\":{\"default_action\":{},\"filter_action\":"
	 "\"allow\",\"filter\":[]}}",
	 "`errno` and `trace`"},
	{"{\"vcpu\":{\"default_action\":\"trap\",\"filter_action\":"
	 "\"allow\",\"filter\":{}}}",
	 "not an array of rules"},
	{"{\"vcpu\":" FILTER("{\"syscall\":\"read\"},{}") "}",
	 "`vcpu`: rule 2: missing field `syscall`"},
	{"{\"vcpu\":" FILTER("{\"syscall\":\"open\"}") "}",
	 "rule 1: \"open\" is not a system call of arm64"},
	{"{\"vcpu\":" FILTER("{\"syscall\":\"-\"}") "}",
	 "\"-\" is not a system call"},
	{"{\"vcpu\":" FILTER("{\"syscall\":7}") "}", "is not a system call"},
	{"{\"vcpu\":" FILTER("{\"syscall\":\"read\",\"arg\":[]}") "}",
	 "unknown field `arg`"},
	{"{\"vcpu\":" ARGS("1") "}",
	 "rule 1: socket: condition 1: invalid type: integer"},
	{"{\"vcpu\":" ARGS("{\"index\":6,\"type\":\"dword\",\"op\":"
			   "\"eq\",\"val\":1}") "}",
	 "field `index` is 0 to 5"},
	{"{\"vcpu\":" ARGS("{\"index\":0,\"type\":\"word\",\"op\":"
			   "\"eq\",\"val\":1}") "}",
	 "field `type`: unknown variant `word`"},
	{"{\"vcpu\":" ARGS("{\"index\":0,\"type\":\"dword\",\"op\":"
			   "\"is\",\"val\":1}") "}",
	 "field `op`: unknown variant `is`"},
	{"{\"vcpu\":" ARGS("{\"index\":0,\"type\":\"dword\",\"op\":"
			   "{\"masked_eq\":4294967296},\"val\":0}") "}",
	 "field `op` has more than 32 bits"},
	{"{\"vcpu\":" ARGS(EQ("4294967296")) "}",
	 "field `val` is not a number of 32 bits"},
	{"{\"vcpu\":" ARGS(EQ("-2147483649")) "}",
	 "field `val` is not a number of 32 bits"},
	{"{\"vcpu\":" ARGS(EQ("1.5")) "}",
	 "field `val` is not a number of 32 bits"},
	{"{\"vcpu\":" ARGS(EQ("\"1\"")) "}",
	 "field `val` is not a number of 32 bits"},
	{"{\"vcpu\":" ARGS(EQ("1590477022")) "}",
	 "field `val` is not a number of 32 bits"},
	{"{\"vcpu\":" ARGS(EQ("1") "," EQ("1") "," EQ("1") "," EQ("1") "," EQ(
		 "1") "," EQ("1") "," EQ("1")) "}",
	 "an array of at most 6"},
};

static void wrong_input_is_refused_in_words(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(wrong_inputs); i++) {
		int status = compile(wrong_inputs[i].json, NULL);

		if (status != EXIT_FAILED)
			fail_msg("%s: status %d", wrong_inputs[i].json, status);
		assert_contains(complained, wrong_inputs[i].words);
		/* In one line, without a file. */
		assert_ptr_equal(strchr(complained, '\n') + 1,
				 complained + strlen(complained));
		assert_int_equal(access(output, F_OK), -1);
	}
}

static void options_are_checked(void **state)
{
	static const struct {
		const char *option, *words;
	} refusals[] = {
		{"--arch=x86_64", "filters are for aarch64"},
		{"--bsic", "did you mean --basic?"},
	};
	const char *none[] = {"compile"};

	(void)state;
	assert_int_equal(cli_seccomp(1, (char **)none), EXIT_BAD_ARGUMENTS);
	for (unsigned i = 0; i < ARRAY_SIZE(refusals); i++) {
		assert_int_equal(compile("{}", refusals[i].option),
				 EXIT_BAD_ARGUMENTS);
		assert_contains(complained, refusals[i].words);
	}
}

/* ------------------------------------------------------------------ reading */

static char *read_output(size_t *len)
{
	int fd = open(output, O_RDONLY | O_CLOEXEC);
	char *data = calloc(1, 65536);
	ssize_t n;

	assert_true(fd >= 0 && data);
	n = read(fd, data, 65536);
	assert_true(n > 0);
	close(fd);
	*len = (size_t)n;
	return data;
}

/* Load @len bytes of @data, with the checksum made right again. */
static int load(char *data, size_t len, struct err *e)
{
	uint32_t crc = (uint32_t)crc32(0, (Bytef *)data, (uInt)(len - 4));
	struct filter_file file;
	int fd, r;

	memcpy(data + len - 4, &crc, 4);
	fd = testing_file(data, len);
	r = filter_file_load(testing_file_path(fd), &file, e);
	if (!r)
		filter_file_fini(&file);
	close(fd);
	return r;
}

static void damaged_files_are_refused(void **state)
{
	size_t len;
	char *data;
	struct err e;

	(void)state;
	assert_int_equal(compile("{\"vcpu\":" ARGS(EQ("1")) "}", NULL),
			 EXIT_OK);
	data = read_output(&len);
	/* Every byte matters, and every length. */
	for (size_t i = 0; i < len; i++) {
		int fd = open(output, O_WRONLY | O_TRUNC | O_CLOEXEC);
		struct filter_file file;

		data[i] ^= 0x10;
		assert_int_equal(write(fd, data, len), len);
		assert_int_equal(filter_file_load(output, &file, &e), -1);
		data[i] ^= 0x10;
		assert_int_equal(pwrite(fd, data, len, 0), len);
		assert_int_equal(ftruncate(fd, (off_t)i), 0);
		assert_int_equal(filter_file_load(output, &file, &e), -1);
		close(fd);
	}
	free(data);
}

static void what_is_in_a_file_is_checked(void **state)
{
	/* Header: magic, version 8, arch 12; program: thread 16, length 20. */
	static const struct {
		unsigned offset;
		uint32_t value;
		const char *words;
	} refusals[] = {
		{8, 2, "it is of version 2 of the format"},
		{12, AUDIT_ARCH_X86_64,
		 "for architecture 0xc000003e, expected 1 and 0xc00000b7"},
		{16, SECCOMP_THREADS, "or one for thread 7"},
		{20, 0, "the filter of `vcpu` cannot be used: it has 0"},
		{20, 20, "it is damaged"},
		{20, 4097, "it is damaged"},
		{20, 0x20000000, "it is damaged"},
		{20, UINT32_MAX, "it is damaged"},
		{24, BPF_LD | BPF_B | BPF_ABS, "instruction 0 (0x30 0 0 0x10)"},
	};
	size_t len;
	char *data, *copy;
	struct err e;

	(void)state;
	assert_int_equal(compile("{\"vcpu\":" ARGS(EQ("1")) "}", NULL),
			 EXIT_OK);
	data = read_output(&len);
	copy = malloc(2 * len);
	assert_non_null(copy);
	memcpy(copy, data, len);
	assert_ok(load(copy, len, &e), e);
	for (unsigned i = 0; i < ARRAY_SIZE(refusals); i++) {
		memcpy(copy, data, len);
		memcpy(copy + refusals[i].offset, &refusals[i].value, 4);
		assert_err(load(copy, len, &e), e, refusals[i].words);
	}
	/* The same program once more. */
	memcpy(copy, data, len - 4);
	memcpy(copy + len - 4, data + 16, len - 16);
	assert_err(load(copy, 2 * len - 20, &e), e, "a second program");
	memcpy(copy, data, len - 4);
	memset(copy + len - 4, 0, 8);
	assert_err(load(copy, len + 4, &e), e, "it is damaged");
	free(copy);
	free(data);
}

static void other_files_are_named_for_what_they_are(void **state)
{
	struct filter_file file;
	struct err e;
	int fd = testing_file(" {\"vmm\": {}}", 12);

	(void)state;
	assert_err(filter_file_load(testing_file_path(fd), &file, &e), e,
		   "it is not compiled; stasis seccomp compile --input "
		   "/proc/self/fd/");
	close(fd);
	fd = testing_file("\x7f"
			  "ELF and more of that",
			  20);
	assert_err(filter_file_load(testing_file_path(fd), &file, &e), e,
		   "not a file that stasis seccomp compile has written");
	close(fd);
	fd = testing_file("", 0);
	assert_err(filter_file_load(testing_file_path(fd), &file, &e), e,
		   "not a file that stasis seccomp compile has written");
	close(fd);
	assert_err(filter_file_load("/nowhere", &file, &e), e, "/nowhere");
}

/* It could be /dev/full. */
static void what_was_there_stays_if_there_is_no_room(void **state)
{
	static const struct sock_filter code[] = {
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct filter_file file = {.code = {code}, .len = {1}};
	char there[] = "/tmp/stasis-filters-XXXXXX", made[sizeof(there) + 1];
	AUTO_CLOSE int fd = mkstemp(there);
	struct rlimit old, none;
	struct err e;

	(void)state;
	assert_true(fd >= 0);
	snprintf(made, sizeof(made), "%s2", there);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	none = (struct rlimit){0, old.rlim_max};
	setrlimit(RLIMIT_FSIZE, &none);
	assert_int_equal(filter_file_save(there, &file, &e), -1);
	assert_int_equal(filter_file_save(made, &file, &e), -1);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(unlink(there), 0);
	assert_int_equal(unlink(made), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_are_named_as_firecrackers_or_ours),
		cmocka_unit_test(basic_filters_look_at_no_argument),
		cmocka_unit_test(actions_are_mapped),
		cmocka_unit_test(values_have_the_bits_that_the_kernel_sees),
		cmocka_unit_test_setup(wrong_input_is_refused_in_words,
				       remove_output),
		cmocka_unit_test(options_are_checked),
		cmocka_unit_test(what_was_there_stays_if_there_is_no_room),
		cmocka_unit_test(damaged_files_are_refused),
		cmocka_unit_test(what_is_in_a_file_is_checked),
		cmocka_unit_test(other_files_are_named_for_what_they_are),
	};

	return cmocka_run_group_tests_name("seccomp_file", tests, make_folder,
					   remove_output);
}
