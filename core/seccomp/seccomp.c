/* SPDX-License-Identifier: Apache-2.0 */
#include "core/seccomp/seccomp.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/io/log.h"
#include "core/seccomp/filter_file.h"
#include "core/seccomp/placeholder.h"
#include "core/seccomp/programs.h"
#include "core/seccomp/violation.h"
#include "core/thread/thread.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif

/* Written before threads exist. */
static bool enabled, sealed, expects_threads, no_snapshots;
/* What seccomp_use_file() read. */
static struct filter_file custom;

/* Put the value that only this process knows into a program. */
static void place_pid(struct sock_filter *code, unsigned len)
{
	for (unsigned i = 0; i < len; i++) {
		if (code[i].k == SECCOMP_OWN_PID)
			code[i].k = (unsigned)thread_process();
	}
}

int seccomp_use_file(const char *path, struct err *e)
{
	struct filter_file file;

	if (filter_file_load(path, &file, e))
		return err_prefix(e, "--seccomp-filter");
	if (filter_file_suffices(&file, e)) {
		filter_file_fini(&file);
		return err_prefix(e, "--seccomp-filter %.512s", path);
	}
	for (unsigned t = 0; t < SECCOMP_THREADS; t++)
		place_pid((struct sock_filter *)file.code[t], file.len[t]);
	custom = file;
	return 0;
}

int seccomp_enable(void (*last)(void), struct err *e)
{
#ifdef HAS_SANITIZER
	(void)last;
	(void)e;
	log_warn("no seccomp filters: this build has sanitizers");
	return 0;
#else
	/* Both are asked for once: filters do not allow it. */
	(void)thread_process();
	(void)thread_name();
	if (violation_watch(last))
		return err_errno(e, "cannot prepare seccomp filters");
	enabled = true;
	return 0;
#endif
}

unsigned seccomp_program(unsigned thread, struct sock_filter *code)
{
	const unsigned len = seccomp_first[thread + 1] - seccomp_first[thread];

	for (unsigned i = 0; i < len; i++) {
		const struct seccomp_instruction *in =
			&seccomp_instructions[seccomp_first[thread] + i];

		code[i] = (struct sock_filter){seccomp_codes[in->code], in->jt,
					       in->jf, seccomp_operands[in->k]};
	}
	return len;
}

/* The program of @thread: a file's where it is, because it may be long; a
 * built-in one in @room. */
static struct sock_fprog program(enum seccomp_thread thread,
				 struct sock_filter *room)
{
	unsigned len;

	if (thread != SECCOMP_NO_SNAPSHOTS && custom.len[thread])
		return (struct sock_fprog){
			.len = (unsigned short)custom.len[thread],
			.filter = (struct sock_filter *)custom.code[thread]};
	len = seccomp_program(thread, room);
	place_pid(room, len);
	return (struct sock_fprog){.len = (unsigned short)len, .filter = room};
}

void seccomp_enter(enum seccomp_thread thread)
{
	struct sock_filter room[SECCOMP_INSTRUCTIONS_MAX];
	struct sock_fprog prog;

	if (!enabled)
		return;
	violation_name_thread(thread);
	/* All later threads would inherit it, and it knows nothing of what a
	 * file lets them do. */
	if (thread == SECCOMP_SETUP && custom.memory && !custom.len[thread])
		return;
	prog = program(thread, room);
	if (!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog))
		return;
	log_error("cannot install a seccomp filter: %s; a kernel with "
		  "CONFIG_SECCOMP_FILTER is needed, or --no-seccomp",
		  strerror(errno));
	_exit(1);
}

void seccomp_expect_threads(void)
{
	expects_threads = true;
}

void seccomp_forbid_snapshots(void)
{
	no_snapshots = true;
}

static void enter_starter(void)
{
	seccomp_enter(SECCOMP_STARTER);
}

void seccomp_seal(void)
{
	if (!enabled || sealed)
		return;
	sealed = true;
	if (no_snapshots)
		seccomp_enter(SECCOMP_NO_SNAPSHOTS);
	else if (expects_threads && thread_starter(enter_starter))
		log_warn("cannot start a thread: no snapshot can be written");
	seccomp_enter(SECCOMP_MAIN);
}
