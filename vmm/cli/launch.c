/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>

#include "vmm/base/err.h"
#include "vmm/base/log.h"
#include "vmm/base/loop.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/console.h"
#include "vmm/config.h"
#include "vmm/mmio_bus.h"
#include "vmm/vm.h"

struct launch {
	struct event_loop loop;
	struct console console;
	struct vm *vm;
	int status;
};

static void on_guest_ended(void *context, enum vm_end end, const char *reason)
{
	struct launch *l = context;

	switch (end) {
	case VM_END_OFF:
		log_info("the guest powered off");
		break;
	case VM_END_RESET:
		log_info("the guest asked for a reset; a microVM ends then");
		break;
	case VM_END_ERROR:
		log_error("%s", reason);
		l->status = EXIT_FAILED;
		break;
	}
	loop_stop(&l->loop);
}

static int boot(struct launch *l, const struct vm_config *config, bool escapes,
		struct err *e)
{
	struct vm_host host = {
		.kvm_path = "/dev/kvm",
		.loop = &l->loop,
		.ended = on_guest_ended,
		.context = l,
	};

	if (console_open(&l->console, &l->loop, escapes, e))
		return -1;
	host.serial_out = l->console.out_fd;
	host.serial_room = l->console.room_fd;
	l->vm = vm_create(config, &host, e);
	if (!l->vm || vm_boot(l->vm, config, e))
		return -1;
	console_attach(&l->console, l->vm);
	return 0;
}

int cli_launch(const struct vm_config *config, bool escapes)
{
	struct launch l = {
		.status = EXIT_OK,
		.console = {.out_fd = -1,
			    .room_fd = -1,
			    .input.fd = -1,
			    .room.fd = -1},
	};
	struct err e = {0};

	/* A reader of our output that goes away must not end the guest. */
	signal(SIGPIPE, SIG_IGN);
	if (loop_init(&l.loop, &e) || boot(&l, config, escapes, &e) ||
	    loop_run(&l.loop, &e)) {
		l.status = EXIT_FAILED;
	}
	vm_destroy(l.vm);
	if (mmio_bus_missed())
		log_info("%llu accesses of the guest hit no device",
			 (unsigned long long)mmio_bus_missed());
	console_close(&l.console);
	if (l.status && e.text[0])
		log_error("%s", e.text);
	loop_fini(&l.loop);
	return l.status;
}
