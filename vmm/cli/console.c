/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/console.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "core/thread/thread.h"
#include "vmm/vm/vm.h"

enum { ESCAPE = 0x01 /* Ctrl-A */ };

/* ------------------------------------------------------------ the terminal */

/* Per process, because signal handlers read them. */
static struct termios cooked;
static volatile sig_atomic_t is_raw;

void console_restore_terminal(void)
{
	if (!is_raw)
		return;
	is_raw = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &cooked);
}

/* SA_RESETHAND restored the default action: the same again, by the instruction
 * that failed or by us, ends the process. */
static void on_deadly_signal(int number, siginfo_t *info, void *context)
{
	(void)context;
	console_restore_terminal();
	if (info->si_code <= 0)
		tgkill(thread_process(), thread_process(), number);
}

/* signals.c restores it for all others. */
static void restore_on_faults(void)
{
	static const int deadly[] = {SIGABRT, SIGFPE};
	struct sigaction action = {
		.sa_sigaction = on_deadly_signal,
		.sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(deadly); i++) {
		struct sigaction old;

		/* Keep ignoring what our parent set to ignored. */
		if (!sigaction(deadly[i], NULL, &old) &&
		    old.sa_handler != SIG_IGN)
			sigaction(deadly[i], &action, NULL);
	}
}

static void make_raw(void)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &cooked))
		return;
	raw = cooked;
	cfmakeraw(&raw);
	is_raw = 1;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	log_set_raw_terminal(isatty(STDERR_FILENO));
}

bool console_is_terminal(void)
{
	pid_t owner;

	if (!isatty(STDIN_FILENO))
		return false;
	owner = tcgetpgrp(STDIN_FILENO);
	/* owner < 0: there is no job control, so we are not in background. */
	return owner < 0 || owner == getpgrp();
}

/* ------------------------------------------------------------------ output */

/* Standard output, for io_write_nowait(): if possible, reopened so that it does
 * not block, the cheapest way. */
static int open_output(void)
{
	int fd = io_reopen_nowait(STDOUT_FILENO);

	return fd < 0 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3) : fd;
}

/* ------------------------------------------------------------------- input */

static void say(const char *text)
{
	log_info("%s", text);
}

/* Handle the key after Ctrl-A.  True if @key is to be sent to the guest. */
static bool escaped_key(struct console *c, uint8_t *key)
{
	switch (*key) {
	case 'x':
		say("ended by Ctrl-A x");
		c->ended = true;
		loop_stop(c->loop);
		return false;
	case 'a':
	case ESCAPE:
		*key = ESCAPE;
		return true;
	default:
		say("Ctrl-A x ends the VM, Ctrl-A a sends Ctrl-A");
		return false;
	}
}

/* Remove Ctrl-A commands from the pending input, and execute them. */
static void filter(struct console *c)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < c->pending_len; i++) {
		uint8_t key = c->pending[i];

		if (c->armed) {
			c->armed = false;
			if (!escaped_key(c, &key))
				continue;
		} else if (key == ESCAPE) {
			c->armed = true;
			continue;
		}
		c->pending[kept++] = key;
	}
	c->pending_len = kept;
}

/* False at the end of the input, or if none is available now. */
static bool read_more(struct console *c)
{
	ssize_t n = read(STDIN_FILENO, c->pending, sizeof(c->pending));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return false;
	if (n <= 0) {
		c->ended = true;
		loop_remove(c->loop, &c->input);
		return false;
	}
	c->pending_first = 0;
	c->pending_len = (unsigned)n;
	if (c->escapes)
		filter(c);
	return true;
}

/* True if the guest took all pending input. */
static bool deliver(struct console *c)
{
	size_t n = vm_serial_receive(c->vm, c->pending + c->pending_first,
				     c->pending_len);

	c->pending_first += (unsigned)n;
	c->pending_len -= (unsigned)n;
	return !c->pending_len;
}

static void watch_input(struct console *c, bool watch)
{
	int r;

	if (!watch) {
		loop_remove(c->loop, &c->input);
		return;
	}
	if (c->input.fd >= 0 || c->always_ready)
		return;
	r = loop_add(c->loop, &c->input, STDIN_FILENO, EPOLLIN);
	c->always_ready = r == -EPERM;
	c->ended |= r && !c->always_ready; /* for example EBADF */
}

static void pump(struct console *c)
{
	if (c->pending_len && !deliver(c)) {
		/* The serial port writes room_fd when it has room again. */
		watch_input(c, false);
		return;
	}
	if (!c->ended)
		watch_input(c, true);
	/* One buffer per turn of the event loop, which serves others, too. */
	if (c->always_ready && !c->ended && read_more(c))
		(void)eventfd_write(c->room_fd, 1);
}

static void on_input(struct event_source *source, uint32_t events)
{
	struct console *c = container_of(source, struct console, input);

	(void)events;
	if (read_more(c))
		pump(c);
}

static void on_room(struct event_source *source, uint32_t events)
{
	struct console *c = container_of(source, struct console, room);
	eventfd_t count;

	(void)events;
	(void)eventfd_read(c->room_fd, &count);
	pump(c);
}

/* -------------------------------------------------------------- life cycle */

int console_open(struct console *c, struct event_loop *loop, bool escapes,
		 struct err *e)
{
	*c = (struct console){
		.loop = loop,
		.is_ours = console_is_terminal(),
		.out_fd = open_output(),
		.room_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.input = {.fd = -1, .ready = on_input},
		.room = {.fd = -1, .ready = on_room},
	};
	c->escapes = escapes && c->is_ours;
	/* Before a filter forbids it. */
	if (isatty(STDIN_FILENO)) {
		/* So that a background process can restore it, too. */
		signal(SIGTTOU, SIG_IGN);
		restore_on_faults();
	}
	if (c->room_fd < 0 || loop_add(loop, &c->room, c->room_fd, EPOLLIN))
		return err_errno(e, "cannot create an eventfd");
	return 0;
}

void console_attach(struct console *c, struct vm *vm)
{
	c->vm = vm;
	if (isatty(STDIN_FILENO)) {
		if (!c->is_ours) {
			log_warn("in the background: the guest gets no input");
			return;
		}
		make_raw();
	} else if (!vm_has_serial(vm)) {
		return; /* no device would take the input */
	}
	pump(c);
}

void console_close(struct console *c)
{
	console_restore_terminal();
	log_set_raw_terminal(false);
	loop_remove(c->loop, &c->input);
	loop_remove(c->loop, &c->room);
	util_close(&c->room_fd);
	util_close(&c->out_fd);
}
