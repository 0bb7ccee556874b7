/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one write() per line, from any thread, that never waits for who
 * reads it.
 *
 * Two styles.  LOG_PLAIN is for a person at a terminal ("stasis: warning: ...",
 * to stderr).  LOG_FIRECRACKER is what launchers parse: UTC with
 * nanoseconds, "[id:thread:LEVEL:file:line]", message.
 *
 * Levels say whose fault it is: ERROR and WARN are for the operator, INFO
 * tells what happened, DEBUG is for us.  What a guest did wrong goes through
 * log_guest(), which a guest cannot use to fill a disk.
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
	const char *id; /* stays valid; LOG_FIRECRACKER only */
	bool show_level;
	bool show_origin;
};

/* Before threads exist.  Without it: LOG_PLAIN warnings to stderr. */
void log_configure(const struct log_config *config);

/* While a terminal is raw, a line must end in CR LF. */
void log_set_raw_terminal(bool raw);

/* Lines for which there was no room. */
uint64_t log_lost(void);

bool log_enabled(enum log_level level);

void log_write(enum log_level level, const char *file, int line,
	       const char *format, ...) __attribute__((format(printf, 4, 5)));

#define log_at(level, ...) log_write(level, __FILE__, __LINE__, __VA_ARGS__)
#define log_error(...)     log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)      log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)      log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...)     log_at(LOG_DEBUG, __VA_ARGS__)

/*
 * One kind of thing a guest may do wrong: how often it happened, and what was
 * logged of it.  Static, one per call site; any thread.
 */
struct log_limit {
	_Atomic uint64_t count;   /* all */
	_Atomic uint64_t dropped; /* since the last line */
	_Atomic int64_t next_ns;  /* no line before this; CLOCK_MONOTONIC */
};

/* Count, and log a warning unless one was logged within the last second. */
void log_guest(struct log_limit *limit, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The same for what is nobody's fault here, or a client's. */
void log_limited(struct log_limit *limit, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* "2026-11-22T23:28:05", of seconds since 1970. */
enum { LOG_UTC_MAX = 64 };
void log_print_utc(char *text, size_t size, uint64_t seconds);

/* "error", "Warning", "INFO"...: as Firecracker spells them, in any case. */
bool log_parse_level(const char *text, enum log_level *level);
