/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/instance/metrics_sink.h"

#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/metrics.h"
#include "core/base/now.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "core/io/loop.h"

enum { PERIOD_S = 60 };

struct sink_counters {
	uint64_t missed_log_count, missed_metrics_count, metrics_fails;
	uint64_t rate_limited_log_count;
};

struct metrics_sink {
	struct metrics_sink_config config;
	int fd, timer_fd;
	struct event_source timer;
	struct buf rest; /* of a line that was written in part */
	struct sink_counters counters;
	struct metrics_group group;
};

static const struct metric counters[] = {
	METRIC(struct sink_counters, missed_log_count),
	METRIC(struct sink_counters, missed_metrics_count),
	METRIC(struct sink_counters, metrics_fails),
	METRIC(struct sink_counters, rate_limited_log_count),
};

static void print_line(struct metrics_sink *sink, struct buf *line)
{
	buf_printf(line, "{\"utc_timestamp_ms\":%llu,",
		   (unsigned long long)clock_now_ns(CLOCK_REALTIME) / 1000000);
	if (sink->config.id) {
		buf_text(line, "\"id\":");
		buf_json_string(line, sink->config.id);
		buf_text(line, ",");
	}
	if (sink->config.properties)
		buf_printf(line, "\"properties\":%s,", sink->config.properties);
	metrics_print_news(line, !sink->config.firecracker_only);
	buf_text(line, "}\n");
}

/* Write as much of @line as there is room for, and drop that from it.  True
 * when all of it is written. */
static bool put(struct metrics_sink *sink, struct buf *line)
{
	while (line->len) {
		ssize_t n = write(sink->fd, line->data, line->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		buf_drop(line, (size_t)n);
	}
	return true;
}

int metrics_sink_flush(struct metrics_sink *sink, struct err *e)
{
	struct buf line = {0};
	size_t len;

	metric_set(&sink->counters.missed_log_count, log_lost());
	metric_set(&sink->counters.rate_limited_log_count, log_limited_count());
	if (!put(sink, &sink->rest)) {
		metric_add(&sink->counters.missed_metrics_count, 1);
		return err_set(e, "%s has no room: nobody reads it",
			       sink->config.path);
	}
	print_line(sink, &line);
	len = line.len;
	if (line.failed || (!put(sink, &line) && line.len == len)) {
		metric_add(line.failed ? &sink->counters.metrics_fails
				       : &sink->counters.missed_metrics_count,
			   1);
		buf_free(&line);
		return err_set(e, "%s has no room: nobody reads it",
			       sink->config.path);
	}
	metrics_told();
	sink->rest = line;
	return 0;
}

static void on_timer(struct event_source *source, uint32_t events)
{
	struct metrics_sink *sink =
		container_of(source, struct metrics_sink, timer);
	struct err e;
	uint64_t ticks;

	(void)events;
	if (read(sink->timer_fd, &ticks, sizeof(ticks)) == sizeof(ticks) &&
	    metrics_sink_flush(sink, &e))
		log_debug("metrics: %s", e.text);
}

static int start_timer(struct metrics_sink *sink, struct err *e)
{
	static const struct itimerspec period = {
		.it_interval.tv_sec = PERIOD_S,
		.it_value.tv_sec = PERIOD_S,
	};

	sink->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	sink->timer.ready = on_timer;
	if (sink->timer_fd < 0 ||
	    timerfd_settime(sink->timer_fd, 0, &period, NULL) ||
	    loop_add(sink->config.loop, &sink->timer, sink->timer_fd, EPOLLIN))
		return err_errno(e, "cannot create a timer");
	return 0;
}

struct metrics_sink *metrics_sink_open(const struct metrics_sink_config *config,
				       struct err *e)
{
	struct metrics_sink *sink = calloc(1, sizeof(*sink));

	if (!sink) {
		err_errno(e, "cannot keep metrics");
		return NULL;
	}
	sink->config = *config;
	sink->timer_fd = sink->timer.fd = -1;
	sink->group = (struct metrics_group){
		.name = "logger",
		.metric = counters,
		.count = ARRAY_SIZE(counters),
		.base = &sink->counters,
	};
	metrics_add(&sink->group);
	sink->fd = io_open_sink(config->path, e);
	if (sink->fd < 0 || start_timer(sink, e)) {
		metrics_remove(&sink->group);
		loop_remove(config->loop, &sink->timer);
		util_close(&sink->timer_fd);
		util_close(&sink->fd);
		free(sink);
		return NULL;
	}
	if (metrics_sink_flush(sink, e))
		log_warn("metrics: %s", e->text);
	return sink;
}

void metrics_sink_close(struct metrics_sink *sink)
{
	struct err e;

	if (!sink)
		return;
	if (metrics_sink_flush(sink, &e))
		log_warn("metrics: %s", e.text);
	metrics_remove(&sink->group);
	loop_remove(sink->config.loop, &sink->timer);
	util_close(&sink->timer_fd);
	util_close(&sink->fd);
	buf_free(&sink->rest);
	free(sink);
}
