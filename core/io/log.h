/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one write() per line, from any thread, that never blocks on the
 * reader.
 *
 * Two styles.  LOG_PLAIN is for a person at a terminal ("stasis: warning: ...",
 * to stderr).  LOG_FIRECRACKER is what launchers parse: UTC with
 * nanoseconds, "[id:thread:LEVEL:file:line]", message.
 *
 * Levels: ERROR and WARN are for the operator to act on, INFO reports what
 * happened, DEBUG is for stasis' developers.  Misbehaviour of a guest goes
 * through log_guest(), whose rate is limited so that a guest cannot fill a
 * disk.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level {
	LOG_OFF,
	LOG_ERROR,
	LOG_WARN,
	LOG_INFO,
	LOG_DEBUG,
	LOG_TRACE,
};

enum log_style { LOG_PLAIN, LOG_FIRECRACKER };

struct log_config {
	enum log_level level;
	enum log_style style;
	int fd;
	const char *id; /* LOG_FIRECRACKER only; must stay valid */
	bool show_level;
	bool show_origin;
};

/*
 * Call before threads exist.  Without it: LOG_PLAIN, warnings and errors, to
 * stderr.
 */
void log_configure(const struct log_config *config);

/* While the terminal is in raw mode, lines end in CR LF. */
void log_set_raw_terminal(bool raw);

/* Number of lines lost because they could not be written without blocking. */
uint64_t log_lost(void);
/* Number of lines that a rate limit suppressed. */
uint64_t log_limited_count(void);

bool log_enabled(enum log_level level);

/* Write one line, if @level is enabled.  Use the macros below. */
void log_write(enum log_level level, const char *file, int line,
	       const char *format, ...) __attribute__((format(printf, 4, 5)));

#define log_at(level, ...) log_write(level, __FILE__, __LINE__, __VA_ARGS__)
#define log_error(...)     log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)      log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)      log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...)     log_at(LOG_DEBUG, __VA_ARGS__)

/*
 * The calling thread's lines wait for the main thread from now on, because this
 * one may not write to files: @wake_fd, an eventfd, is written for each, and
 * the main thread calls log_write_deferred().  Lines that have no room are
 * counted as lost.
 */
void log_defer(int wake_fd);
void log_write_deferred(void);

/*
 * Write one line at level error from a signal handler of the main thread, also
 * to standard error if the log is elsewhere.
 */
void log_last_words(const char *text);

/*
 * Rate limit for one kind of message: how often it happened, and how much of
 * that was logged.  Static, one per call site; any thread.
 */
struct log_limit {
	_Atomic uint64_t count;   /* all, logged or not */
	_Atomic uint64_t dropped; /* not logged since the last line */
	_Atomic int64_t next_ns;  /* CLOCK_MONOTONIC; no line before this */
};

/*
 * Count guest misbehaviour, and log a warning ("guest: ...") unless one was
 * logged within the last second.
 */
void log_guest(struct log_limit *limit, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The same, without "guest: ", for anything that the guest did not cause. */
void log_limited(struct log_limit *limit, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Print @seconds since 1970 (UTC) as "2026-11-22T23:28:05". */
enum { LOG_UTC_MAX = 64 };
void log_print_utc(char *text, size_t size, uint64_t seconds);

/*
 * Parse a level as Firecracker spells it ("error", "Warning", "INFO" ...), in
 * any case.  False if it is not one.
 */
bool log_parse_level(const char *text, enum log_level *level);
