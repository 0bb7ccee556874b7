/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From rules to BPF.  A program is laid out so:
 *
 *	load arguments, architecture, check it       4 instructions
 *	load the call's number
 *	calls that need no look at arguments         1 each
 *	   return their action                       1 for up to 250
 *	for each other call: skip if it is another   2
 *	   its rules, in their order
 *	   return what is done otherwise
 *	return what is done otherwise
 *
 * A conditional jump reaches 255 instructions, so no list of comparisons before
 * a return is longer, and what may be longer is skipped by BPF_JA.
 */
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/seccomp/filter.h"

/* Jumps whose target is not known yet: to the end of the condition or of the
 * rule, which both are nearer than that. */
enum { TO_CONDITION_END = 254, TO_RULE_END = 255, MATCHES_MAX = 250 };

struct emitter {
	struct sock_filter *code;
	unsigned len; /* that all would have; beyond BPF_MAXINSNS not stored */
	uint32_t otherwise;
};

static void emit(struct emitter *m, unsigned code, uint32_t k, unsigned jt,
		 unsigned jf)
{
	if (m->len < BPF_MAXINSNS)
		m->code[m->len] = (struct sock_filter){
			(uint16_t)code, (uint8_t)jt, (uint8_t)jf, k};
	m->len++;
}

static void emit_load(struct emitter *m, size_t offset)
{
	emit(m, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void emit_return(struct emitter *m, uint32_t action)
{
	emit(m, BPF_RET | BPF_K, action, 0, 0);
}

static void emit_jump(struct emitter *m, unsigned op, uint32_t k, unsigned jt,
		      unsigned jf)
{
	emit(m, BPF_JMP | op | BPF_K, k, jt, jf);
}

static size_t low_half(unsigned argument)
{
	return offsetof(struct seccomp_data, args) + 8ul * argument;
}

/* Return @action if what is loaded is one of @values. */
static void emit_matches(struct emitter *m, const uint32_t *values,
			 unsigned count, uint32_t action)
{
	while (count) {
		unsigned n = count < MATCHES_MAX ? count : MATCHES_MAX;

		for (unsigned i = 0; i + 1 < n; i++)
			emit_jump(m, BPF_JEQ, values[i], n - 1 - i, 0);
		emit_jump(m, BPF_JEQ, values[n - 1], 0, 1);
		emit_return(m, action);
		values += n;
		count -= n;
	}
}

/* ------------------------------------------------------- rules of one call */

/* Let jumps from @from on that are marked with @mark go here. */
static void land(struct emitter *m, unsigned from, uint8_t mark)
{
	for (; from < m->len && from < BPF_MAXINSNS; from++) {
		struct sock_filter *f = &m->code[from];

		if (BPF_CLASS(f->code) != BPF_JMP)
			continue;
		if (f->jt == mark)
			f->jt = (uint8_t)(m->len - from - 1);
		if (f->jf == mark)
			f->jf = (uint8_t)(m->len - from - 1);
	}
}

/* The upper halves decide, unless they are equal. */
static void emit_upper(struct emitter *m, const struct filter_condition *c)
{
	uint32_t value = (uint32_t)(c->value >> 32);

	emit_load(m, low_half(c->argument) + 4);
	switch (c->op) {
	case FILTER_GT:
	case FILTER_GE:
		emit_jump(m, BPF_JGT, value, TO_CONDITION_END, 0);
		break;
	case FILTER_LT:
	case FILTER_LE:
		emit_jump(m, BPF_JGT, value, TO_RULE_END, 0);
		break;
	default:
		break;
	}
	emit_jump(m, BPF_JEQ, value, 0,
		  c->op == FILTER_NE || c->op == FILTER_LT || c->op == FILTER_LE
			  ? TO_CONDITION_END
			  : TO_RULE_END);
}

static void emit_lower(struct emitter *m, const struct filter_condition *c)
{
	static const struct {
		uint8_t op, jt, jf;
	} jumps[] = {
		[FILTER_EQ] = {BPF_JEQ, 0, TO_RULE_END},
		[FILTER_NE] = {BPF_JEQ, TO_RULE_END, 0},
		[FILTER_GT] = {BPF_JGT, 0, TO_RULE_END},
		[FILTER_GE] = {BPF_JGE, 0, TO_RULE_END},
		[FILTER_LT] = {BPF_JGE, TO_RULE_END, 0},
		[FILTER_LE] = {BPF_JGT, TO_RULE_END, 0},
	};

	emit_load(m, low_half(c->argument));
	emit_jump(m, jumps[c->op].op, (uint32_t)c->value, jumps[c->op].jt,
		  jumps[c->op].jf);
}

static void emit_masked(struct emitter *m, size_t offset, uint64_t mask,
			uint64_t value)
{
	emit_load(m, offset);
	emit(m, BPF_ALU | BPF_AND | BPF_K, (uint32_t)mask, 0, 0);
	emit_jump(m, BPF_JEQ, (uint32_t)value, 0, TO_RULE_END);
}

static void emit_rule(struct emitter *m, const struct filter_rule *rule)
{
	unsigned start = m->len;

	for (unsigned i = 0; i < rule->count; i++) {
		const struct filter_condition *c = &rule->condition[i];
		unsigned from = m->len;
		size_t at = low_half(c->argument);

		if (c->op == FILTER_MASKED_EQ) {
			if (c->wide)
				emit_masked(m, at + 4, c->mask >> 32,
					    c->value >> 32);
			emit_masked(m, at, c->mask, c->value);
		} else {
			if (c->wide)
				emit_upper(m, c);
			emit_lower(m, c);
		}
		land(m, from, TO_CONDITION_END);
	}
	emit_return(m, rule->action);
	land(m, start, TO_RULE_END);
}

/* Does @rule do no more than compare an argument's lower half with a value? */
static bool is_match(const struct filter_rule *rule)
{
	return rule->count == 1 && !rule->condition[0].wide &&
	       rule->condition[0].op == FILTER_EQ;
}

static bool matches_as(const struct filter_rule *a, const struct filter_rule *b)
{
	return is_match(b) && a->action == b->action &&
	       a->condition[0].argument == b->condition[0].argument;
}

/* The next rule for the call of @rule after it, or @end. */
static const struct filter_rule *next(const struct filter_rule *rule,
				      const struct filter_rule *end)
{
	const struct filter_rule *r = rule + 1;

	while (r < end && r->call != rule->call)
		r++;
	return r;
}

/* Rules that compare the same argument: load it once.  Returns the rule after
 * them. */
static const struct filter_rule *emit_alike(struct emitter *m,
					    const struct filter_rule *rule,
					    const struct filter_rule *end)
{
	const struct filter_rule *first = rule;
	uint32_t values[MATCHES_MAX];
	unsigned count = 0;

	for (; rule < end && count < MATCHES_MAX && matches_as(first, rule);
	     rule = next(rule, end))
		values[count++] = (uint32_t)rule->condition[0].value;
	emit_load(m, low_half(first->condition[0].argument));
	emit_matches(m, values, count, first->action);
	return rule;
}

static void emit_call(struct emitter *m, const struct filter_rule *rule,
		      const struct filter_rule *end)
{
	unsigned skip = m->len + 1;

	emit_jump(m, BPF_JEQ, (uint32_t)rule->call, 1, 0);
	emit_jump(m, BPF_JA, 0, 0, 0);
	while (rule < end) {
		if (is_match(rule)) {
			rule = emit_alike(m, rule, end);
			continue;
		}
		emit_rule(m, rule);
		rule = next(rule, end);
	}
	emit_return(m, m->otherwise);
	if (skip < BPF_MAXINSNS)
		m->code[skip].k = m->len - skip - 1;
}

/* --------------------------------------------------------------- all calls */

static bool is_first(const struct filter_rule *rules, unsigned i)
{
	for (unsigned k = 0; k < i; k++) {
		if (rules[k].call == rules[i].call)
			return false;
	}
	return true;
}

/* Whatever the arguments are, is the action that of @rule, the call's first? */
static bool is_plain(const struct filter_rule *rule,
		     const struct filter_rule *end)
{
	const struct filter_rule *r = rule;

	while (r < end && r->count && r->action == rule->action)
		r = next(r, end);
	return r < end && r->action == rule->action;
}

/* The calls that need no look at arguments, or the others. */
static void emit_calls(struct emitter *m, const struct filter_rule *rules,
		       unsigned count, bool plain)
{
	uint32_t numbers[MATCHES_MAX], action = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < count; i++) {
		const struct filter_rule *rule = &rules[i];

		if (!is_first(rules, i) ||
		    is_plain(rule, rules + count) != plain)
			continue;
		if (!plain) {
			emit_call(m, rule, rules + count);
			continue;
		}
		if (n == MATCHES_MAX || (n && action != rule->action)) {
			emit_matches(m, numbers, n, action);
			n = 0;
		}
		action = rule->action;
		numbers[n++] = (uint32_t)rule->call;
	}
	emit_matches(m, numbers, n, action);
}

int filter_generate(const struct filter_rule *rules, unsigned count,
		    uint32_t otherwise, struct sock_filter *code, struct err *e)
{
	struct emitter m = {.code = code, .otherwise = otherwise};

	/* See look_at_argument in compile.c. */
	emit_load(&m, low_half(0));
	emit_load(&m, offsetof(struct seccomp_data, arch));
	emit_jump(&m, BPF_JEQ, AUDIT_ARCH_AARCH64, 1, 0);
	emit_return(&m, SECCOMP_RET_KILL_PROCESS);
	emit_load(&m, offsetof(struct seccomp_data, nr));
	emit_calls(&m, rules, count, true);
	emit_calls(&m, rules, count, false);
	emit_return(&m, otherwise);
	if (m.len > BPF_MAXINSNS)
		return err_set(e,
			       "%u instructions, and the kernel takes %d; "
			       "leave out some rules",
			       m.len, BPF_MAXINSNS);
	return (int)m.len;
}
