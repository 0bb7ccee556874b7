/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/seccomp_bpf.h"

#include <string.h>

#include "tests/unit/testing.h"

/* The result of one jump; *k is where it goes on. */
static void jump(const struct sock_filter *f, uint32_t a, unsigned *k)
{
	bool yes = false;

	switch (BPF_OP(f->code)) {
	case BPF_JA:
		*k += f->k;
		return;
	case BPF_JEQ:
		yes = a == f->k;
		break;
	case BPF_JGT:
		yes = a > f->k;
		break;
	case BPF_JGE:
		yes = a >= f->k;
		break;
	case BPF_JSET:
		yes = a & f->k;
		break;
	default:
		fail_msg("jump 0x%x", f->code);
	}
	*k += yes ? f->jt : f->jf;
}

uint32_t bpf_run(const struct sock_filter *code, unsigned len,
		 const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (unsigned k = 0; k < len; k++) {
		const struct sock_filter *f = &code[k];

		switch (BPF_CLASS(f->code)) {
		case BPF_LD:
			assert_true(f->k <= sizeof(*data) - sizeof(a));
			memcpy(&a, (const char *)data + f->k, sizeof(a));
			break;
		case BPF_ALU:
			assert_int_equal(f->code, BPF_ALU | BPF_AND | BPF_K);
			a &= f->k;
			break;
		case BPF_JMP:
			jump(f, a, &k);
			break;
		default:
			assert_int_equal(f->code, BPF_RET | BPF_K);
			return f->k;
		}
	}
	fail_msg("no end");
	return 0;
}
