/* SPDX-License-Identifier: Apache-2.0 */
#include "core/io/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/base/now.h"
#include "core/base/text.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/thread/lock.h"
#include "core/thread/thread.h"

enum { LINE_MAX_BYTES = 2048, DEFERRED_MAX = 8192 };

/* Only written before threads exist; raw_terminal may change later. */
static struct log_config config = {
	.level = LOG_WARN,
	.style = LOG_PLAIN,
	.fd = STDERR_FILENO,
};
static _Atomic enum io_kind kind; /* of config.fd */
static _Atomic bool raw_terminal;
static _Atomic uint64_t lost;
static _Atomic uint64_t limited; /* by write_limited() */

/*
 * A terminal is not writable while another writer, such as the guest's console,
 * writes to it; so a line waits for it, TERMINAL_TRIES times.
 */
enum { TERMINAL_PATIENCE_MS = 50, TERMINAL_TRIES = 2 };
static int patience_ms;
static _Atomic bool was_slow; /* it waited in vain: do not wait again */

static const char *const level_names[] = {
	[LOG_OFF] = "OFF",   [LOG_ERROR] = "ERROR", [LOG_WARN] = "WARN",
	[LOG_INFO] = "INFO", [LOG_DEBUG] = "DEBUG", [LOG_TRACE] = "TRACE",
};

/*
 * A terminal that may block gets single characters (io_nowait.c), between which
 * those of the guest appear if it is its console, too.
 */
static void write_whole_lines(void)
{
	static int terminal = -1;

	util_close(&terminal);
	terminal = io_reopen_nowait(config.fd);
	if (terminal >= 0)
		config.fd = terminal;
}

void log_configure(const struct log_config *c)
{
	int saved = errno;

	config = *c;
	kind = io_kind(c->fd);
	patience_ms = kind == IO_TERMINAL ? TERMINAL_PATIENCE_MS : 0;
	if (kind == IO_TERMINAL)
		write_whole_lines();
	errno = saved;
}

void log_set_raw_terminal(bool raw)
{
	raw_terminal = raw && io_kind(config.fd) == IO_TERMINAL;
}

bool log_enabled(enum log_level level)
{
	return level <= config.level;
}

static int head_plain(char *line, size_t size, enum log_level level)
{
	static const char *const heads[] = {
		[LOG_ERROR] = "stasis: error: ",
		[LOG_WARN] = "stasis: warning: ",
		[LOG_INFO] = "stasis: ",
		[LOG_DEBUG] = "stasis: debug: ",
		[LOG_TRACE] = "stasis: trace: ",
	};

	return snprintf(line, size, "%s", heads[level]);
}

struct date {
	unsigned year, month, day;
};

/*
 * The Gregorian date of a day since 1970-01-01.  libc's gmtime() would bring
 * its time zone files and scanf() into a static binary: 80 KiB.
 */
static struct date date_of(uint64_t day)
{
	/* Count years from March, so that a leap day is the last of a year. */
	uint64_t d = day + 719468, era = d / 146097, doe = d % 146097;
	uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	uint64_t month = (5 * doy + 2) / 153;

	return (struct date){
		.year = (unsigned)(yoe + era * 400 + (month >= 10)),
		.month = (unsigned)(month < 10 ? month + 3 : month - 9),
		.day = (unsigned)(doy - (153 * month + 2) / 5 + 1),
	};
}

void log_print_utc(char *text, size_t size, uint64_t seconds)
{
	struct date date = date_of(seconds / 86400);
	unsigned second = (unsigned)(seconds % 86400);

	snprintf(text, size, "%04u-%02u-%02uT%02u:%02u:%02u", date.year,
		 date.month, date.day, second / 3600, second / 60 % 60,
		 second % 60);
}

static int head_firecracker(char *line, size_t size, enum log_level level,
			    const char *file, int number)
{
	char origin[96] = "";
	char date[LOG_UTC_MAX];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	log_print_utc(date, sizeof(date), (uint64_t)now.tv_sec);
	if (config.show_origin)
		snprintf(origin, sizeof(origin), ":%s:%d", file, number);
	return snprintf(line, size, "%s.%09ld [%s:%s%s%s%s] ", date,
			now.tv_nsec, config.id, thread_name(),
			config.show_level ? ":" : "",
			config.show_level ? level_names[level] : "", origin);
}

/* Wait until the terminal is writable, at most patience_ms. */
static bool becomes_ready(void)
{
	struct pollfd out = {.fd = config.fd, .events = POLLOUT};
	int ready;

	if (!patience_ms)
		return false;
	ready = poll(&out, 1, was_slow ? 0 : patience_ms);
	if (!ready)
		was_slow = true;
	return ready == 1 && out.revents & POLLOUT;
}

/*
 * A slow reader of the log must not delay a vCPU: a line that cannot be written
 * without blocking is dropped and counted.
 */
static void put(const char *line, size_t len)
{
	unsigned tries = 0;

	while (len) {
		ssize_t n = io_write_nowait(config.fd, kind, line, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN && tries++ < TERMINAL_TRIES &&
		    becomes_ready())
			continue;
		if (n < 0) {
			atomic_fetch_add(&lost, 1);
			return;
		}
		was_slow = false;
		line += n;
		len -= (size_t)n;
	}
}

/* ---------------------------------------------- lines of other threads */

static _Thread_local int wake_fd = -1;

static struct {
	struct log_lock lock;
	GUARDED_BY(log_lock) size_t len;
	/* Lines, as they will be written. */
	GUARDED_BY(log_lock) char text[DEFERRED_MAX];
} deferred = {.lock = LOCK_INITIALIZER};

void log_defer(int fd)
{
	wake_fd = fd;
}

static void defer(const char *line, size_t len)
{
	log_lock_take(&deferred.lock);
	if (len <= DEFERRED_MAX - deferred.len) {
		memcpy(deferred.text + deferred.len, line, len);
		deferred.len += len;
	} else {
		atomic_fetch_add(&lost, 1);
	}
	log_lock_release(&deferred.lock);
	(void)eventfd_write(wake_fd, 1);
}

void log_write_deferred(void)
{
	char text[DEFERRED_MAX];
	size_t len, done = 0;

	log_lock_take(&deferred.lock);
	len = deferred.len;
	memcpy(text, deferred.text, len);
	deferred.len = 0;
	log_lock_release(&deferred.lock);
	while (done < len) {
		const char *end = memchr(text + done, '\n', len - done);
		size_t line = (size_t)(end - (text + done)) + 1;

		put(text + done, line);
		done += line;
	}
}

uint64_t log_lost(void)
{
	return atomic_load(&lost);
}

uint64_t log_limited_count(void)
{
	return atomic_load(&limited);
}

static void write_line(enum log_level level, const char *file, int number,
		       const char *format, va_list args)
	__attribute__((format(printf, 4, 0)));

static void write_line(enum log_level level, const char *file, int number,
		       const char *format, va_list args)
{
	char line[LINE_MAX_BYTES];
	/* Keep room for CR LF. */
	size_t room = sizeof(line) - 2, len;
	int saved = errno;
	int n;

	if (config.style == LOG_PLAIN)
		n = head_plain(line, room, level);
	else
		n = head_firecracker(line, room, level, file, number);
	len = min_u64((uint64_t)n, room - 1);
	n = vsnprintf(line + len, room - len, format, args);
	if (n > 0)
		len = min_u64(len + (uint64_t)n, room - 1);
	/* Text from files and clients must not forge lines. */
	text_make_printable(line, len);
	if (raw_terminal)
		line[len++] = '\r';
	line[len++] = '\n';
	if (wake_fd >= 0)
		defer(line, len);
	else
		put(line, len);
	errno = saved;
}

void log_last_words(const char *text)
{
	static const char head[] = "stasis: error: ";
	const char *end = raw_terminal ? "\r\n" : "\n";

	if (config.level >= LOG_ERROR)
		log_write(LOG_ERROR, __FILE__, __LINE__, "%s", text);
	if (config.level >= LOG_ERROR && config.fd == STDERR_FILENO)
		return;
	kind = io_kind(STDERR_FILENO);
	config.fd = STDERR_FILENO;
	put(head, sizeof(head) - 1);
	put(text, strlen(text));
	put(end, strlen(end));
}

void log_write(enum log_level level, const char *file, int line,
	       const char *format, ...)
{
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, format);
	write_line(level, file, line, format, args);
	va_end(args);
}

/* True for the one thread that may log within this second. */
static bool limit_take(struct log_limit *limit)
{
	int64_t now = (int64_t)clock_now_ns(CLOCK_MONOTONIC);
	int64_t next = atomic_load(&limit->next_ns);

	return now >= next &&
	       atomic_compare_exchange_strong(&limit->next_ns, &next,
					      now + 1000000000ll);
}

static void write_limited(struct log_limit *limit, const char *whose,
			  const char *format, va_list args)
	__attribute__((format(printf, 3, 0)));

static void write_limited(struct log_limit *limit, const char *whose,
			  const char *format, va_list args)
{
	char text[LINE_MAX_BYTES / 2];
	uint64_t dropped;

	atomic_fetch_add(&limit->count, 1);
	if (!log_enabled(LOG_WARN) || !limit_take(limit)) {
		atomic_fetch_add(&limit->dropped, 1);
		atomic_fetch_add(&limited, 1);
		return;
	}
	dropped = atomic_exchange(&limit->dropped, 0);
	vsnprintf(text, sizeof(text), format, args);
	if (dropped)
		log_warn("%s%s (and %llu more like it)", whose, text,
			 (unsigned long long)dropped);
	else
		log_warn("%s%s", whose, text);
}

void log_guest(struct log_limit *limit, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_limited(limit, "guest: ", format, args);
	va_end(args);
}

void log_limited(struct log_limit *limit, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_limited(limit, "", format, args);
	va_end(args);
}

bool log_parse_level(const char *text, enum log_level *level)
{
	if (!strcasecmp(text, "warning")) {
		*level = LOG_WARN;
		return true;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(level_names); i++) {
		if (!strcasecmp(text, level_names[i])) {
			*level = (enum log_level)i;
			return true;
		}
	}
	return false;
}
