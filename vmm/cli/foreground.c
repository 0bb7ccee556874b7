/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/foreground.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "vmm/cli/cli.h"

int foreground_set_api_sock(void *context, const char *value, struct err *e)
{
	(void)e;
	((struct foreground *)context)->api_sock = value;
	return 0;
}

int foreground_set_console_full(void *context, const char *value, struct err *e)
{
	static const char *const words[2] = {"drop", "wait"};
	int i = options_parse_choice("console-full", value, words, e);

	((struct foreground *)context)->serial_waits = i == 1;
	return i < 0 ? -1 : 0;
}

int foreground_set_log_level(void *context, const char *value, struct err *e)
{
	struct foreground *f = context;

	f->level_given = true;
	if (log_parse_level(value, &f->level))
		return 0;
	return err_set(e,
		       "--log-level %.40s is not valid; choose error, "
		       "warning, info, debug or off",
		       value);
}

void foreground_init(struct foreground *f)
{
	*f = (struct foreground){
		.level = console_is_terminal() ? LOG_INFO : LOG_WARN,
	};
}

void foreground_log(const struct foreground *f)
{
	log_configure(&(struct log_config){
		.style = LOG_PLAIN,
		.fd = STDERR_FILENO,
		.level = f->level,
	});
}

void foreground_print_help(void)
{
	printf("\n"
	       "At a terminal, Ctrl-A x ends the VM and Ctrl-A a sends "
	       "Ctrl-A.\n"
	       "\n"
	       "Exit status: 0 if the guest powered off or reset, or you "
	       "ended the VM; 1 after\na failure; 148 if a thread made a "
	       "system call that its filter "
	       "forbids; 152 for\na --seccomp-filter that cannot be used; 153 "
	       "for options that are not valid;\n128 + N after signal N.\n");
}

int foreground_run(const struct foreground *f, launch_start *start,
		   void *context)
{
	struct api_config api = {
		.socket_path = f->api_sock,
		.listen_fd = -1,
		.ready_fd = -1,
		.body_max = API_BODY_MAX_DEFAULT,
	};
	struct launch l;
	struct err e;
	int status = launch_use_filters(f->seccomp_filter, f->no_seccomp, &e);

	if (status) {
		log_error("%s", e.text);
		return status;
	}
	status = EXIT_FAILED;
	if (launch_init(&l, &f->sandbox, "stasis", true, &e))
		log_error("%s", e.text);
	else {
		l.instance.serial_waits = f->serial_waits;
		l.no_seccomp = f->no_seccomp;
		l.no_snapshots = f->no_snapshots;
		status = launch_run(&l, start, context,
				    f->api_sock ? &api : NULL);
	}
	launch_fini(&l);
	return status;
}
