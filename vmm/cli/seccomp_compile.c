/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stasis seccomp compile: from Firecracker's JSON form of filters to a file for
 * --seccomp-filter (docs/seccomp.md).
 */
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/options.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "core/json/json.h"
#include "core/seccomp/entry.h"
#include "core/seccomp/filter_file.h"
#include "core/seccomp/placeholder.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/seccomp.h"

enum { INPUT_MAX = 1 << 20, ERRNO_MAX = 4095 };

struct arguments {
	const char *input, *output, *arch;
	bool basic, help;
};

/* Of one thread. */
struct filter {
	struct filter_rule *rules;
	unsigned count;
	uint32_t otherwise; /* the default action */
	bool basic;
};

/* -------------------------------------------------------------- actions */

#define FIELD(type, name, kind_, ...) \
	{#name, kind_, .offset = offsetof(type, name), __VA_ARGS__}

struct numbered {
	uint64_t errno_, trace;
};

static int read_numbered(const struct json_t *value, uint32_t *action,
			 struct err *e)
{
	static const struct json_field fields[] = {
		{"errno", JSON_KIND_U64, .max = ERRNO_MAX,
		 .offset = offsetof(struct numbered, errno_)},
		FIELD(struct numbered, trace, JSON_KIND_U64, .max = UINT16_MAX),
	};
	struct numbered n = {UINT64_MAX, UINT64_MAX};

	if (json_read(value, fields, ARRAY_SIZE(fields), &n, e))
		return -1;
	if ((n.errno_ == UINT64_MAX) == (n.trace == UINT64_MAX))
		return err_set(e, "expected one of `errno` and `trace`");
	*action = n.trace == UINT64_MAX ? SECCOMP_RET_ERRNO | (uint32_t)n.errno_
					: SECCOMP_RET_TRACE | (uint32_t)n.trace;
	return 0;
}

/* A microVM that lost one thread would neither run nor end, so the end of a
 * thread is that of all, in order. */
static int read_action(const struct json_t *value, const char *field,
		       uint32_t *action, struct err *e)
{
	static const char *const names[] = {"allow", "kill_thread",
					    "kill_process", "log", "trap"};
	static const uint32_t actions[] = {SECCOMP_RET_ALLOW, SECCOMP_RET_TRAP,
					   SECCOMP_RET_KILL_PROCESS,
					   SECCOMP_RET_LOG, SECCOMP_RET_TRAP};
	const char *name = json_text(value);
	unsigned i;
	int r;

	if (!name)
		r = read_numbered(value, action, e);
	else
		r = json_variant(name, names, ARRAY_SIZE(names), &i, e);
	if (r)
		return err_prefix(e, "field `%s`", field);
	if (name)
		*action = actions[i];
	return 0;
}

/* ----------------------------------------------------------- conditions */

struct condition {
	uint64_t index;
	const struct json_t *type, *op, *val, *comment;
};

static bool fits(uint64_t value, bool wide)
{
	return wide || value <= UINT32_MAX;
}

/* A number; jansson's end at INT64_MAX, so the others are written as negative
 * ones of the same bits, which int arguments want, too. */
static int read_value(const struct json_t *value, struct filter_condition *c,
		      struct err *e)
{
	const char *text = json_text(value);
	bool right;
	int64_t n;

	if (text && !strcmp(text, "own_pid") && !c->wide) {
		c->value = SECCOMP_OWN_PID;
		return 0;
	}
	right = json_i64(value, &n);
	c->value =
		!c->wide && n < 0 && n >= INT32_MIN ? (uint32_t)n : (uint64_t)n;
	/* Either half is an operand of its own, and none may look like the
	 * value that stands for the process. */
	if (right && fits(c->value, c->wide) &&
	    (uint32_t)c->value != SECCOMP_OWN_PID &&
	    c->value >> 32 != SECCOMP_OWN_PID)
		return 0;
	return err_set(e, "field `val` is not a number of %d bits",
		       c->wide ? 64 : 32);
}

static int read_op(const struct json_t *value, struct filter_condition *c,
		   struct err *e)
{
	static const char *const names[] = {
		[FILTER_EQ] = "eq", [FILTER_NE] = "ne", [FILTER_GT] = "gt",
		[FILTER_GE] = "ge", [FILTER_LT] = "lt", [FILTER_LE] = "le",
	};
	static const struct json_field masked[] = {
		{"masked_eq", JSON_KIND_U64, .required = true}};
	const char *name = json_text(value);
	unsigned op;

	if (!name) {
		c->op = FILTER_MASKED_EQ;
		if (json_read(value, masked, 1, &c->mask, e))
			return err_prefix(e, "field `op`");
		if (!fits(c->mask, c->wide))
			return err_set(e, "field `op` has more than 32 bits");
		return 0;
	}
	if (json_variant(name, names, ARRAY_SIZE(names), &op, e))
		return err_prefix(e, "field `op`");
	c->op = op;
	return 0;
}

static int read_condition(const struct json_t *value,
			  struct filter_condition *out, struct err *e)
{
	static const struct json_field fields[] = {
		FIELD(struct condition, index, JSON_KIND_U64, .required = true,
		      .max = 5),
		FIELD(struct condition, type, JSON_KIND_ANY, .required = true),
		FIELD(struct condition, op, JSON_KIND_ANY, .required = true),
		FIELD(struct condition, val, JSON_KIND_ANY, .required = true),
		FIELD(struct condition, comment, JSON_KIND_ANY),
	};
	static const char *const types[] = {"dword", "qword"};
	struct condition c = {0};
	const char *type;
	unsigned wide;

	if (json_read(value, fields, ARRAY_SIZE(fields), &c, e))
		return -1;
	type = json_text(c.type);
	if (json_variant(type ? type : "", types, 2, &wide, e))
		return err_prefix(e, "field `type`");
	*out = (struct filter_condition){.argument = (unsigned)c.index,
					 .wide = wide};
	return read_op(c.op, out, e) || read_value(c.val, out, e) ? -1 : 0;
}

/* ---------------------------------------------------------------- rules */

struct rule {
	const struct json_t *syscall, *args, *action, *comment;
};

static int read_conditions(const struct json_t *args, struct filter_rule *rule,
			   struct err *e)
{
	int count = json_array_len(args);

	if (count < 0 || count > FILTER_CONDITIONS_MAX)
		return err_set(e,
			       "field `args` is not an array of at most %d "
			       "conditions",
			       FILTER_CONDITIONS_MAX);
	rule->count = (unsigned)count;
	for (unsigned i = 0; i < rule->count; i++) {
		if (read_condition(json_array_at(args, i), &rule->condition[i],
				   e))
			return err_prefix(e, "condition %u", i + 1);
	}
	return 0;
}

static int read_rule(const struct json_t *value, const struct filter *filter,
		     struct filter_rule *out, struct err *e)
{
	static const struct json_field fields[] = {
		FIELD(struct rule, syscall, JSON_KIND_ANY, .required = true),
		FIELD(struct rule, args, JSON_KIND_ANY),
		FIELD(struct rule, action, JSON_KIND_ANY),
		FIELD(struct rule, comment, JSON_KIND_ANY),
	};
	struct rule rule = {0};
	const char *call;

	if (json_read(value, fields, ARRAY_SIZE(fields), &rule, e))
		return -1;
	call = json_text(rule.syscall);
	out->call = call ? entry_call_number(call) : -1;
	if (out->call < 0)
		return err_set(e, "\"%.64s\" is not a system call of arm64",
			       call ? call : "");
	if (rule.action && read_action(rule.action, "action", &out->action, e))
		return err_prefix(e, "%s", call);
	if (rule.args && !filter->basic && read_conditions(rule.args, out, e))
		return err_prefix(e, "%s", call);
	return 0;
}

/* -------------------------------------------------------------- filters */

struct filter_json {
	const struct json_t *default_action, *filter_action, *filter, *comment;
};

/* Add the rules of @value to those of @filter. */
static int read_rules(const struct json_t *value, uint32_t action,
		      struct filter *filter, struct err *e)
{
	int count = json_array_len(value);

	if (count < 0)
		return err_set(e, "field `filter` is not an array of rules");
	if ((unsigned)count > FILTER_RULES_MAX - filter->count)
		return err_set(e, "more than %d rules", FILTER_RULES_MAX);
	for (unsigned i = 0; i < (unsigned)count; i++) {
		struct filter_rule *rule = &filter->rules[filter->count];

		*rule = (struct filter_rule){.action = action};
		if (read_rule(json_array_at(value, i), filter, rule, e))
			return err_prefix(e, "rule %u", i + 1);
		filter->count++;
	}
	return 0;
}

static int read_filter(const struct json_t *value, struct filter *filter,
		       struct err *e)
{
	static const struct json_field fields[] = {
		FIELD(struct filter_json, default_action, JSON_KIND_ANY,
		      .required = true),
		FIELD(struct filter_json, filter_action, JSON_KIND_ANY,
		      .required = true),
		FIELD(struct filter_json, filter, JSON_KIND_ANY,
		      .required = true),
		FIELD(struct filter_json, comment, JSON_KIND_ANY),
	};
	struct filter_json json = {0};
	uint32_t action, otherwise;

	if (json_read(value, fields, ARRAY_SIZE(fields), &json, e) ||
	    read_action(json.filter_action, "filter_action", &action, e) ||
	    read_action(json.default_action, "default_action", &otherwise, e))
		return -1;
	if (filter->count && filter->otherwise != otherwise)
		return err_set(e, "`vmm` and `api` are one thread, whose "
				  "default action is one");
	filter->otherwise = otherwise;
	return read_rules(json.filter, action, filter, e);
}

/* The keys of a document: our threads', then Firecracker's, both of which are
 * what our main thread does. */
enum { KEY_VMM = SECCOMP_THREADS, KEY_API, KEYS };

static int read_keys(const struct json_t *document,
		     const struct json_t *values[KEYS], struct err *e)
{
	struct json_field fields[KEYS];

	for (unsigned i = 0; i < KEYS; i++)
		fields[i] = (struct json_field){
			.name = i < SECCOMP_THREADS ? seccomp_thread_keys[i]
				: i == KEY_VMM      ? "vmm"
						    : "api",
			.kind = JSON_KIND_ANY,
			.offset = i * sizeof(*values),
		};
	if (json_read(document, fields, KEYS, values, e))
		return -1;
	for (unsigned i = 0; i < KEYS; i++) {
		if (values[i])
			return 0;
	}
	return err_set(e, "it has a filter for no thread");
}

/* The program of thread @t, of the filters in @values that are for it. */
static int compile_thread(const struct json_t *const values[KEYS], unsigned t,
			  struct filter *filter, struct filter_file *file,
			  struct err *e)
{
	struct sock_filter *code;
	bool found = false;
	int len;

	filter->count = 0;
	for (unsigned i = 0; i < KEYS; i++) {
		bool is_its = i == t || (t == SECCOMP_MAIN && i >= KEY_VMM);

		if (!values[i] || !is_its)
			continue;
		if (read_filter(values[i], filter, e))
			return -1;
		found = true;
	}
	if (!found)
		return 0;
	code = malloc(BPF_MAXINSNS * sizeof(*code));
	if (!code)
		return err_errno(e, "cannot compile");
	file->code[t] = code;
	len = filter_generate(filter->rules, filter->count, filter->otherwise,
			      code, e);
	file->len[t] = len < 0 ? 0 : (unsigned)len;
	return len < 0 ? -1 : 0;
}

static int compile_all(const struct json_t *document, bool basic,
		       struct filter_file *file, struct err *e)
{
	const struct json_t *values[KEYS] = {0};
	struct filter filter = {.basic = basic};
	int r = read_keys(document, values, e);

	filter.rules = malloc(FILTER_RULES_MAX * sizeof(*filter.rules));
	if (!filter.rules)
		return err_errno(e, "cannot compile");
	for (unsigned t = 0; t < SECCOMP_THREADS && !r; t++) {
		r = compile_thread(values, t, &filter, file, e);
		if (r)
			err_prefix(e, "`%s`", seccomp_thread_keys[t]);
	}
	free(filter.rules);
	return r;
}

static int compile(const struct arguments *args, struct err *e)
{
	size_t len;
	AUTO_FREE char *text = io_read_input(args->input, INPUT_MAX, &len, e);
	struct filter_file file = {0};
	struct json_t *document;
	int r;

	if (!text)
		return -1;
	document = json_parse(text, len, e);
	r = document ? compile_all(document, args->basic, &file, e) : -1;
	json_free(document);
	if (r)
		err_prefix(e, "%.256s", args->input);
	else
		r = filter_file_save(args->output, &file, e);
	if (!r && filter_file_suffices(&file, e))
		log_warn("%s", e->text);
	for (unsigned t = 0; t < SECCOMP_THREADS; t++)
		free((void *)file.code[t]);
	return r;
}

/* ---------------------------------------------------------- the command */

static const struct option options[] = {
	{"input", "FILE", "the filters, in JSON; - for standard input",
	 OPTION_TEXT(struct arguments, input)},
	{"output", "FILE", "where to write them, for --seccomp-filter",
	 OPTION_TEXT(struct arguments, output)},
	{"basic", NULL, "ignore `args`: allow calls with all arguments",
	 OPTION_FLAG(struct arguments, basic)},
	{"arch", "ARCH", "aarch64, the default and the only one",
	 OPTION_TEXT(struct arguments, arch)},
	{"help", NULL, "show this", OPTION_FLAG(struct arguments, help)},
};

static int check(const struct arguments *args, struct err *e)
{
	if (strcmp(args->arch, "aarch64") != 0)
		return err_set(e,
			       "--arch %.40s: filters are for aarch64; leave "
			       "it out",
			       args->arch);
	if (!args->input || !args->output)
		return err_set(e, "--input FILE and --output FILE are needed");
	return 0;
}

int seccomp_compile(int argc, char **argv)
{
	struct arguments args = {.arch = "aarch64"};
	struct err e;

	if (options_parse(options, ARRAY_SIZE(options), argc, argv, &args,
			  &e) ||
	    (!args.help && check(&args, &e))) {
		log_error("%s", e.text);
		return EXIT_BAD_ARGUMENTS;
	}
	if (args.help) {
		printf("Usage: stasis seccomp compile --input FILE --output "
		       "FILE [--basic]\n\nCompile filters in Firecracker's "
		       "JSON form for --seccomp-filter (docs/seccomp.md).\n"
		       "\"stasis seccomp show --filter\" prints the built-in "
		       "ones in that form.\n\n");
		options_print(options, ARRAY_SIZE(options));
		return EXIT_OK;
	}
	if (compile(&args, &e)) {
		log_error("%s", e.text);
		return EXIT_FAILED;
	}
	return EXIT_OK;
}
