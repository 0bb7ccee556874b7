/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that are made of rules (core/seccomp/filter.h): they decide as those
 * that libseccomp makes of the same rules.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>

#include "core/base/util.h"
#include "core/seccomp/filter.h"
#include "tests/unit/seccomp_bpf.h"
#include "tests/unit/testing.h"

enum { CALLS = 470, RULES_MAX = 400, ACTION_TRAP = SECCOMP_RET_TRAP };

static struct sock_filter ours[BPF_MAXINSNS], theirs[BPF_MAXINSNS];
static int our_len, their_len;

static void generate(const struct filter_rule *rules, unsigned count,
		     uint32_t otherwise)
{
	struct err e;

	our_len = filter_generate(rules, count, otherwise, ours, &e);
	if (our_len < 0)
		fail_msg("%s", e.text);
	assert_ok(filter_verify(ours, (unsigned)our_len, &e), e);
}

static uint32_t decide(int call, const uint64_t args[6])
{
	struct seccomp_data data = {.nr = call, .arch = AUDIT_ARCH_AARCH64};
	uint32_t exact, action;

	memcpy(data.args, args, sizeof(data.args));
	exact = bpf_run(ours, (unsigned)our_len, &data);
	/* The product's own simulator agrees with the test's. */
	assert_int_not_equal(
		filter_decide(ours, (unsigned)our_len, &data, 0x3f, &action),
		0);
	assert_int_equal(action, exact);
	return exact;
}

/* ----------------------------------------------------------- random numbers */

static uint64_t seed;

static uint64_t any(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

/* Values whose halves are near each other, so that comparisons matter. */
static uint64_t any_value(bool wide)
{
	static const uint32_t halves[] = {
		0, 1, 2, 3, 4, 0x7fffffff, 0x80000000, 0xffffffff};
	uint64_t value = halves[any(ARRAY_SIZE(halves))];

	return wide ? value | (uint64_t)halves[any(ARRAY_SIZE(halves))] << 32
		    : value;
}

/* Which rules: libseccomp 2.6 confuses the halves of an argument where rules of
 * one call compare it by size and otherwise, so it is not asked about those. */
enum kind { ANY, EQUALITIES, ONE_PER_CALL };

static struct filter_condition any_condition(unsigned argument, enum kind kind)
{
	struct filter_condition c = {.argument = argument, .wide = any(2)};

	c.op = (unsigned)any(FILTER_MASKED_EQ + 1);
	if (kind == EQUALITIES)
		c.op = any(2) ? FILTER_EQ : FILTER_MASKED_EQ;
	c.value = any_value(c.wide);
	if (c.op == FILTER_MASKED_EQ) {
		c.mask = any_value(c.wide);
		c.value &= c.mask;
	}
	return c;
}

/* No argument twice: libseccomp takes no such rule. */
static struct filter_rule any_rule(unsigned number, enum kind kind)
{
	const unsigned calls = 8;
	struct filter_rule rule = {.action = SECCOMP_RET_ALLOW};
	unsigned first = (unsigned)any(6);

	rule.call = 20 + (int)(kind == ONE_PER_CALL ? number : any(calls));
	rule.count = (unsigned)any(4);
	for (unsigned i = 0; i < rule.count; i++)
		rule.condition[i] = any_condition((first + i) % 6, kind);
	return rule;
}

/* --------------------------------------------------------- by their meaning */

static bool condition_holds(const struct filter_condition *c, uint64_t value)
{
	if (!c->wide)
		value &= UINT32_MAX;
	switch (c->op) {
	case FILTER_EQ:
		return value == c->value;
	case FILTER_NE:
		return value != c->value;
	case FILTER_GT:
		return value > c->value;
	case FILTER_GE:
		return value >= c->value;
	case FILTER_LT:
		return value < c->value;
	case FILTER_LE:
		return value <= c->value;
	default:
		return (value & c->mask) == c->value;
	}
}

static uint32_t meant(const struct filter_rule *rules, unsigned count, int call,
		      const uint64_t args[6])
{
	for (unsigned i = 0; i < count; i++) {
		bool all = rules[i].call == call;

		for (unsigned k = 0; k < rules[i].count; k++) {
			const struct filter_condition *c =
				&rules[i].condition[k];

			all = all && condition_holds(c, args[c->argument]);
		}
		if (all)
			return rules[i].action;
	}
	return ACTION_TRAP;
}

/* ------------------------------------------------------------ by libseccomp */

static struct scmp_arg_cmp compare(const struct filter_condition *c)
{
	static const enum scmp_compare ops[] = {
		[FILTER_EQ] = SCMP_CMP_EQ, [FILTER_NE] = SCMP_CMP_NE,
		[FILTER_GT] = SCMP_CMP_GT, [FILTER_GE] = SCMP_CMP_GE,
		[FILTER_LT] = SCMP_CMP_LT, [FILTER_LE] = SCMP_CMP_LE,
	};
	struct scmp_arg_cmp cmp = {.arg = c->argument,
				   .op = SCMP_CMP_MASKED_EQ,
				   .datum_a = c->mask,
				   .datum_b = c->value};

	if (c->op == FILTER_MASKED_EQ)
		return cmp;
	if (c->op == FILTER_EQ && !c->wide) {
		cmp.datum_a = UINT32_MAX;
		return cmp;
	}
	cmp.op = ops[c->op];
	cmp.datum_a = c->value;
	cmp.datum_b = 0;
	return cmp;
}

static void generate_theirs(const struct filter_rule *rules, unsigned count)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
	size_t size = sizeof(theirs);

	assert_non_null(filter);
	assert_int_equal(seccomp_arch_add(filter, SCMP_ARCH_AARCH64), 0);
	seccomp_arch_remove(filter, SCMP_ARCH_NATIVE);
	for (unsigned i = 0; i < count; i++) {
		struct scmp_arg_cmp cmp[FILTER_CONDITIONS_MAX];
		AUTO_FREE char *name = seccomp_syscall_resolve_num_arch(
			SCMP_ARCH_AARCH64, rules[i].call);
		int r;

		for (unsigned k = 0; k < rules[i].count; k++)
			cmp[k] = compare(&rules[i].condition[k]);
		r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW,
					   seccomp_syscall_resolve_name(name),
					   rules[i].count, cmp);
		/* It was there. */
		assert_true(!r || r == -EEXIST);
	}
	assert_int_equal(seccomp_export_bpf_mem(filter, theirs, &size), 0);
	their_len = (int)(size / sizeof(*theirs));
	seccomp_release(filter);
}

/* Arguments near what a rule compares. */
static void near_rule(const struct filter_rule *rule, uint64_t args[6])
{
	for (unsigned i = 0; i < 6; i++)
		args[i] = any_value(true);
	for (unsigned i = 0; i < rule->count; i++) {
		const struct filter_condition *c = &rule->condition[i];
		uint64_t value = c->value + any(3) - 1;

		if (any(4) == 0)
			continue;
		if (any(2))
			value = c->value | (any_value(true) & ~c->mask);
		args[c->argument] = value;
	}
}

/* libseccomp compares 64 bits where the form says 32. */
static void narrow(const struct filter_rule *rules, unsigned count, int call,
		   uint64_t args[6])
{
	for (unsigned i = 0; i < count; i++) {
		for (unsigned k = 0; k < rules[i].count; k++) {
			const struct filter_condition *c =
				&rules[i].condition[k];

			if (rules[i].call == call && !c->wide)
				args[c->argument] &= UINT32_MAX;
		}
	}
}

static void compare_once(const struct filter_rule *rules, unsigned count,
			 enum kind kind, unsigned *allowed)
{
	const struct filter_rule *rule = &rules[any(count)];
	struct seccomp_data data = {.nr = rule->call,
				    .arch = AUDIT_ARCH_AARCH64};
	uint64_t args[6];
	uint32_t a, b;

	near_rule(rule, args);
	if (any(20) == 0)
		data.nr = (int)any(CALLS);
	if (kind != ANY)
		narrow(rules, count, data.nr, args);
	memcpy(data.args, args, sizeof(args));
	a = decide(data.nr, args);
	b = kind == ANY ? meant(rules, count, data.nr, args)
			: bpf_run(theirs, (unsigned)their_len, &data);
	if (a != b)
		fail_msg("call %d: 0x%x instead of 0x%x", data.nr, a, b);
	*allowed += a == SECCOMP_RET_ALLOW;
}

static void compare_many(enum kind kind)
{
	static struct filter_rule rules[RULES_MAX];
	unsigned allowed = 0;

	seed = 88172645463325252ull;
	for (unsigned round = 0; round < 100; round++) {
		unsigned count = 1 + (unsigned)any(40);

		for (unsigned i = 0; i < count; i++)
			rules[i] = any_rule(i, kind);
		generate(rules, count, ACTION_TRAP);
		if (kind != ANY)
			generate_theirs(rules, count);
		for (unsigned i = 0; i < 2000; i++)
			compare_once(rules, count, kind, &allowed);
	}
	/* Both verdicts were seen. */
	assert_in_range(allowed, 20000, 180000);
}

static void rules_decide_as_they_say(void **state)
{
	(void)state;
	compare_many(ANY);
}

static void libseccomp_decides_the_same(void **state)
{
	(void)state;
	compare_many(EQUALITIES);
	compare_many(ONE_PER_CALL);
}

static void long_lists_jump_far(void **state)
{
	static struct filter_rule rules[RULES_MAX];
	const uint64_t args[6] = {0};

	(void)state;
	for (unsigned i = 0; i < RULES_MAX; i++)
		rules[i] = (struct filter_rule){
			.call = 29,
			.action = SECCOMP_RET_ALLOW,
			.count = 1,
			.condition = {{.argument = 1, .value = 7 * i}}};
	rules[0].call = 30;
	generate(rules, RULES_MAX, ACTION_TRAP);
	for (uint64_t i = 0; i < 7ull * RULES_MAX; i++) {
		const uint64_t two[6] = {0, i};

		assert_int_equal(decide(29, two), i && i % 7 == 0
							  ? SECCOMP_RET_ALLOW
							  : ACTION_TRAP);
	}
	assert_int_equal(decide(30, args), SECCOMP_RET_ALLOW);
	/* Other conditions, of which each has a return. */
	for (unsigned i = 0; i < RULES_MAX; i++)
		rules[i].condition[0].wide = true;
	generate(rules, RULES_MAX, ACTION_TRAP);
	for (uint64_t i = 1; i < RULES_MAX; i++) {
		const uint64_t yes[6] = {0, 7 * i},
			       no[6] = {0, 7 * i | BIT(40)};

		assert_int_equal(decide(29, yes), SECCOMP_RET_ALLOW);
		assert_int_equal(decide(29, no), ACTION_TRAP);
	}
	/* All calls there are, and the one after them. */
	for (int i = 0; i < RULES_MAX; i++)
		rules[i] = (struct filter_rule){.call = i,
						.action = SECCOMP_RET_LOG};
	generate(rules, RULES_MAX, SECCOMP_RET_ERRNO | 1);
	for (int i = 0; i < RULES_MAX; i++)
		assert_int_equal(decide(i, args), SECCOMP_RET_LOG);
	assert_int_equal(decide(RULES_MAX, args), SECCOMP_RET_ERRNO | 1);
}

static void the_first_rule_that_matches_counts(void **state)
{
	const uint64_t one[6] = {1}, two[6] = {2};
	struct filter_rule rules[] = {
		{.call = 5,
		 .action = SECCOMP_RET_ERRNO | 13,
		 .count = 1,
		 .condition = {{.argument = 0, .value = 1}}},
		{.call = 5, .action = SECCOMP_RET_ALLOW},
		{.call = 6, .action = SECCOMP_RET_ALLOW},
		{.call = 6, .action = SECCOMP_RET_ERRNO | 13},
	};

	(void)state;
	generate(rules, ARRAY_SIZE(rules), ACTION_TRAP);
	assert_int_equal(decide(5, one), SECCOMP_RET_ERRNO | 13);
	assert_int_equal(decide(5, two), SECCOMP_RET_ALLOW);
	assert_int_equal(decide(6, one), SECCOMP_RET_ALLOW);
	assert_int_equal(decide(7, one), ACTION_TRAP);
}

/* Of an int the kernel ignores the upper half; so must each comparison. */
static void a_dword_has_32_bits(void **state)
{
	const uint64_t args[6] = {0xabcdull << 32 | 5};

	(void)state;
	for (unsigned op = 0; op <= FILTER_MASKED_EQ; op++) {
		struct filter_rule rule = {
			.call = 5,
			.action = SECCOMP_RET_ALLOW,
			.count = 1,
			.condition = {{.op = op, .value = 5, .mask = 0xff}}};
		const bool yes = op == FILTER_EQ || op == FILTER_GE ||
				 op == FILTER_LE || op == FILTER_MASKED_EQ;

		generate(&rule, 1, ACTION_TRAP);
		assert_int_equal(decide(5, args),
				 yes ? SECCOMP_RET_ALLOW : ACTION_TRAP);
	}
}

static void another_architecture_is_killed(void **state)
{
	const struct filter_rule rule = {.call = 64,
					 .action = SECCOMP_RET_ALLOW};
	const struct seccomp_data data = {.nr = 64, .arch = AUDIT_ARCH_ARM};

	(void)state;
	generate(&rule, 1, SECCOMP_RET_ALLOW);
	assert_int_equal(bpf_run(ours, (unsigned)our_len, &data),
			 SECCOMP_RET_KILL_PROCESS);
}

static void too_many_instructions_are_refused(void **state)
{
	static struct filter_rule rules[FILTER_RULES_MAX];
	struct err e;

	(void)state;
	for (unsigned i = 0; i < FILTER_RULES_MAX; i++)
		rules[i] = (struct filter_rule){
			.call = 29,
			.count = 1,
			.condition = {{.wide = true, .value = i}}};
	assert_err(
		filter_generate(rules, FILTER_RULES_MAX, ACTION_TRAP, ours, &e),
		e, "20489 instructions, and the kernel takes 4096");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_decide_as_they_say),
		cmocka_unit_test(libseccomp_decides_the_same),
		cmocka_unit_test(long_lists_jump_far),
		cmocka_unit_test(the_first_rule_that_matches_counts),
		cmocka_unit_test(a_dword_has_32_bits),
		cmocka_unit_test(another_architecture_is_killed),
		cmocka_unit_test(too_many_instructions_are_refused),
	};

	return RUN_TESTS("seccomp_filter", tests);
}
