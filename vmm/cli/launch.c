/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cli/launch.h"

#include <signal.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/fd_limit.h"
#include "core/io/leftover.h"
#include "core/io/log.h"
#include "core/machine/mmio_bus.h"
#include "core/seccomp/seccomp.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/signals.h"

static void on_confine(void *context, const struct vm_config *config)
{
	const struct launch *l = context;

	sandbox_enter(&l->sandbox, config);
}

static void on_started(void *context, struct vm *vm)
{
	struct launch *l = context;

	console_attach(&l->console, vm);
}

static void on_ended(void *context, int status)
{
	struct launch *l = context;

	l->status = status;
	loop_stop(&l->loop);
}

/* A termination signal: stop the loop; exit with its status. */
static void on_signal(struct event_source *source, uint32_t events)
{
	struct launch *l = container_of(source, struct launch, signals);

	(void)events;
	instance_stopped(&l->instance, signals_name(signals_first()));
	l->status = signals_log();
	loop_stop(&l->loop);
}

int launch_allow_path(void *context, const char *value, struct err *e)
{
	return sandbox_allow(context, value, e);
}

int launch_use_filters(const char *path, bool no_seccomp, struct err *e)
{
	if (path && no_seccomp) {
		err_set(e, "--no-seccomp and --seccomp-filter exclude each "
			   "other; leave one out");
		return EXIT_BAD_ARGUMENTS;
	}
	return path && seccomp_use_file(path, e) ? EXIT_BAD_CONFIG : EXIT_OK;
}

int launch_init(struct launch *l, const struct sandbox *sandbox, const char *id,
		bool escapes, struct err *e)
{
	struct instance_host host = {
		.loop = &l->loop,
		.confine = on_confine,
		.started = on_started,
		.ended = on_ended,
		.context = l,
	};
	int r;

	sandbox_begin(sandbox);
	*l = (struct launch){
		.sandbox = *sandbox,
		.loop.epoll_fd = -1,
		.status = EXIT_OK,
		.signals = {.fd = -1, .ready = on_signal},
		.console = {.out_fd = -1,
			    .room_fd = -1,
			    .input.fd = -1,
			    .room.fd = -1},
	};
	/* A closed output pipe must not end the guest: EPIPE instead. */
	signal(SIGPIPE, SIG_IGN);
	/* Nor must RLIMIT_FSIZE: write() fails with EFBIG instead. */
	signal(SIGXFSZ, SIG_IGN);
	fd_limit_raise();
	r = loop_init(&l->loop, e);
	if (!r)
		r = console_open(&l->console, &l->loop, escapes, e);
	host.serial_out = l->console.out_fd;
	host.serial_room = l->console.room_fd;
	instance_init(&l->instance, id, &host);
	api_metrics_add();
	signals_metrics_add();
	return r;
}

void launch_fini(struct launch *l)
{
	/* The caller exits: nothing of the VM is needed again. */
	vm_is_last(l->instance.vm);
	instance_fini(&l->instance);
	api_metrics_remove();
	signals_metrics_remove();
	if (mmio_bus_missed())
		log_info("%llu accesses of the guest hit no device",
			 (unsigned long long)mmio_bus_missed());
	console_close(&l->console);
	signals_unwatch(&l->loop, &l->signals);
	loop_fini(&l->loop);
	if (signals_first())
		signals_die();
}

/* A violation of a filter ends the process: leave nothing behind.  In a signal
 * handler. */
static void last_acts(void)
{
	console_restore_terminal();
	leftover_remove_all();
}

static int install_filters(const struct launch *l, struct err *e)
{
	if (l->no_seccomp) {
		log_warn("--no-seccomp: a guest that breaks out of its "
			 "microVM may make every system call");
		return 0;
	}
	return seccomp_enable(last_acts, e);
}

int launch_boot(void *context, struct instance *instance, struct err *e)
{
	(void)context;
	return instance_start(instance, e);
}

int launch_run(struct launch *l, launch_start *start, void *context,
	       struct api_config *api_config)
{
	struct api *api = NULL;
	struct err e = {0};
	int r = signals_watch(&l->loop, &l->signals, &e);

	l->instance.no_snapshots = l->no_snapshots;
	if (l->no_snapshots)
		seccomp_forbid_snapshots();
	if (!r)
		r = install_filters(l, &e);
	if (!r && api_config) {
		seccomp_expect_threads();
		api_config->loop = &l->loop;
		api_config->instance = &l->instance;
		l->sandbox.has_api = true;
		if (api_config->listen_fd < 0)
			l->sandbox.api_sock = api_config->socket_path;
		api = api_start(api_config, &e);
		r = api ? 0 : -1;
	}
	if (!r && !start)
		seccomp_enter(SECCOMP_SETUP);
	if (!r && start)
		r = start(context, &l->instance, &e);
	if (!r)
		r = loop_run(&l->loop, &e);
	if (r)
		l->status = EXIT_FAILED;
	/* The log copes with a raw terminal, so the order does not matter. */
	if (r)
		log_error("%s", e.text);
	instance_close_metrics(&l->instance);
	api_stop(api);
	return l->status;
}
