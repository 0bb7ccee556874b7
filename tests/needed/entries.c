/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/needed/entries.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <linux/userfaultfd.h>
#include <linux/vhost.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/seccomp/placeholder.h"
#include "core/seccomp/seccomp.h"
#include "core/thread/thread.h"

/* clang-format off */
#define RULE(name, ...)                                            \
	{.number = SYS_##name, .file = __FILE__, .line = __LINE__, \
	 .rule = {.call = #name, __VA_ARGS__}},
/* clang-format on */

static const struct entry setup[] = {
#include "core/seccomp/lists/setup.inc"
};
static const struct entry main_thread[] = {
#include "core/seccomp/lists/main.inc"
};
static const struct entry vcpu[] = {
#include "core/seccomp/lists/vcpu.inc"
};
static const struct entry starter[] = {
#include "core/seccomp/lists/starter.inc"
};
static const struct entry snapshot[] = {
#include "core/seccomp/lists/snapshot.inc"
};
static const struct entry working_set[] = {
#include "core/seccomp/lists/working_set.inc"
};
static const struct entry pages[] = {
#include "core/seccomp/lists/pages.inc"
};

#define LIST(name) {name, ARRAY_SIZE(name)}

/* In the order of enum seccomp_thread. */
static const struct {
	const struct entry *entry;
	unsigned count;
} lists[SECCOMP_THREADS] = {LIST(setup),   LIST(main_thread), LIST(vcpu),
			    LIST(starter), LIST(snapshot),    LIST(working_set),
			    LIST(pages)};

/* What a tracer is told has 16 bits: 3 for the list. */
enum { PLACE_BITS = 12 };

const struct entry *entry_at(unsigned index)
{
	return &lists[index >> PLACE_BITS]
			.entry[index & ((1U << PLACE_BITS) - 1)];
}

static bool is_dropped(const struct entry *entry, const char *dropped)
{
	char place[64];
	const char *slash = strrchr(entry->file, '/');

	snprintf(place, sizeof(place), "%s:%u", slash ? slash + 1 : entry->file,
		 entry->line);
	return dropped && !strcmp(place, dropped);
}

static unsigned put_load(struct sock_filter *code, size_t offset)
{
	*code = (struct sock_filter){BPF_LD | BPF_W | BPF_ABS, 0, 0,
				     (uint32_t)offset};
	return 1;
}

/* The place after the entry is not known yet: UINT8_MAX. */
static unsigned put_compare(struct sock_filter *code, uint32_t value)
{
	*code = (struct sock_filter){BPF_JMP | BPF_JEQ | BPF_K, 0, UINT8_MAX,
				     value};
	return 1;
}

static unsigned put_half(struct sock_filter *code, size_t offset, uint32_t mask,
			 uint32_t value)
{
	unsigned n = put_load(code, offset);

	if (!mask)
		return 0;
	if (value == SECCOMP_OWN_PID)
		value = (uint32_t)thread_process();
	code[n++] = (struct sock_filter){BPF_ALU | BPF_AND | BPF_K, 0, 0, mask};
	return n + put_compare(&code[n], value);
}

static unsigned put_entry(struct sock_filter *code, const struct rule *rule,
			  int number, uint32_t action)
{
	unsigned n = put_load(code, offsetof(struct seccomp_data, nr));

	n += put_compare(&code[n], (uint32_t)number);
	for (unsigned i = 0; i < rule->count; i++) {
		const struct rule_condition *c = &rule->condition[i];
		size_t at = offsetof(struct seccomp_data, args[c->argument]);

		n += put_half(&code[n], at, (uint32_t)c->mask,
			      (uint32_t)c->value);
		n += put_half(&code[n], at + 4, (uint32_t)(c->mask >> 32),
			      (uint32_t)(c->value >> 32));
	}
	code[n++] = (struct sock_filter){BPF_RET | BPF_K, 0, 0, action};
	for (unsigned i = 0; i < n; i++) {
		if (code[i].jf == UINT8_MAX)
			code[i].jf = (uint8_t)(n - 1 - i);
	}
	return n;
}

unsigned entries_program(unsigned thread, bool trace, const char *dropped,
			 struct sock_filter *code)
{
	unsigned n = 0;

	for (unsigned i = 0; i < lists[thread].count; i++) {
		const struct entry *entry = &lists[thread].entry[i];
		uint32_t action = entry->rule.error
					  ? SECCOMP_RET_ERRNO |
						    (uint32_t)entry->rule.error
					  : SECCOMP_RET_ALLOW;

		if (trace)
			action = SECCOMP_RET_TRACE | thread << PLACE_BITS | i;
		if (!is_dropped(entry, dropped))
			n += put_entry(&code[n], &entry->rule, entry->number,
				       action);
	}
	code[n++] =
		(struct sock_filter){BPF_RET | BPF_K, 0, 0, SECCOMP_RET_TRAP};
	return n;
}
