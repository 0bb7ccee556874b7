/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics in a file or a FIFO: vmm/instance/metrics_sink.c.  What the reader of
 * a FIFO gets are whole lines whose numbers add up, however late it reads.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/base/metrics.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/io/loop.h"
#include "tests/unit/testing.h"
#include "vmm/instance/metrics_sink.h"

enum { ROOM = 1 << 20 };

static struct event_loop loop;
static char folder[40], path[64];
static char text[ROOM];
static struct metrics_sink_config config;
static struct metrics_sink *sink;
static struct itimerspec asked;

int __real_timerfd_settime(int fd, int flags, const struct itimerspec *spec,
			   struct itimerspec *old);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *spec,
			   struct itimerspec *old);

/* A thousand times as fast. */
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *spec,
			   struct itimerspec *old)
{
	struct itimerspec fast = {
		.it_interval.tv_nsec = spec->it_interval.tv_sec * 1000000 / 6,
		.it_value.tv_nsec = spec->it_value.tv_sec * 1000000 / 6,
	};

	asked = *spec;
	return __real_timerfd_settime(fd, flags, &fast, old);
}

/* What there is to count. */
static struct counted {
	uint64_t things, level, more;
	struct metric_latency wait;
} counted;

static const struct metric counted_table[] = {
	METRIC(struct counted, things),
	GAUGE(struct counted, level),
	EXTRA(struct counted, more),
	LATENCY(struct counted, wait),
};

static struct metrics_group group = {
	.name = "counted",
	.metric = counted_table,
	.count = ARRAY_SIZE(counted_table),
	.base = &counted,
};

static int set_up(void **state)
{
	struct err e;

	(void)state;
	log_configure(&(struct log_config){
		.level = LOG_OFF, .style = LOG_PLAIN, .fd = STDERR_FILENO});
	strcpy(folder, "/tmp/metrics_sink.XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/metrics", folder);
	assert_ok(loop_init(&loop, &e), e);
	config = (struct metrics_sink_config){.loop = &loop, .path = path};
	counted = (struct counted){0};
	metrics_add(&group);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	metrics_sink_close(sink);
	sink = NULL;
	metrics_remove(&group);
	loop_fini(&loop);
	unlink(path);
	return rmdir(folder);
}

static void open_it(void)
{
	struct err e;

	sink = metrics_sink_open(&config, &e);
	if (!sink)
		fail_msg("%s", e.text);
}

static unsigned lines(void)
{
	unsigned n = 0;

	for (const char *c = text; *c; c++)
		n += *c == '\n';
	return n;
}

/* The whole file; how many lines it has. */
static unsigned read_file(void)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	assert_true(n >= 0);
	text[n] = '\0';
	return lines();
}

static void
a_line_is_written_at_the_start_on_request_and_at_the_end(void **state)
{
	struct err e;

	(void)state;
	config.id = "a \"name\"";
	config.properties = "{\"a\":\"b\"}";
	open_it();
	assert_int_equal(read_file(), 1);
	assert_contains(text, "{\"utc_timestamp_ms\":");
	assert_contains(text, ",\"id\":\"a \\\"name\\\"\","
			      "\"properties\":{\"a\":\"b\"},\"counted\":{");
	assert_contains(text, "\"logger\":{\"missed_log_count\":");
	assert_contains(text, "}}\n");
	assert_ok(metrics_sink_flush(sink, &e), e);
	assert_int_equal(read_file(), 2);
	metrics_sink_close(sink);
	sink = NULL;
	assert_int_equal(read_file(), 3);
	metrics_sink_close(NULL);
}

static void a_line_has_what_is_new(void **state)
{
	struct err e;

	(void)state;
	counted = (struct counted){.things = 3, .level = 10};
	open_it();
	read_file();
	assert_contains(text, "\"things\":3,\"level\":10,");
	assert_int_equal(truncate(path, 0), 0);
	counted.things += 2;
	assert_ok(metrics_sink_flush(sink, &e), e);
	read_file();
	assert_contains(text, "\"things\":2,\"level\":10,");
}

static void a_line_is_written_every_minute(void **state)
{
	(void)state;
	open_it();
	assert_int_equal(asked.it_value.tv_sec, 60);
	assert_int_equal(asked.it_interval.tv_sec, 60);
	for (unsigned i = 0; i < 3; i++) {
		struct epoll_event event;

		assert_int_equal(epoll_wait(loop.epoll_fd, &event, 1, 10000),
				 1);
		((struct event_source *)event.data.ptr)
			->ready(event.data.ptr, event.events);
	}
	assert_int_equal(read_file(), 4);
}

/* What the reader of the FIFO @fd finds. */
static unsigned drain(int fd)
{
	testing_read_all(fd, text, sizeof(text));
	return lines();
}

static int make_fifo(void)
{
	int fd;

	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* Of the clock of latencies, that make so many microseconds. */
static uint64_t ticks(uint64_t us)
{
	return (us * metric_clock_hz() + 999999) / 1000000;
}

static void a_latency_is_what_passed(void **state)
{
	struct metric_latency l = {0};

	(void)state;
	metric_took(&l, metric_clock() - ticks(2000));
	metric_took(&l, metric_clock() - ticks(1000));
	assert_in_range(l.min, ticks(1000), ticks(2000) - 1);
	assert_in_range(l.max, ticks(2000), l.sum - l.min);
	assert_int_equal(l.max, l.sum - l.min);
}

/* Validators of Firecracker's lines reject what they do not know. */
static void what_is_not_firecrackers_is_apart(void **state)
{
	AUTO_CLOSE int fifo = make_fifo();
	struct err e;

	(void)state;
	open_it();
	counted.more = 3;
	counted.wait = (struct metric_latency){ticks(1), ticks(9), ticks(30)};
	assert_ok(metrics_sink_flush(sink, &e), e);
	counted.more = 7;
	counted.wait.sum = ticks(30) + ticks(5);
	assert_ok(metrics_sink_flush(sink, &e), e);
	assert_int_equal(drain(fifo), 3);
	assert_contains(text, "\"wait\":{\"min_us\":1,\"max_us\":9,"
			      "\"sum_us\":30}}");
	assert_contains(text, ",\"stasis\":{\"counted\":{\"more\":3}}}");
	assert_contains(text, "\"max_us\":9,\"sum_us\":5}}");
	assert_contains(text, ",\"stasis\":{\"counted\":{\"more\":4}}}");
}

static void what_is_not_firecrackers_can_be_left_out(void **state)
{
	AUTO_CLOSE int fifo = make_fifo();
	struct err e;

	(void)state;
	config.firecracker_only = true;
	open_it();
	counted.more = 3;
	assert_ok(metrics_sink_flush(sink, &e), e);
	assert_int_equal(drain(fifo), 2);
	assert_null(strstr(text, "more"));
	assert_null(strstr(text, "stasis"));
	assert_contains(text, "\"sum_us\":0}}");
}

/* Its numbers are in the next one, and that it was missed is told. */
static void a_line_without_room_is_in_the_next_one(void **state)
{
	AUTO_CLOSE int fifo = make_fifo();
	struct err e;

	(void)state;
	open_it();
	assert_int_equal(drain(fifo), 1);
	testing_fill(fifo);
	counted.things = 5;
	assert_err(metrics_sink_flush(sink, &e), e,
		   "has no room: nobody reads it");
	testing_read_all(fifo, text, sizeof(text));
	counted.things += 2;
	assert_ok(metrics_sink_flush(sink, &e), e);
	assert_int_equal(drain(fifo), 1);
	assert_contains(text, "\"things\":7,");
	assert_contains(text, "\"missed_metrics_count\":1,");
	assert_ok(metrics_sink_flush(sink, &e), e);
	assert_int_equal(drain(fifo), 1);
	assert_contains(text, "\"things\":0,");
}

/* Read this many bytes that testing_fill() wrote. */
static void skip_fill(int fd, size_t len)
{
	static char rest[1 << 20];

	assert_int_equal(read(fd, rest, len), len);
}

/* A line longer than what is free is written in part, and the rest of it
 * before anything else. */
static void half_a_line_is_completed_first(void **state)
{
	static char long_id[6000];
	AUTO_CLOSE int fifo = make_fifo();
	size_t filled;
	struct err e;

	(void)state;
	memset(long_id, 'x', sizeof(long_id) - 1);
	config.id = long_id;
	open_it();
	testing_read_all(fifo, text, sizeof(text));
	filled = testing_fill(fifo);
	skip_fill(fifo, 4096);
	counted.things = 5;
	assert_ok(metrics_sink_flush(sink, &e), e);
	/* There is room for nothing now: not even for the rest. */
	assert_err(metrics_sink_flush(sink, &e), e, "has no room");
	skip_fill(fifo, filled - 4096);
	assert_int_equal(drain(fifo), 0);
	assert_contains(text, "{\"utc_timestamp_ms\":");
	assert_ok(metrics_sink_flush(sink, &e), e);
	assert_int_equal(drain(fifo), 2);
	/* The rest of the id comes first. */
	assert_memory_equal(text, "xxxx", 4);
	assert_contains(text, "\"things\":5,");
	assert_contains(text, "\"things\":0,");
	assert_contains(text, "\"missed_metrics_count\":1,");
}

static void what_cannot_be_written_is_refused(void **state)
{
	unsigned before = testing_count_fds();
	struct err e;

	(void)state;
	config.path = folder;
	assert_null(metrics_sink_open(&config, &e));
	assert_contains(e.text, "cannot open");
	assert_int_equal(testing_count_fds(), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_line_is_written_at_the_start_on_request_and_at_the_end),
		TEST(a_line_has_what_is_new),
		TEST(a_line_is_written_every_minute),
		TEST(a_latency_is_what_passed),
		TEST(what_is_not_firecrackers_is_apart),
		TEST(what_is_not_firecrackers_can_be_left_out),
		TEST(a_line_without_room_is_in_the_next_one),
		TEST(half_a_line_is_completed_first),
		TEST(what_cannot_be_written_is_refused),
	};

	return RUN_TESTS("metrics_sink", tests);
}
