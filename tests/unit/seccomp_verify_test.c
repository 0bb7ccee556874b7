/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which programs are accepted, what is known about them, and that the built-in
 * lists, as text, say what the built-in programs do.
 */
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>

#include "core/base/util.h"
#include "core/seccomp/entry.h"
#include "core/seccomp/filter.h"
#include "core/seccomp/filter_file.h"
#include "core/seccomp/programs.h"
#include "tests/unit/seccomp_bpf.h"
#include "tests/unit/testing.h"

enum { CALLS = 470, RULES_MAX = 400, ACTION_TRAP = SECCOMP_RET_TRAP };

static struct sock_filter ours[BPF_MAXINSNS];
static int our_len;

static void generate(const struct filter_rule *rules, unsigned count,
		     uint32_t otherwise)
{
	struct err e;

	our_len = filter_generate(rules, count, otherwise, ours, &e);
	if (our_len < 0)
		fail_msg("%s", e.text);
	assert_ok(filter_verify(ours, (unsigned)our_len, &e), e);
}

/* ------------------------------------------------------ the built-in lists */

static unsigned rules_of(unsigned thread, struct filter_rule *rules)
{
	struct seccomp_entry entry;
	const char *text = NULL;
	unsigned count = 0;
	bool needed;

	while ((text = entry_read(text, &entry))) {
		const char *key = entry.field[ENTRY_THREAD];

		if (strcmp(key, seccomp_thread_keys[thread]) != 0 &&
		    (thread != SECCOMP_SETUP ||
		     (strcmp(key, "main") != 0 && strcmp(key, "vcpu") != 0 &&
		      strcmp(key, "starter") != 0)))
			continue;
		assert_in_range(count, 0, RULES_MAX - 1);
		entry_decode(&entry, &rules[count], &needed);
		assert_true(rules[count].call >= 0);
		count++;
	}
	return count;
}

static void compare_built_in(unsigned thread, const struct filter_rule *rules,
			     unsigned count)
{
	struct sock_filter built_in[SECCOMP_INSTRUCTIONS_MAX];
	unsigned len = seccomp_program(thread, built_in);

	for (int call = 0; call < CALLS; call++) {
		for (unsigned i = 0; i < count; i++) {
			struct seccomp_data data = {.nr = call,
						    .arch = AUDIT_ARCH_AARCH64};
			uint64_t args[6] = {0};

			for (unsigned k = 0; k < rules[i].count; k++) {
				const struct filter_condition *c =
					&rules[i].condition[k];

				args[c->argument] =
					c->value ^
					((call + i + k) % 2 ? c->mask : 0);
			}
			memcpy(data.args, args, sizeof(args));
			assert_int_equal(
				bpf_run(ours, (unsigned)our_len, &data),
				bpf_run(built_in, len, &data));
		}
	}
}

/* What `show --filter` prints and `compile` makes of it. */
static void the_lists_compile_to_what_is_built_in(void **state)
{
	static struct filter_rule rules[RULES_MAX];

	(void)state;
	for (unsigned t = 0; t < SECCOMP_THREADS; t++) {
		unsigned count = rules_of(t, rules);

		assert_in_range(count, 10, RULES_MAX);
		generate(rules, count, ACTION_TRAP);
		compare_built_in(t, rules, count);
	}
}

/* Of the rules of @thread, those that each start needs, without the
 * @left_out'th of them, whose call's name is "" if there are not so many. */
static unsigned needed_rules(unsigned thread, struct filter_rule *rules,
			     unsigned left_out, char *name)
{
	struct seccomp_entry entry;
	const char *text = NULL;
	unsigned count = 0, found = 0;
	bool needed;

	name[0] = '\0';
	while ((text = entry_read(text, &entry))) {
		if (strcmp(entry.field[ENTRY_THREAD],
			   seccomp_thread_keys[thread]) != 0)
			continue;
		entry_decode(&entry, &rules[count], &needed);
		if (needed && found++ == left_out)
			entry_call_name(rules[count].call, name, 64);
		else
			count += needed;
	}
	return count;
}

static void what_each_start_needs_suffices(void **state)
{
	static const unsigned threads[] = {SECCOMP_MAIN, SECCOMP_VCPU};
	static struct filter_rule rules[RULES_MAX];
	char name[64], words[128];
	struct err e;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(threads); i++) {
		struct filter_file file = {0};
		unsigned left_out = 0;

		file.code[threads[i]] = ours;
		for (;; left_out++) {
			unsigned n =
				needed_rules(threads[i], rules, left_out, name);

			generate(rules, n, ACTION_TRAP);
			file.len[threads[i]] = (unsigned)our_len;
			if (!name[0])
				break;
			snprintf(words, sizeof(words),
				 "the filter of `%s` forbids %s",
				 seccomp_thread_keys[threads[i]], name);
			assert_err(filter_file_suffices(&file, &e), e, words);
		}
		assert_in_range(left_out, 5, 30);
		assert_ok(filter_file_suffices(&file, &e), e);
	}
}

/* ------------------------------------------------------------- verification */

static void verifying_is_as_strict_as_the_kernel(void **state)
{
	static const struct sock_filter end = {BPF_RET | BPF_K, 0, 0,
					       SECCOMP_RET_ALLOW};
	static const struct sock_filter bad[] = {
		{BPF_LD | BPF_W | BPF_ABS, 0, 0, 2},
		{BPF_LD | BPF_W | BPF_ABS, 0, 0, sizeof(struct seccomp_data)},
		{BPF_LD | BPF_B | BPF_ABS, 0, 0, 0},
		{BPF_LD | BPF_W | BPF_IND, 0, 0, 0},
		{BPF_LDX | BPF_W | BPF_MEM, 0, 0, 0},
		{BPF_ST, 0, 0, 0},
		{BPF_MISC | BPF_TAX, 0, 0, 0},
		{BPF_ALU | BPF_DIV | BPF_K, 0, 0, 0},
		{BPF_ALU | BPF_AND | BPF_X, 0, 0, 0},
		{BPF_JMP | BPF_JA, 0, 0, 1},
		{BPF_JMP | BPF_JA, 0, 0, 0xffffffff}, /* back */
		{BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0},
		{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0},
		{BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 0},
		{BPF_RET | BPF_A, 0, 0, 0},
		{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_USER_NOTIF},
		{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_THREAD},
		{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW | 1},
		{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | 4096},
		{BPF_RET | BPF_K, 0, 0, 0x12340000},
		{0xffff, 0, 0, 0},
	};
	struct sock_filter two[2] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, 4}, end};
	struct err e;

	(void)state;
	assert_ok(filter_verify(two, 2, &e), e);
	assert_err(filter_verify(two, 0, &e), e, "it has 0 instructions");
	assert_err(filter_verify(ours, BPF_MAXINSNS + 1, &e), e,
		   "expected 1 to 4096");
	/* It does not end. */
	assert_err(filter_verify(two, 1, &e), e, "instruction 0");
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		two[0] = bad[i];
		assert_err(filter_verify(two, 2, &e), e, "instruction 0");
	}
	two[0] = end;
	two[1] = (struct sock_filter){BPF_JMP | BPF_JA, 0, 0, 0};
	assert_err(filter_verify(two, 2, &e), e, "instruction 1");
}

/* What depends on an argument that is not known is open. */
static void unknown_arguments_leave_both_verdicts_open(void **state)
{
	const struct filter_rule rules[] = {
		{.call = 5,
		 .action = SECCOMP_RET_ALLOW,
		 .count = 2,
		 .condition = {{.argument = 0, .value = 1},
			       {.argument = 2,
				.op = FILTER_MASKED_EQ,
				.mask = 4}}},
		{.call = 6,
		 .action = SECCOMP_RET_ERRNO | 1,
		 .count = 1,
		 .condition = {{.argument = 1, .value = 1}}},
	};
	struct seccomp_data data = {
		.nr = 5, .arch = AUDIT_ARCH_AARCH64, .args = {1}};
	unsigned len;

	(void)state;
	generate(rules, ARRAY_SIZE(rules), ACTION_TRAP);
	len = (unsigned)our_len;
	assert_int_equal(filter_decide(ours, len, &data, 1, NULL),
			 FILTER_ALLOWS | FILTER_ENDS);
	assert_int_equal(filter_decide(ours, len, &data, 5, NULL),
			 FILTER_ALLOWS);
	data.args[0] = 2;
	assert_int_equal(filter_decide(ours, len, &data, 1, NULL), FILTER_ENDS);
	data.nr = 6;
	assert_int_equal(filter_decide(ours, len, &data, 0, NULL),
			 FILTER_FAILS | FILTER_ENDS);
}

/* Two ways to an instruction may load different values, and both count. */
static void ways_that_meet_leave_both_verdicts_open(void **state)
{
	static const struct sock_filter code[] = {
		{BPF_LD | BPF_W | BPF_ABS, 0, 0, 16}, /* unknown */
		{BPF_JMP | BPF_JEQ | BPF_K, 0, 2, 1},
		{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},
		{BPF_JMP | BPF_JA, 0, 0, 1},
		{BPF_LD | BPF_W | BPF_ABS, 0, 0, 4},
		{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 5},
		{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
		{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_TRAP},
	};
	const struct seccomp_data data = {.nr = 5, .arch = AUDIT_ARCH_AARCH64};
	struct err e;

	(void)state;
	assert_ok(filter_verify(code, ARRAY_SIZE(code), &e), e);
	assert_int_equal(filter_decide(code, ARRAY_SIZE(code), &data, 0, NULL),
			 FILTER_ALLOWS | FILTER_ENDS);
	assert_int_equal(filter_decide(code, ARRAY_SIZE(code), &data, 1, NULL),
			 FILTER_ENDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_lists_compile_to_what_is_built_in),
		cmocka_unit_test(what_each_start_needs_suffices),
		cmocka_unit_test(verifying_is_as_strict_as_the_kernel),
		cmocka_unit_test(unknown_arguments_leave_both_verdicts_open),
		cmocka_unit_test(ways_that_meet_leave_both_verdicts_open),
	};

	return RUN_TESTS("seccomp_verify", tests);
}
