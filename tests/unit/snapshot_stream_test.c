/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot that is sent to a pipe or a socket: snapshot/stream.c. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "snapshot/memory/memory_file.h"
#include "snapshot/publish.h"
#include "tests/unit/snapshot_job_world.h"
#include "tests/unit/testing.h"
#include "vmm/vm/vm_snapshot.h"

/* ------------------------------------------------------------------ readers */

/* Reads to the end of a stream, on a thread, into a file. */
struct reader {
	pthread_t thread;
	int from; /* -1: a FIFO, which is opened first */
	const char *fifo, *to;
	uint64_t stop_after; /* bytes; 0: at the end */
	uint64_t got;
};

static void *read_all(void *arg)
{
	struct reader *r = arg;
	int to = open(r->to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	static _Thread_local char buffer[65536];
	ssize_t n = 1;

	if (r->from < 0)
		r->from = open(r->fifo, O_RDONLY | O_CLOEXEC);
	while (n > 0 && (!r->stop_after || r->got < r->stop_after)) {
		n = read(r->from, buffer, sizeof(buffer));
		if (n > 0)
			io_pwrite(to, buffer, (size_t)n, r->got);
		r->got += n > 0 ? (uint64_t)n : 0;
	}
	close(r->from);
	close(to);
	return NULL;
}

static void start(struct reader *r)
{
	assert_int_equal(pthread_create(&r->thread, NULL, read_all, r), 0);
}

static void end(struct reader *r)
{
	pthread_join(r->thread, NULL);
}

static void make_memory(void)
{
	struct memory_mark *mark =
		(void *)(job_world.mem.region[0].host + vm_mark_offset());

	job_dirty(3 << 20, 9);
	job_dirty(JOB_RAM - 4096, 8);
	memset(mark->id, 77, sizeof(mark->id));
}

static const char *in_folder(const char *name)
{
	static char path[4][100];
	static unsigned next;

	next = (next + 1) % ARRAY_SIZE(path);
	snprintf(path[next], sizeof(path[0]), "%s/%s", job_world.folder, name);
	return path[next];
}

static const char *make_fifo(const char *name)
{
	const char *path = in_folder(name);

	assert_int_equal(mkfifo(path, 0600), 0);
	return path;
}

/* The files are a snapshot, and are all of RAM. */
static void assert_is_snapshot(const char *state, const char *memory)
{
	struct published p;
	AUTO_FREE uint8_t *bytes = malloc(JOB_RAM);
	struct err e;

	assert_ok(publish_open(&p, state, memory, &e), e);
	assert_int_equal(p.memory_size, JOB_RAM);
	assert_int_equal(io_pread(p.memory_fd, bytes, JOB_RAM, 0), JOB_RAM);
	assert_memory_equal(bytes, job_world.mem.region[0].host, JOB_RAM);
	publish_close(&p);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* -------------------------------------------------------------------- tests */

static void fifos_get_all_of_it(void **state)
{
	struct reader memory = {.from = -1, .to = job_world.memory};
	struct reader other = {.from = -1, .to = job_world.state};

	(void)state;
	make_memory();
	memory.fifo = job_memory_path = make_fifo("memory.fifo");
	other.fifo = job_state_path = make_fifo("state.fifo");
	start(&memory);
	start(&other);
	assert_int_equal(job_end(job_start(false, true)), 0);
	end(&memory);
	end(&other);
	assert_is_snapshot(job_world.state, job_world.memory);
}

/* Reading a hole of a file in memory that is mapped would fill it. */
static void what_is_not_there_is_not_touched(void **state)
{
	AUTO_CLOSE int base = testing_file(NULL, 0);
	struct reader memory = {.from = -1, .to = job_world.memory};
	struct stat before, after;
	struct err e;

	(void)state;
	assert_int_equal(ftruncate(base, JOB_RAM), 0);
	assert_ok(memory_file_map(&job_world.mem, base, &e), e);
	make_memory();
	assert_int_equal(fstat(base, &before), 0);
	memory.fifo = job_memory_path = make_fifo("memory.fifo");
	start(&memory);
	assert_int_equal(job_end(job_start(false, true)), 0);
	end(&memory);
	assert_int_equal(fstat(base, &after), 0);
	assert_int_equal(after.st_blocks, before.st_blocks);
	assert_is_snapshot(job_world.state, job_world.memory);
}

static void the_state_may_be_a_file(void **state)
{
	struct reader memory = {.from = -1, .to = job_world.memory};

	(void)state;
	make_memory();
	memory.fifo = job_memory_path = make_fifo("memory.fifo");
	start(&memory);
	assert_int_equal(job_end(job_start(false, true)), 0);
	end(&memory);
	assert_is_snapshot(job_world.state, job_world.memory);
}

static void a_socket_that_listens_gets_it(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	AUTO_CLOSE int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	struct reader memory = {.to = job_world.memory};
	struct snapshot_job *job;

	(void)state;
	if (listener < 0)
		fail();
	make_memory();
	job_memory_path = in_folder("socket");
	snprintf(address.sun_path, sizeof(address.sun_path), "%s",
		 job_memory_path);
	assert_int_equal(
		bind(listener, (struct sockaddr *)&address, sizeof(address)),
		0);
	/* Nobody listens. */
	assert_int_equal(job_end(job_start(false, true)), -1);
	assert_contains(job_world.e.text, "/socket: cannot send to it");
	assert_int_equal(listen(listener, 1), 0);
	job = job_start(false, true);
	memory.from = accept(listener, NULL, NULL);
	start(&memory);
	assert_int_equal(job_end(job), 0);
	end(&memory);
	assert_is_snapshot(job_world.state, job_world.memory);
}

static void descriptor_gets_it(int read_end, int write_end)
{
	struct reader memory = {.from = read_end, .to = job_world.memory};
	static char path[40];

	make_memory();
	snprintf(path, sizeof(path), "/dev/fd/%d", write_end);
	job_memory_path = path;
	start(&memory);
	assert_int_equal(job_end(job_start(false, true)), 0);
	/* It stays the VMM's. */
	assert_int_equal(close(write_end), 0);
	end(&memory);
	assert_is_snapshot(job_world.state, job_world.memory);
}

static void a_pipe_of_the_vmm_gets_it(void **state)
{
	int fd[2];

	(void)state;
	assert_int_equal(pipe(fd), 0);
	descriptor_gets_it(fd[0], fd[1]);
}

static void a_socket_of_the_vmm_gets_it(void **state)
{
	int fd[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	descriptor_gets_it(fd[0], fd[1]);
}

static void the_wrong_end_of_a_pipe_is_refused(void **state)
{
	char path[40];
	int fd[2];

	(void)state;
	assert_int_equal(pipe(fd), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd[0]);
	job_memory_path = path;
	assert_int_equal(job_end(job_start(false, true)), -1);
	assert_contains(job_world.e.text, "it is for reading");
	close(fd[0]);
	close(fd[1]);
}

static void a_reader_that_goes_away_is_told_of(void **state)
{
	struct reader memory = {
		.from = -1, .to = job_world.memory, .stop_after = 1 << 20};

	(void)state;
	memory.fifo = job_memory_path = make_fifo("memory.fifo");
	start(&memory);
	assert_int_equal(job_end(job_start(false, true)), -1);
	end(&memory);
	assert_contains(job_world.e.text, "its reader closed it after");
	assert_contains(job_world.e.text, job_memory_path);
	assert_false(job_file_exists("state"));
	assert_false(job_file_exists("state.next"));
}

static void assert_resume_cancels(struct snapshot_job *job)
{
	uint64_t began = now_ms();

	snapshot_job_let_go(job);
	assert_true(now_ms() - began < 200);
	assert_int_equal(job_end(job), -1);
	assert_true(now_ms() - began < 2000);
	assert_contains(job_world.e.text, "was cancelled");
	assert_false(job_file_exists("state"));
	assert_false(job_file_exists("state.next"));
}

static void to_resume_does_not_wait_for_a_reader(void **state)
{
	struct snapshot_job *job;
	int fd;

	(void)state;
	/* None that comes, and none that reads. */
	job_memory_path = make_fifo("memory.fifo");
	assert_resume_cancels(job_start(false, true));
	fd = open(job_memory_path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	job = job_start(false, true);
	usleep(100000);
	assert_resume_cancels(job);
	assert_int_equal(close(fd), 0);
}

/* RAM has been written to a file by then. */
static void nor_for_one_of_the_state(void **state)
{
	struct snapshot_job *job;
	int fd;

	(void)state;
	make_memory();
	job_state_path = make_fifo("state.fifo");
	fd = open(job_state_path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	testing_fill(fd);
	job = job_start(false, false);
	usleep(200000);
	assert_resume_cancels(job);
	assert_false(job_file_exists("memory"));
	close(fd);
}

static void the_end_does_not_wait_for_a_reader(void **state)
{
	struct snapshot_job *job;

	(void)state;
	job_memory_path = make_fifo("memory.fifo");
	job = job_start(false, true);
	usleep(50000);
	assert_true(snapshot_job_destroy(job));
	assert_false(job_file_exists("state.next"));
}

static void a_diff_is_not_sent(void **state)
{
	(void)state;
	job_memory_path = make_fifo("memory.fifo");
	assert_int_equal(job_end(job_start(true, true)), -1);
	assert_contains(job_world.e.text, "take a full snapshot");
}

#define with_job(test) \
	cmocka_unit_test_setup_teardown(test, job_set_up, job_tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		with_job(fifos_get_all_of_it),
		with_job(what_is_not_there_is_not_touched),
		with_job(the_state_may_be_a_file),
		with_job(a_socket_that_listens_gets_it),
		with_job(a_pipe_of_the_vmm_gets_it),
		with_job(a_socket_of_the_vmm_gets_it),
		with_job(the_wrong_end_of_a_pipe_is_refused),
		with_job(a_reader_that_goes_away_is_told_of),
		with_job(to_resume_does_not_wait_for_a_reader),
		with_job(nor_for_one_of_the_state),
		with_job(the_end_does_not_wait_for_a_reader),
		with_job(a_diff_is_not_sent),
	};

	alarm(60);
	log_configure(&(struct log_config){.level = LOG_OFF, .fd = -1});
	return RUN_TESTS("snapshot_stream", tests);
}
