/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standard input and output as the guest's serial console.
 *
 * A terminal is put into raw mode, and restored by console_close(), by the
 * handlers of termination signals (signals.h) and by those of fatal signals
 * such as SIGSEGV.  It is not restored after SIGKILL.
 *
 * Main thread, except console_restore_terminal().
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
	struct vm *vm; /* gets the input; NULL: not attached yet */
	bool escapes;  /* interpret Ctrl-A commands */
	bool is_ours;  /* console_is_terminal(), when it was opened */
	bool armed;    /* the last key was Ctrl-A */

	int out_fd;  /* guest output; write it with io_write_nowait() */
	int room_fd; /* eventfd: the serial port can take more input */
	struct event_source input, room;

	uint8_t pending[CONSOLE_INPUT_MAX]; /* read, not yet taken by the guest
					     */
	unsigned pending_first, pending_len;
	bool always_ready; /* a regular file, which epoll cannot watch */
	bool ended;        /* end of input, or Ctrl-A x */
};

/* @escapes: interpret Ctrl-A x, if standard input is a terminal. */
int console_open(struct console *console, struct event_loop *loop, bool escapes,
		 struct err *e);
/* Send input to @vm from now on, and put a terminal into raw mode. */
void console_attach(struct console *console, struct vm *vm);
void console_close(struct console *console);
/* Async-signal-safe.  Does nothing unless the terminal is in raw mode. */
void console_restore_terminal(void);

/* True if standard input is a terminal and we are its foreground job. */
bool console_is_terminal(void);
