/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles the lists of allowed system calls, on the build machine: writes C
 * with the BPF programs that the product installs, and with the text of
 * `stasis seccomp show`, deflated.
 *
 *   compile FILE.c
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <linux/userfaultfd.h>
#include <linux/vhost.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <zlib.h>

#include "core/base/util.h"
#include "core/seccomp/placeholder.h"
#include "core/seccomp/rules.h"
#include "core/seccomp/seccomp.h"

enum { INSTRUCTIONS_MAX = 4096, TEXT_MAX = 64 << 10, CALLS_MAX = 470 };

#define RULE(name, ...) {.call = #name, __VA_ARGS__},

static const struct rule setup_rules[] = {
#include "core/seccomp/lists/setup.inc"
};
static const struct rule main_rules[] = {
#include "core/seccomp/lists/main.inc"
};
static const struct rule vcpu_rules[] = {
#include "core/seccomp/lists/vcpu.inc"
};
static const struct rule starter_rules[] = {
#include "core/seccomp/lists/starter.inc"
};
static const struct rule snapshot_rules[] = {
#include "core/seccomp/lists/snapshot.inc"
};
static const struct rule working_set_rules[] = {
#include "core/seccomp/lists/working_set.inc"
};
static const struct rule pages_rules[] = {
#include "core/seccomp/lists/pages.inc"
};
/* As a program: what is forbidden. */
static const struct rule no_snapshots_rules[] = {
#include "core/seccomp/lists/saving.inc"
};
/* What `setup` has beyond the others, and those. */
static const struct rule building_rules[] = {
#include "core/seccomp/lists/building.inc"
};
static const struct rule running_rules[] = {
#include "core/seccomp/lists/running.inc"
};

#define LIST(name_)             \
	{.name = #name_,        \
	 .rule = name_##_rules, \
	 .count = ARRAY_SIZE(name_##_rules)}

/* In the order of enum seccomp_thread. */
static const struct list {
	const char *name;
	const struct rule *rule;
	unsigned count;
	bool forbids;
} lists[] = {
	LIST(setup),
	LIST(main),
	LIST(vcpu),
	LIST(starter),
	LIST(snapshot),
	LIST(working_set),
	LIST(pages),
	{.name = "no_snapshots",
	 .rule = no_snapshots_rules,
	 .count = ARRAY_SIZE(no_snapshots_rules),
	 .forbids = true},
};

static const struct list building = {
	.name = "setup",
	.rule = building_rules,
	.count = ARRAY_SIZE(building_rules),
};

static void die(const char *what, const char *which, int error)
{
	fprintf(stderr, "compile: %s %s: %s\n", what, which, strerror(error));
	exit(1);
}

/* ------------------------------------------------------------------ to BPF */

static void add_rule(scmp_filter_ctx filter, const struct rule *rule,
		     bool forbids)
{
	struct scmp_arg_cmp compare[RULE_CONDITIONS_MAX];
	int number = seccomp_syscall_resolve_name(rule->call);
	uint32_t action = forbids ? SCMP_ACT_TRAP : SCMP_ACT_ALLOW;
	int r;

	if (number == __NR_SCMP_ERROR)
		die("no system call", rule->call, ENOSYS);
	for (unsigned i = 0; i < rule->count; i++)
		compare[i] = (struct scmp_arg_cmp){
			.arg = rule->condition[i].argument,
			.op = SCMP_CMP_MASKED_EQ,
			.datum_a = rule->condition[i].mask,
			.datum_b = rule->condition[i].value,
		};
	if (rule->error)
		action = SCMP_ACT_ERRNO((uint32_t)rule->error);
	r = seccomp_rule_add_array(filter, action, number, rule->count,
				   compare);
	if (r)
		die("cannot add", rule->call, -r);
}

/*
 * When a filter is installed, the kernel runs it for each of its 900 system
 * calls of both architectures, to find those that are always allowed, unless
 * the filter looks at an argument: then it gives up on that call.  With this
 * as the first instruction it gives up at once, which saves two thirds of the
 * time; it loses a shortcut of some 10 ns per call.
 */
static const struct sock_filter look_at_argument = {
	BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, args)};

static bool has_call(const struct list *list, const char *call)
{
	for (unsigned i = 0; i < list->count; i++) {
		if (!strcmp(list->rule[i].call, call))
			return true;
	}
	return false;
}

/* Calls that are made often are compared first.  Only of those in the list:
 * for another libseccomp 2.6 loses the instruction that loads the number. */
static void set_priorities(scmp_filter_ctx filter, const struct list *list)
{
	static const char *const often[] = {
		"ioctl",    "write", "read",    "epoll_pwait",    "preadv2",
		"pwritev2", "futex", "sendmsg", "io_uring_enter",
	};

	for (unsigned i = 0; i < ARRAY_SIZE(often); i++) {
		if (has_call(list, often[i]))
			(void)seccomp_syscall_priority(
				filter, seccomp_syscall_resolve_name(often[i]),
				(uint8_t)(UINT8_MAX - i));
	}
}

/* ---------------------------------------------------------- to shorter BPF */

/*
 * The kernel takes a microsecond to check and translate each instruction, at
 * every start, and libseccomp spends some in vain: where a condition is about
 * bits of the lower half of an argument only, it also compares 0 with no bits
 * of the upper half.
 */

static bool is(const struct sock_filter *f, unsigned code, uint32_t k)
{
	return f->code == code && f->k == k;
}

/* That what was loaded before makes no difference. */
static bool forgets(const struct sock_filter *f)
{
	return f->code == (BPF_LD | BPF_W | BPF_ABS) ||
	       f->code == (BPF_RET | BPF_K);
}

/* "Load; keep no bits; is it 0?", and what is done if so follows at once. */
static bool compares_nothing(const struct sock_filter *f)
{
	return f[0].code == (BPF_LD | BPF_W | BPF_ABS) &&
	       is(&f[1], BPF_ALU | BPF_AND | BPF_K, 0) &&
	       is(&f[2], BPF_JMP | BPF_JEQ | BPF_K, 0) && !f[2].jt &&
	       forgets(&f[3]);
}

/* "Keep these bits; is it 0?" is one instruction: "is one of them set?" */
static bool tests_bits(const struct sock_filter *f)
{
	return f[0].code == (BPF_ALU | BPF_AND | BPF_K) &&
	       is(&f[1], BPF_JMP | BPF_JEQ | BPF_K, 0) &&
	       forgets(&f[2 + f[1].jt]) && forgets(&f[2 + f[1].jf]);
}

static void test_bits(struct sock_filter *f)
{
	f[1] = (struct sock_filter){BPF_JMP | BPF_JSET | BPF_K, f[1].jf,
				    f[1].jt, f[0].k};
}

/* Leave out the @gone instructions and let jumps lead where they led. */
static size_t close_gaps(struct sock_filter *code, size_t len, const bool *gone)
{
	size_t where[INSTRUCTIONS_MAX + 1], to = 0;

	for (size_t i = 0; i < len; i++) {
		where[i] = to;
		to += !gone[i];
	}
	for (size_t i = 0; i < len; i++) {
		struct sock_filter f = code[i];

		if (gone[i])
			continue;
		if (f.code == (BPF_JMP | BPF_JA))
			die("cannot shorten", "a long jump", ENOTSUP);
		if (BPF_CLASS(f.code) == BPF_JMP) {
			f.jt = (uint8_t)(where[i + 1 + f.jt] - where[i] - 1);
			f.jf = (uint8_t)(where[i + 1 + f.jf] - where[i] - 1);
		}
		code[where[i]] = f;
	}
	return to;
}

static size_t shorten(struct sock_filter *code, size_t len)
{
	bool gone[INSTRUCTIONS_MAX] = {false};

	for (size_t i = 0; i + 3 < len; i++) {
		if (compares_nothing(&code[i])) {
			gone[i] = gone[i + 1] = gone[i + 2] = true;
			i += 2;
		} else if (tests_bits(&code[i])) {
			test_bits(&code[i]);
			gone[i] = true;
			i++;
		}
	}
	return close_gaps(code, len, gone);
}

static size_t compile(const struct list *list, struct sock_filter *program)
{
	size_t size = (INSTRUCTIONS_MAX - 1) * sizeof(*program);
	scmp_filter_ctx filter =
		seccomp_init(list->forbids ? SCMP_ACT_ALLOW : SCMP_ACT_TRAP);
	int r;

	if (!filter || seccomp_arch_add(filter, SCMP_ARCH_AARCH64))
		die("cannot begin", list->name, ENOMEM);
	if (seccomp_arch_native() != SCMP_ARCH_AARCH64)
		seccomp_arch_remove(filter, SCMP_ARCH_NATIVE);
	set_priorities(filter, list);
	for (unsigned i = 0; i < list->count; i++)
		add_rule(filter, &list->rule[i], list->forbids);
	program[0] = look_at_argument;
	r = seccomp_export_bpf_mem(filter, program + 1, &size);
	if (r)
		die("cannot compile", list->name, -r);
	seccomp_release(filter);
	return shorten(program, 1 + size / sizeof(*program));
}

static bool is_same(const struct rule *a, const struct rule *b)
{
	bool same = a->count == b->count;

	for (unsigned i = 0; same && i < a->count; i++) {
		const struct rule_condition *x = &a->condition[i];
		const struct rule_condition *y = &b->condition[i];

		same = x->argument == y->argument && x->mask == y->mask &&
		       x->value == y->value;
	}
	return same;
}

static bool is_repeated(const struct rule *rule)
{
	for (unsigned i = 0; i < ARRAY_SIZE(running_rules); i++) {
		const struct rule *other = &running_rules[i];

		if (!strcmp(other->call, rule->call) &&
		    other->error == rule->error &&
		    (!other->count || is_same(other, rule)))
			return true;
	}
	return false;
}

static void check_building(void)
{
	for (unsigned i = 0; i < building.count; i++) {
		if (is_repeated(&building.rule[i]))
			die("other lists have, too,", building.rule[i].call,
			    EEXIST);
	}
}

/* Different values, each once. */
struct values {
	uint32_t value[256];
	unsigned count;
};

static unsigned find_or_add(struct values *values, uint32_t value)
{
	unsigned i = 0;

	while (i < values->count && values->value[i] != value)
		i++;
	if (i == ARRAY_SIZE(values->value))
		die("more operands than", "a byte can number", ERANGE);
	values->value[i] = value;
	values->count += i == values->count;
	return i;
}

static void write_values(FILE *out, const char *type, const char *name,
			 const uint32_t *value, unsigned count)
{
	fprintf(out, "const unsigned %s %s[] = {", type, name);
	for (unsigned i = 0; i < count; i++)
		fprintf(out, "%s0x%x,", i % 8 ? "" : "\n\t", value[i]);
	fprintf(out, "\n};\n\n");
}

static void write_programs(FILE *out)
{
	static struct sock_filter program[INSTRUCTIONS_MAX];
	static struct values codes, operands;
	uint32_t first[ARRAY_SIZE(lists) + 1] = {0};

	fprintf(out, "const struct seccomp_instruction "
		     "seccomp_instructions[] = {\n");
	for (unsigned i = 0; i < ARRAY_SIZE(lists); i++) {
		size_t n = compile(&lists[i], program);

		fprintf(out, "\t/* %s */\n", lists[i].name);
		for (size_t k = 0; k < n; k++)
			fprintf(out, "\t{%u, %u, %u, %u},\n",
				find_or_add(&codes, program[k].code),
				program[k].jt, program[k].jf,
				find_or_add(&operands, program[k].k));
		first[i + 1] = first[i] + (uint32_t)n;
	}
	fprintf(out, "};\n\n");
	write_values(out, "short", "seccomp_first", first, ARRAY_SIZE(first));
	write_values(out, "short", "seccomp_codes", codes.value, codes.count);
	write_values(out, "int", "seccomp_operands", operands.value,
		     operands.count);
}

/* ----------------------------------------------------------------- to text */

/* See entry.h. */
static void print_code(FILE *out, const struct rule *rule)
{
	fprintf(out, "%s%s", rule->needed ? "!" : "", rule->saves ? "s" : "");
	if (rule->error)
		fprintf(out, "e%d", rule->error);
	for (unsigned k = 0; k < rule->count; k++) {
		const struct rule_condition *c = &rule->condition[k];

		fprintf(out, ",%x&%" PRIx64 "=%" PRIx64, c->argument, c->mask,
			c->value);
	}
}

static void print_list(FILE *out, const struct list *list)
{
	for (unsigned i = 0; i < list->count; i++) {
		const struct rule *rule = &list->rule[i];

		fprintf(out, "%s\t%s\t", list->name, rule->call);
		print_code(out, rule);
		fprintf(out, "\t%s", rule->error ? "fails" : "");
		for (unsigned k = 0; k < rule->count; k++)
			fprintf(out, "%s%s", k ? ", " : "",
				rule->condition[k].text);
		fprintf(out, "\t%s\n", rule->why);
	}
}

/* What seccomp_text() unpacks: the names of all system calls, a line each from
 * number 0, an empty line, and the lists. */
static size_t print_text(char *text)
{
	FILE *out = fmemopen(text, TEXT_MAX, "w");
	size_t len;

	for (int n = 0; n < CALLS_MAX; n++) {
		char *name =
			seccomp_syscall_resolve_num_arch(SCMP_ARCH_AARCH64, n);

		/* Or the list would end here. */
		fprintf(out, "%s\n", name ? name : "-");
		free(name);
	}
	fprintf(out, "\n");
	for (unsigned i = SECCOMP_MAIN; i < SECCOMP_THREADS; i++)
		print_list(out, &lists[i]);
	print_list(out, &building);
	len = (size_t)ftell(out);
	if (fclose(out))
		die("cannot print", "the lists", errno);
	return len;
}

static void write_text(FILE *out)
{
	static char text[TEXT_MAX];
	static unsigned char packed[TEXT_MAX];
	uLongf size = sizeof(packed);
	size_t len = print_text(text);

	if (compress2(packed, &size, (unsigned char *)text, len, 9) != Z_OK)
		die("cannot deflate", "the lists", EINVAL);
	fprintf(out, "const unsigned seccomp_text_size = %zu;\n", len);
	fprintf(out, "const unsigned seccomp_packed_size = %lu;\n", size);
	fprintf(out, "const unsigned char seccomp_packed[] = {");
	for (uLongf i = 0; i < size; i++)
		fprintf(out, "%s%u,", i % 16 ? "" : "\n\t", packed[i]);
	fprintf(out, "\n};\n");
}

int main(int argc, char **argv)
{
	FILE *out;

	if (argc != 2) {
		fprintf(stderr, "usage: compile FILE.c\n");
		return 2;
	}
	check_building();
	out = fopen(argv[1], "w");
	if (!out)
		die("cannot write", argv[1], errno);
	fprintf(out, "/* Made by core/seccomp/compile.c. */\n"
		     "#include \"core/seccomp/programs.h\"\n\n");
	write_programs(out);
	write_text(out);
	if (fclose(out))
		die("cannot write", argv[1], errno);
	return 0;
}
