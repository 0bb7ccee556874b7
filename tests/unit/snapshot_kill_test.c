/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VMM that is killed at any system call of pausing, saving, publishing,
 * loading and resuming: the snapshot that was there before is whole, or the new
 * one is.  It is traced, so "at any" means each of them in turn.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "core/machine/mem.h"
#include "tests/unit/snapshot_world.h"
#include "tests/unit/testing.h"
#include "vmm/config/snapshot_bodies.h"
#include "vmm/instance/instance.h"

enum {
	NONE = 1, /* the status of a load that was refused */
	NEVER = 0,
	MARK = 40 << 20 /* in RAM, where nothing else is */
};

static char folder[64];

/* What it writes to: S and M, or descriptors of them, which are filled. */
static char state_path[100], memory_path[100];

static const char *path_of(const char *name)
{
	static char path[4][100];
	static unsigned next;

	next = (next + 1) % ARRAY_SIZE(path);
	snprintf(path[next], sizeof(path[0]), "%s/%s", folder, name);
	return path[next];
}

/* ------------------------------------------------------- what is done to it */

struct vmm {
	struct snapshot_world *w;
	struct instance in;
};

static void started(void *context, struct vm *vm)
{
	(void)context;
	(void)vm;
}

static void ended(void *context, int status)
{
	(void)context;
	_exit(status ? status : 1);
}

static void on_done(void *context, enum instance_task task, int result,
		    const struct err *e)
{
	(void)task;
	if (result)
		fprintf(stderr, "%s\n", e->text);
	if (result)
		_exit(1);
	loop_stop(context);
}

static void make(struct vmm *vmm)
{
	struct instance_host host = {
		.started = started,
		.ended = ended,
		.serial_out = -1,
		.serial_room = -1,
	};

	log_configure(&(struct log_config){
		.style = LOG_PLAIN, .fd = STDERR_FILENO, .level = LOG_ERROR});
	snapshot_world_set_up((void **)&vmm->w);
	host.loop = &vmm->w->loop;
	instance_init(&vmm->in, "killed", &host);
	vmm->in.on_done = on_done;
	vmm->in.on_done_context = &vmm->w->loop;
}

static uint8_t *mark(struct vmm *vmm)
{
	return vm_memory(vmm->in.vm)->region[0].host + MARK;
}

/* From here on it is traced. */
static void begin(void)
{
	raise(SIGSTOP);
}

static void must(int r, const struct err *e)
{
	if (!r)
		return;
	fprintf(stderr, "%s\n", e->text);
	_exit(1);
}

static void pause_it(struct vmm *vmm)
{
	struct err e;
	int r = instance_pause(&vmm->in, 60000, &e);

	/* This process is traced, and slow. */
	if (r == INSTANCE_LATER)
		r = loop_run(&vmm->w->loop, &e);
	vmm->w->loop.stopped = false;
	must(r, &e);
}

/* A guest with this letter in its RAM is paused, saved, and goes on. */
static int create(int letter)
{
	struct snapshot_create body = {.sync = true};
	struct vmm vmm;
	struct err e;

	make(&vmm);
	vmm.in.config = vmm.w->config;
	vm_config_init(&vmm.w->config);
	must(vm_config_set(&vmm.in.config.drive[0].block.path, path_of("disk"),
			   &e),
	     &e);
	must(instance_start(&vmm.in, &e), &e);
	*mark(&vmm) = (uint8_t)letter;
	must(vm_config_set(&body.state_path, state_path, &e), &e);
	must(vm_config_set(&body.memory_path, memory_path, &e), &e);
	begin();
	pause_it(&vmm);
	must(instance_snapshot(&vmm.in, &body, &e), &e);
	must(loop_run(&vmm.w->loop, &e), &e);
	must(instance_resume(&vmm.in, NULL, &e), &e);
	return 0;
}

/* Gives the letter. */
static int load(int ignored)
{
	struct snapshot_load body = {.resume = true};
	struct vmm vmm;
	struct err e;

	(void)ignored;
	make(&vmm);
	must(vm_config_set(&body.state_path, path_of("S"), &e), &e);
	must(vm_config_set(&body.memory_path, path_of("M"), &e), &e);
	begin();
	must(instance_load(&vmm.in, &body, &e), &e);
	return *mark(&vmm);
}

/* ------------------------------------------------------------------ killing */

static pid_t spawn(int (*what)(int), int letter)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	alarm(60);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP); /* until it is said how */
	_exit(what(letter));
}

struct killing {
	pid_t pid;
	unsigned at, stops; /* system calls are two stops each */
	bool begun;
};

/* One stop of one thread; what it goes on with. */
static int stopped(struct killing *k, pid_t pid, int status)
{
	bool is_call = WSTOPSIG(status) == (SIGTRAP | 0x80);

	if (pid == k->pid && WSTOPSIG(status) == SIGSTOP)
		k->begun = true; /* begin() */
	if (is_call && ++k->stops == k->at)
		kill(k->pid, SIGKILL);
	/* Also what a new thread begins with, and clone's own stop. */
	if (is_call || WSTOPSIG(status) == SIGSTOP ||
	    WSTOPSIG(status) == SIGTRAP)
		return 0;
	return WSTOPSIG(status);
}

/* Do it, and kill it at stop @at; its exit status, or -1 if it was killed. */
static int run(int (*what)(int), int letter, unsigned at, unsigned *stops)
{
	struct killing k = {.pid = spawn(what, letter), .at = at};
	int status;

	assert_int_equal(waitpid(k.pid, &status, 0), k.pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, k.pid, NULL,
				PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE |
					PTRACE_O_EXITKILL),
			 0);
	ptrace(PTRACE_CONT, k.pid, NULL, 0);
	for (;;) {
		pid_t pid = waitpid(-1, &status, __WALL);

		assert_true(pid > 0);
		if (WIFSTOPPED(status)) {
			long signal = stopped(&k, pid, status);

			ptrace(k.begun ? PTRACE_SYSCALL : PTRACE_CONT, pid,
			       NULL, signal);
		} else if (pid == k.pid) {
			break; /* its threads went before it */
		}
	}
	if (stops)
		*stops = k.stops;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ------------------------------------------------------------------- checks */

static unsigned count_files(void)
{
	DIR *dir = opendir(folder);
	unsigned n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static uint64_t sum_of(const char *name)
{
	AUTO_CLOSE int fd = open(path_of(name), O_RDONLY | O_CLOEXEC);
	uint64_t sum = 0, word;

	for (uint64_t at = 0; at < 1 << 20; at += sizeof(word)) {
		if (io_pread(fd, &word, sizeof(word), at) != sizeof(word))
			break;
		sum = sum * 31 + word;
	}
	return sum;
}

static int set_up(void **state)
{
	AUTO_CLOSE int fd = -1;

	(void)state;
	strcpy(folder, "/tmp/snapshot_kill.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	strcpy(state_path, path_of("S"));
	strcpy(memory_path, path_of("M"));
	fd = open(path_of("disk"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	return ftruncate(fd, SNAPSHOT_WORLD_DISK);
}

static int tear_down(void **state)
{
	static const char *const names[] = {"S", "M", "S.next", "M.next",
					    "disk"};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		unlink(path_of(names[i]));
	return rmdir(folder);
}

static void a_killed_create_leaves_the_old_or_the_new(void **state)
{
	unsigned stops, was_old = 0, was_new = 0;

	(void)state;
	assert_int_equal(run(create, 'A', NEVER, &stops), 0);
	assert_int_equal(run(load, 0, NEVER, NULL), 'A');
	assert_true(stops > 60);
	for (unsigned at = 1, old = 'A';; at++) {
		unsigned new = old == 'A' ? 'B' : 'A', found;
		int r = run(create, (int)new, at, NULL);

		found = (unsigned)run(load, 0, NEVER, NULL);
		if (found != old && found != new)
			fail_msg("killed at stop %u: neither is whole", at);
		was_old += found == old;
		was_new += found == new;
		/* Who writes next copes with what the last one left. */
		old = found;
		if (r >= 0)
			break;
	}
	assert_int_equal(count_files(), 3);
	assert_true(was_old > 40 && was_new > 1);
}

/*
 * Files that cannot be replaced: there may be none for a while, but never one
 * that is not whole.
 */
static void a_killed_create_in_place_leaves_old_new_or_none(void **state)
{
	AUTO_CLOSE int s =
		open(path_of("S"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	AUTO_CLOSE int m =
		open(path_of("M"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	unsigned was_none = 0, was_new = 0;
	int r = -1;

	(void)state;
	snprintf(state_path, sizeof(state_path), "/proc/self/fd/%d", s);
	snprintf(memory_path, sizeof(memory_path), "/proc/self/fd/%d", m);
	assert_int_equal(run(create, 'A', NEVER, NULL), 0);
	/* Each fifth, as publish_keep_test kills at every step of the files. */
	for (unsigned at = 1, old = 'A'; r < 0; at += 5) {
		unsigned new = old == 'A' ? 'B' : 'A', found;

		r = run(create, (int)new, at, NULL);
		found = (unsigned)run(load, 0, NEVER, NULL);
		if (found != old && found != new && found != NONE)
			fail_msg("killed at stop %u: it is not whole", at);
		was_none += found == NONE;
		was_new += found == new;
		/* What a kill left is written over. */
		if (found == NONE)
			assert_int_equal(run(create, (int)new, NEVER, NULL), 0);
		old = found == old ? old : new;
	}
	assert_int_equal(count_files(), 3);
	assert_true(was_none > 2 && was_new > 0);
}

static void a_killed_load_leaves_what_it_loaded(void **state)
{
	uint64_t state_sum, memory_sum;
	unsigned stops = 0;

	(void)state;
	assert_int_equal(run(create, 'A', NEVER, NULL), 0);
	state_sum = sum_of("S");
	memory_sum = sum_of("M");
	for (unsigned at = 1; run(load, 0, at, &stops) < 0; at++) {
		assert_int_equal(count_files(), 3);
		assert_true(sum_of("S") == state_sum &&
			    sum_of("M") == memory_sum);
		/* Nor is a lock left. */
		assert_int_equal(run(load, 0, NEVER, NULL), 'A');
	}
	assert_true(stops > 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_killed_create_leaves_the_old_or_the_new, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_killed_create_in_place_leaves_old_new_or_none, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_killed_load_leaves_what_it_loaded, set_up, tear_down),
	};

	return RUN_TESTS("snapshot_kill", tests);
}
