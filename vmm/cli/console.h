/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standard input and output as the guest's serial console.
 *
 * A terminal is made raw, and restored on every way out: console_close(), a
 * signal that asks for the end (signals.h), a fault of ours.  (Nothing can be
 * done about SIGKILL.)
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

#include "core/io/loop.h"

struct err;
struct vm;

enum { CONSOLE_INPUT_MAX = 256 };

struct console {
	struct event_loop *loop;
	struct vm *vm; /* NULL: nobody to type at */
	bool escapes;  /* Ctrl-A commands */
	bool armed;    /* Ctrl-A was typed */

	int out_fd;  /* for the guest's output, with io_write_nowait() */
	int room_fd; /* eventfd that the serial port writes */
	struct event_source input, room;

	uint8_t pending[CONSOLE_INPUT_MAX]; /* read, not yet taken */
	unsigned pending_first, pending_len;
	bool always_ready; /* a regular file, which epoll cannot watch */
	bool ended;        /* end of input, or the user asked for the end */
};

/* @escapes: let a person at a terminal end the VM with Ctrl-A x. */
int console_open(struct console *console, struct event_loop *loop, bool escapes,
		 struct err *e);
/* From now on @vm gets the input, and a terminal is raw. */
void console_attach(struct console *console, struct vm *vm);
void console_close(struct console *console);
/* Async-signal-safe; nothing happens unless it is raw. */
void console_restore_terminal(void);

/* Does a person sit there? */
bool console_is_terminal(void);
