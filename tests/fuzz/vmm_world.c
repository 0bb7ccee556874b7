/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/vmm_world.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/machine/mem.h"
#include "snapshot/memory/memory_file.h"
#include "snapshot/state_file.h"
#include "tests/fake/kvm_fake.h"
#include "tests/fake/net_fake.h"
#include "tests/fake/sandbox.h"
#include "tests/fake/uring_fake.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/config/config.h"
#include "vmm/vm/vm_snapshot.h"

enum { PAGE = 4096 }; /* the host's */

struct vmm_world vmm_world;

static struct vm_config config;
static int serial_fd;
/* What the last diff goes over: the memory that was saved last, or that which
 * the VM was restored from; -1: none. */
static int last_fd = -1, loaded_fd = -1;

static void on_ended(void *context, enum vm_end end, const char *reason)
{
	(void)context;
	(void)end;
	(void)reason;
	vmm_world.ended = true;
}

static struct vm_host host(void)
{
	return (struct vm_host){
		.kvm_path = "kvm",
		.loop = &vmm_world.loop,
		.serial_out = serial_fd,
		.serial_room = -1,
		.ended = on_ended,
	};
}

/* ------------------------------------------------------------ configuration */

static void put_drive(const char *id, bool async)
{
	struct drive_config drive = {
		.block.id = strdup(id),
		.block.path = strdup(id),
		.block.writeback = true,
		.block.async = async,
		.root = !async,
	};
	struct err e;

	must(!vm_config_put_drive(&config, &drive, &e));
}

static void configure(bool tracked)
{
	struct interface_config interface = {
		.net.id = strdup("n"),
		.net.tap = strdup("t"),
		.net.tx_limiter.ops = {.size = 3, .refill_time_ms = 50},
	};
	struct err e;

	vm_config_init(&config);
	config.vcpu_count = 2;
	config.mem_mib = WORLD_MIB;
	config.track_dirty = tracked;
	config.has_entropy = true;
	config.has_balloon = true;
	config.balloon.amount_mib = 4;
	config.balloon.free_page_hinting = true;
	config.balloon.free_page_reporting = true;
	config.balloon.stats_polling_interval_s = 1;
	must(!vm_config_set(&config.kernel, "k", &e));
	must(!vm_config_set(&config.cmdline, "console=ttyS0", &e));
	put_drive("sync", false);
	put_drive("async", true);
	must(!vm_config_put_interface(&config, &interface, &e));
	must(!vm_config_set(&config.vsock.uds_path, "v", &e));
	config.vsock.guest_cid = 3;
}

static void write_file(const char *name, const void *data, size_t len,
		       off_t size)
{
	int fd = open(name, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);

	must(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	must(!ftruncate(fd, size));
	close(fd);
}

/* A host program that a guest can reach, and never takes anything. */
static void listen_for_guest(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "v_52"};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	must(fd >= 0 && !bind(fd, (struct sockaddr *)&name, sizeof(name)));
	must(!listen(fd, 1));
}

static void set_up(void)
{
	uint8_t image[4096] = {0};

	log_configure(&(struct log_config){.level = LOG_OFF, .fd = 2});
	sandbox_enter("vmm_fuzz");
	memcpy(image + 56, "ARM\x64", 4);
	image[16 + 1] = 0x10; /* image_size = 4096 */
	write_file("k", image, sizeof(image), sizeof(image));
	listen_for_guest();
	serial_fd = open("serial", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	must(serial_fd >= 0);
	net_fake_no_vhost = 1;
	net_fake_host = 0;
}

/* -------------------------------------------------------------- the machine */

void vmm_world_begin(bool tracked)
{
	static bool is_set_up;
	const struct vm_host h = host();
	struct err e;

	if (!is_set_up)
		set_up();
	is_set_up = true;
	must(!ftruncate(serial_fd, 0));
	write_file("sync", "", 0, 64 * 512);
	write_file("async", "", 0, 64 * 512);
	uring_fake_reset();
	kvm_fake_reset();
	configure(tracked);
	must(!loop_init(&vmm_world.loop, &e));
	vmm_world.ended = false;
	for (unsigned i = 0; i < WORLD_VSOCK_MAX; i++)
		vmm_world.vsock[i] = -1;
	vmm_world.vm = vm_create(&config, &h, &e);
	must(vmm_world.vm && !vm_boot(vmm_world.vm, &config, &e));
	vmm_world.tap = net_fake_host;
}

static void destroy(void)
{
	vmm_world_finish_requests();
	vm_destroy(vmm_world.vm);
	vmm_world.vm = NULL;
	close(vmm_world.tap);
}

void vmm_world_end(void)
{
	destroy();
	for (unsigned i = 0; i < WORLD_VSOCK_MAX; i++)
		util_close(&vmm_world.vsock[i]);
	loop_fini(&vmm_world.loop);
	vm_config_fini(&config);
	util_close(&last_fd);
	util_close(&loaded_fd);
}

void vmm_world_turn(void)
{
	struct event_loop *loop = &vmm_world.loop;

	for (unsigned turn = 0; turn < 8; turn++) {
		int n = epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, 0);

		loop->batch_count = n;
		for (int i = 0; i < loop->batch_count; i++) {
			struct event_source *source = loop->batch[i].data.ptr;

			if (source)
				source->ready(source, loop->batch[i].events);
		}
		loop->batch_count = 0;
		if (n <= 0)
			return;
	}
}

void vmm_world_finish_requests(void)
{
	while (uring_fake.waiting) {
		uring_fake_complete(0, URING_FAKE_DO, false);
		vmm_world_turn();
	}
}

bool vmm_world_pause(void)
{
	struct err e = {""};

	/* Where nothing is waited for, it fails at once, or takes its time. */
	if (!(uring_fake.waiting ? vm_pause_within(vmm_world.vm, 0, &e)
				 : vm_pause(vmm_world.vm, &e)))
		return true;
	must(strstr(e.text, "the VM runs on, try again"));
	return false;
}

void vmm_world_resume(bool continuous)
{
	const struct clock_request request = {
		.policy = continuous ? CLOCK_CONTINUOUS : CLOCK_FROZEN,
		.unsynchronized = true,
		.has_max_jump = true,
		.max_jump_ms = UINT64_MAX,
	};
	struct err e = {""};

	must(!vm_resume(vmm_world.vm, &request, &e));
}

/* ---------------------------------------------------------------- snapshots */

static int new_file(void)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);

	must(fd >= 0);
	return fd;
}

static void read_page(int fd, uint64_t i, uint8_t *page)
{
	must(pread(fd, page, PAGE, (off_t)(i * PAGE)) == PAGE);
}

/* What is in a page that nobody touched, without touching it. */
static void untouched(const struct guest_mem *mem, uint64_t i, uint8_t *page)
{
	const uint8_t *at = mem->region[0].host + i * PAGE;

	if (guest_mem_run_at(mem, at, PAGE).origin == GUEST_MEM_FILE)
		read_page(loaded_fd, i, page);
	else
		memset(page, 0, PAGE);
}

/* The file is guest RAM, to the byte. */
static void compare(int fd)
{
	static uint64_t present[(WORLD_MIB << 20) / PAGE];
	const struct guest_mem *mem = vm_memory(vmm_world.vm);
	const struct guest_mem_region *r = mem->region;
	const off_t first = (off_t)((uintptr_t)r->host / PAGE * 8);
	AUTO_CLOSE int pagemap = open("/proc/self/pagemap", O_RDONLY);
	uint8_t saved[PAGE], page[PAGE];
	off_t data = 0; /* the file has none before */

	must(sysconf(_SC_PAGESIZE) == PAGE && r->size == WORLD_MIB << 20);
	must(pread(pagemap, present, sizeof(present), first) ==
	     sizeof(present));
	for (uint64_t i = 0; i < ARRAY_SIZE(present); i++) {
		bool is_there = present[i] >> 62; /* or swapped */

		if (data >= 0 && data < (off_t)(i * PAGE))
			data = lseek(fd, (off_t)(i * PAGE), SEEK_DATA);
		/* A hole where nothing was: most are. */
		if (!is_there && data != (off_t)(i * PAGE))
			continue;
		read_page(fd, i, saved);
		if (!is_there)
			untouched(mem, i, page);
		must(!memcmp(saved, is_there ? r->host + i * PAGE : page,
			     PAGE));
	}
}

/* All of RAM, or what changed, over a copy of what it goes over. */
static int save_memory(void)
{
	struct vm *vm = vmm_world.vm;
	int base = config.track_dirty ? last_fd : loaded_fd, fd = new_file();
	struct memory_save save = {.mem = vm_memory(vm), .fd = fd};
	struct vm_changes changes;
	struct err e;

	must(!vm_changes_take(vm, &changes, &e));
	must(changes.known == (base >= 0));
	if (changes.known) {
		vm_changes_mark(vm, &changes);
		must(!memory_file_copy(base, fd, NULL, &e));
		save.dirty = changes.bits;
		save.compare = changes.compare ? changes.owned : NULL;
		save.onto_base = true;
	}
	must(!memory_file_save(&save, &e));
	vm_changes_saved(vm, &changes);
	vm_changes_fini(&changes);
	compare(fd);
	return fd;
}

static void restore(const void *body, size_t len, int memory_fd)
{
	const struct vm_host h = host();
	const struct vm_ram_source ram = {.fd = memory_fd};
	struct vm_saved *saved = calloc(1, sizeof(*saved));
	bool tracked = config.track_dirty;
	struct err e = {""};

	must(saved && !vm_saved_read(saved, body, len, STATE_FILE_MINOR, &e));
	destroy();
	saved->config.track_dirty = tracked;
	saved->any_disk[0] = saved->any_disk[1] = true;
	vmm_world.vm = vm_restore(saved, &ram, &h, &e);
	/* Whatever the guest did before it was saved. */
	if (!vmm_world.vm)
		fprintf(stderr, "%s\n", e.text);
	must(vmm_world.vm);
	vmm_world.tap = net_fake_host;
	vm_config_fini(&config);
	config = saved->config;
	vm_config_init(&saved->config);
	vm_saved_fini(saved);
	free(saved);
	util_close(&loaded_fd);
	loaded_fd = fcntl(memory_fd, F_DUPFD_CLOEXEC, 0);
}

void vmm_world_snapshot(bool and_restore)
{
	struct snap s;
	struct err e = {""};
	const void *data;
	size_t len;
	int fd;

	if (vm_save(vmm_world.vm, &config, true, &s, &e)) {
		fprintf(stderr, "%s\n", e.text);
		must(false);
	}
	fd = save_memory();
	util_close(&last_fd);
	last_fd = fd;
	data = snap_data(&s, &len);
	if (and_restore)
		restore(data, len, fd);
	snap_fini(&s);
}
