/* SPDX-License-Identifier: Apache-2.0 */
/* What programs may be, and what they decide. */
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>

#include "core/base/err.h"
#include "core/seccomp/filter.h"

enum { ERRNO_MAX = 4095 };

/* ---------------------------------------------------------------- verifying */

static bool is_action(uint32_t action)
{
	uint32_t data = action & SECCOMP_RET_DATA;

	switch (action & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ERRNO:
		return data <= ERRNO_MAX;
	case SECCOMP_RET_TRACE:
		return true;
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG:
	case SECCOMP_RET_TRAP:
	case SECCOMP_RET_KILL_PROCESS:
		return !data;
	default:
		return false;
	}
}

/* @left: how many instructions follow. */
static bool is_valid(const struct sock_filter *f, unsigned left)
{
	switch (f->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		return f->k % 4 == 0 && f->k < sizeof(struct seccomp_data) &&
		       left;
	case BPF_ALU | BPF_AND | BPF_K:
		return left;
	case BPF_JMP | BPF_JA:
		return f->k < left;
	case BPF_JMP | BPF_JEQ | BPF_K:
	case BPF_JMP | BPF_JGT | BPF_K:
	case BPF_JMP | BPF_JGE | BPF_K:
		return f->jt < left && f->jf < left;
	case BPF_RET | BPF_K:
		return is_action(f->k);
	default:
		return false;
	}
}

int filter_verify(const struct sock_filter *code, unsigned len, struct err *e)
{
	if (!len || len > BPF_MAXINSNS)
		return err_set(e, "it has %u instructions, expected 1 to %d",
			       len, BPF_MAXINSNS);
	for (unsigned i = 0; i < len; i++) {
		if (!is_valid(&code[i], len - 1 - i))
			return err_set(e,
				       "instruction %u (0x%x %u %u 0x%x) is "
				       "none that is allowed there",
				       i, code[i].code, code[i].jt, code[i].jf,
				       code[i].k);
	}
	return 0;
}

/* ----------------------------------------------------------------- deciding */

/*
 * What may be loaded when an instruction is reached.  As jumps go forward,
 * each is looked at once, after all that lead to it.
 */
struct state {
	enum { NOT_REACHED, KNOWN, UNKNOWN } is;
	uint32_t value;
};

static void reach(struct state *there, struct state from)
{
	if (there->is == NOT_REACHED)
		*there = from;
	else if (from.is == UNKNOWN || from.value != there->value)
		there->is = UNKNOWN;
}

static struct state load(const struct seccomp_data *data, unsigned known,
			 uint32_t offset)
{
	const uint32_t args = offsetof(struct seccomp_data, args);
	struct state s = {.is = KNOWN};

	if (offset >= args && !(known >> (offset - args) / 8 & 1))
		s.is = UNKNOWN;
	else
		memcpy(&s.value, (const char *)data + offset, sizeof(s.value));
	return s;
}

static bool holds(const struct sock_filter *f, uint32_t value)
{
	switch (BPF_OP(f->code)) {
	case BPF_JEQ:
		return value == f->k;
	case BPF_JGT:
		return value > f->k;
	default:
		return value >= f->k;
	}
}

static void jump(const struct sock_filter *f, struct state s,
		 struct state *after)
{
	if (BPF_OP(f->code) == BPF_JA) {
		reach(&after[f->k], s);
		return;
	}
	if (s.is == UNKNOWN || holds(f, s.value))
		reach(&after[f->jt], s);
	if (s.is == UNKNOWN || !holds(f, s.value))
		reach(&after[f->jf], s);
}

static enum filter_verdict verdict(uint32_t action)
{
	switch (action & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG:
		return FILTER_ALLOWS;
	case SECCOMP_RET_ERRNO:
	case SECCOMP_RET_TRACE:
		return FILTER_FAILS;
	default:
		return FILTER_ENDS;
	}
}

unsigned filter_decide(const struct sock_filter *code, unsigned len,
		       const struct seccomp_data *data, unsigned known,
		       uint32_t *action)
{
	struct state states[BPF_MAXINSNS] = {{.is = KNOWN}};
	unsigned verdicts = 0;

	for (unsigned i = 0; i < len; i++) {
		const struct sock_filter *f = &code[i];
		struct state s = states[i];

		if (s.is == NOT_REACHED)
			continue;
		switch (BPF_CLASS(f->code)) {
		case BPF_LD:
			reach(&states[i + 1], load(data, known, f->k));
			break;
		case BPF_ALU:
			s.value &= f->k;
			reach(&states[i + 1], s);
			break;
		case BPF_JMP:
			jump(f, s, &states[i + 1]);
			break;
		default:
			verdicts |= verdict(f->k);
			if (action)
				*action = f->k;
		}
	}
	return verdicts;
}
