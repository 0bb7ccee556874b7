/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM whose RAM is filled by a page server, which may be slow, hang or die.
 *
 * The main thread does not touch missing pages.  It has prefault.h touch them
 * and checks again when they have arrived.  vCPUs wait for theirs, however long
 * that takes; vm_abandon() gets them out.
 *
 * A server that has closed its socket may have passed the userfaultfd on to
 * another process, so that alone is not an error.  After that, the VM ends with
 * an error if for STRIKES_MAX ticks in a row there is a page fault that no
 * process has read from the userfaultfd, and no page arrives.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/io/log.h"
#include "vmm/vm/prefault.h"
#include "vmm/vm/vm_internal.h"
#include "vmm/vm/vm_snapshot.h"

enum {
	TICK_MS = 250,
	STRIKES_MAX = 20,     /* ticks: 5 s */
	STRIKES_IF_ENDED = 4, /* 1 s: the process that listened has ended */
	ASK_AGAIN_TICKS = 16, /* 4 s */
};

/* ----------------------------------------------------------- server watched */

enum { MAJFLT = 10 }; /* in /proc/self/stat, after the command */

/*
 * How many pages the server has served: the major faults of this process,
 * because Linux counts every fault that was resolved after a wait as one
 * (mm_account_fault()).  Without /proc always 0: then only faults that were
 * read count as served.
 */
static long count_served(void)
{
	AUTO_CLOSE int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	char text[256] = "";
	char *at;

	if (fd >= 0)
		(void)io_pread(fd, text, sizeof(text) - 1, 0);
	at = strrchr(text, ')');
	for (unsigned i = 0; at && i < MAJFLT; i++)
		at = strchr(at + 1, ' ');
	return at ? strtol(at, NULL, 10) : 0;
}

/* End the VM: its page server does not serve pages any more. */
static void give_up(struct vm *vm)
{
	vm_paging_unwatch(vm);
	vcpu_set_fail(&vm->vcpus,
		      "the page server is gone: it closed its connection, and "
		      "serves no page that the guest waits for; restore the "
		      "snapshot with a server that lives");
}

/* Every TICK_MS after the server closed its socket. */
static void on_tick(struct event_source *source, uint32_t events)
{
	struct vm *vm = container_of(source, struct vm, paging.tick);
	struct vm_paging *p = &vm->paging;
	long served = count_served();
	uint64_t n;

	(void)events;
	if (read(source->fd, &n, sizeof(n)) != sizeof(n))
		return;
	p->strikes = uffd_is_unread(&vm->uffd) && served == p->served
			     ? p->strikes + 1
			     : 0;
	p->served = served;
	if (p->strikes >=
	    (uffd_server_has_ended(&vm->uffd) ? STRIKES_IF_ENDED : STRIKES_MAX))
		give_up(vm);
	else if (!p->strikes && p->ticks++ % ASK_AGAIN_TICKS == 0)
		uffd_ask_again(&vm->uffd, &vm->mem);
}

/* The page server closed its socket: start the ticks. */
static void on_server(struct event_source *source, uint32_t events)
{
	const struct itimerspec each = {
		.it_value.tv_nsec = TICK_MS * 1000000L,
		.it_interval.tv_nsec = TICK_MS * 1000000L,
	};
	struct vm *vm = container_of(source, struct vm, paging.server);
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	(void)events;
	loop_remove(vm->host.loop, source);
	log_warn("the page server closed its connection; the VM ends if it "
		 "does not serve pages any more");
	if (fd < 0 || timerfd_settime(fd, 0, &each, NULL) ||
	    loop_add(vm->host.loop, &vm->paging.tick, fd, EPOLLIN)) {
		log_warn("nobody looks whether it does: there is no timer");
		util_close(&fd);
	}
}

void vm_paging_unwatch(struct vm *vm)
{
	loop_remove(vm->host.loop, &vm->paging.server);
	loop_close(vm->host.loop, &vm->paging.tick);
}

/* -------------------------------------------------------------------- pages */

static void ask(void *context, const void *host, uint64_t len)
{
	prefault_ask(context, host, len);
}

static void on_arrived(void *context)
{
	struct vm *vm = context;

	virtio_slots_look(&vm->virtio);
	if (!vm->paging.is_awaited || !vm_restore_is_ready(vm))
		return;
	vm->paging.is_awaited = false;
	vm->host.ready(vm->host.context);
}

static bool is_present(const struct vm *vm, gpa_t gpa)
{
	return guest_mem_present(&vm->mem, guest_mem_at(&vm->mem, gpa, 1), 1);
}

/* The restore touches VMClock, VMGenID and the snapshot's mark, each in a page
 * of its own.  All three are asked for at once. */
bool vm_restore_is_ready(struct vm *vm)
{
	bool clock = is_present(vm, arch_layout.vmclock);
	bool id = is_present(vm, arch_layout.vmgenid);
	bool mark = is_present(vm, arch_layout.snapshot_id);

	vm->paging.is_awaited = !(clock && id && mark);
	return !vm->paging.is_awaited;
}

int vm_paging_start(struct vm *vm, struct err *e)
{
	struct vm_paging *p = &vm->paging;

	p->prefault = prefault_start(vm->host.loop, on_arrived, vm, e);
	if (!p->prefault)
		return -1;
	vm->mem.ask = ask;
	vm->mem.ask_context = p->prefault;
	p->server.ready = on_server;
	p->tick.ready = on_tick;
	if (loop_add(vm->host.loop, &p->server, vm->uffd.socket, EPOLLRDHUP))
		return err_errno(e, "cannot watch the page server");
	return 0;
}

void vm_paging_stop(struct vm *vm)
{
	vm_paging_unwatch(vm);
	uffd_release(&vm->uffd, &vm->mem);
	prefault_destroy(vm->paging.prefault);
	vm->paging.prefault = NULL;
	vm->mem.ask = NULL;
}
