/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Anything that a client may send, to an API with all that is behind it, on a
 * fake KVM: connections, HTTP, routes, bodies, instance, snapshots.  An input
 * is lines; what a line is says its first byte:
 *
 *	!TEXT   these bytes, and a line's end
 *	.       a connection more, which gets what follows
 *	-       the connection is closed; what follows goes to the one before
 *	<       what was answered is read
 *	~       the loop waits a moment for what is under way
 *	cBODY   a request: of which path says the letter, with this body
 *
 * What is answered is HTTP; a refusal says why; and at the end nothing is left
 * of it all: no descriptor, no memory.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "core/io/loop.h"
#include "tests/fake/kvm_fake.h"
#include "tests/fake/net_fake.h"
#include "tests/fake/sandbox.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/api/api.h"
#include "vmm/instance/instance.h"

enum { CLIENTS = 12, BODY_MAX = 4000, MEM_MIB = 32, VCPUS = 2, TURNS = 16 };

static const struct {
	const char *method, *path;
} requests[] = {
	{"GET", "/"},
	{"GET", "/version"},
	{"PUT", "/actions"},
	{"GET", "/balloon"},
	{"PUT", "/balloon"},
	{"PATCH", "/balloon"},
	{"GET", "/balloon/statistics"},
	{"PATCH", "/balloon/statistics"},
	{"PATCH", "/balloon/hinting/start"},
	{"GET", "/balloon/hinting/status"},
	{"PATCH", "/balloon/hinting/stop"},
	{"PUT", "/boot-source"},
	{"GET", "/clock"},
	{"PUT", "/cpu-config"},
	{"PUT", "/drives/d"},
	{"PATCH", "/drives/d"},
	{"DELETE", "/drives/d"},
	{"PUT", "/entropy"},
	{"GET", "/events"},
	{"PUT", "/logger"},
	{"GET", "/machine-config"},
	{"PUT", "/machine-config"},
	{"PATCH", "/machine-config"},
	{"GET", "/metrics"},
	{"PUT", "/metrics"},
	{"PUT", "/mmds"},
	{"PUT", "/network-interfaces/n"},
	{"PATCH", "/network-interfaces/n"},
	{"PUT", "/serial"},
	{"PUT", "/snapshot/create"},
	{"PUT", "/snapshot/load"},
	{"PATCH", "/vm"},
	{"GET", "/vm/config"},
	{"PUT", "/vsock"},
};

static struct world {
	struct event_loop loop;
	struct instance instance;
	struct api *api;
	int client[CLIENTS];
	unsigned clients;
	bool ended;
} world;

/* ---------------------------------------------------------------- its files */

static void write_file(const char *name, const void *data, size_t len)
{
	int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	must(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	close(fd);
}

/* A name for a file that is kept, with the size that it had. */
static void offer(const char *kept, const char *name, off_t size)
{
	struct stat st;

	must(!stat(kept, &st));
	if (st.st_size != size)
		must(!truncate(kept, size));
	must(!link(kept, name));
}

static struct kept {
	const char *kept, *name;
	off_t size;
} files[] = {{".k", "k", 0}, {".d", "d", 0}, {".s", "s", 0}, {".m", "m", 0}};

/* ---------------------------------------------------------------- the world */

bool __wrap_thread_join(pthread_t thread, unsigned ms);

/* However busy this machine is: a thread that is left has descriptors. */
bool __wrap_thread_join(pthread_t thread, unsigned ms)
{
	(void)ms;
	must(!pthread_join(thread, NULL));
	return true;
}

static void on_started(void *context, struct vm *vm)
{
	(void)context;
	must(vm);
}

static void on_ended(void *context, int status)
{
	(void)context;
	must(status == 0 || status == 1);
	world.ended = true;
}

static void open_client(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "api"};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	must(fd >= 0);
	if (world.clients == CLIENTS ||
	    connect(fd, (struct sockaddr *)&name, sizeof(name))) {
		close(fd);
		return;
	}
	world.client[world.clients++] = fd;
}

static void begin(void)
{
	const struct instance_host host = {
		.loop = &world.loop,
		.serial_out = -1,
		.serial_room = -1,
		.started = on_started,
		.ended = on_ended,
	};
	struct api_config config = {
		.listen_fd = -1,
		.ready_fd = -1,
		.loop = &world.loop,
		.instance = &world.instance,
		.socket_path = "api",
		.body_max = BODY_MAX,
	};
	struct err e;

	log_configure(&(struct log_config){.level = LOG_OFF, .fd = 2});
	world = (struct world){0};
	kvm_fake_reset();
	must(!loop_init(&world.loop, &e));
	instance_init(&world.instance, "fuzz", &host);
	world.api = api_start(&config, &e);
	must(world.api);
	open_client();
}

static void end(void)
{
	int log_fd;

	api_stop(world.api);
	instance_fini(&world.instance);
	log_configure(&(struct log_config){.level = LOG_OFF, .fd = 2});
	log_fd =
		world.instance.log_fd; /* the log has it to the process's end */
	util_close(&log_fd);
	while (world.clients)
		close(world.client[--world.clients]);
	loop_fini(&world.loop);
}

/* As far as there is something to do. */
static void turn_loop(int wait_ms)
{
	struct event_loop *loop = &world.loop;

	for (unsigned i = 0; i < TURNS && !world.ended; i++) {
		int n = epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH,
				   i ? 0 : wait_ms);

		loop->batch_count = n;
		for (int k = 0; k < loop->batch_count; k++) {
			struct event_source *source = loop->batch[k].data.ptr;

			if (source)
				source->ready(source, loop->batch[k].events);
		}
		loop->batch_count = 0;
		if (n <= 0)
			return;
	}
}

/* What was answered to the last client is HTTP, from its beginning. */
static void read_answers(void)
{
	char text[20000];
	ssize_t n;

	if (!world.clients)
		return;
	n = recv(world.client[world.clients - 1], text, sizeof(text) - 1, 0);
	if (n <= 0)
		return;
	text[n] = '\0';
	if (!strncmp(text, "HTTP/1.1 400", 12) && n < 19000)
		must(strstr(text, "fault_message\":\"") ||
		     strstr(text, "\"error\": \""));
}

/* ----------------------------------------------------------------- requests */

static void send_text(const char *text, size_t len)
{
	if (world.clients)
		(void)!send(world.client[world.clients - 1], text, len,
			    MSG_NOSIGNAL);
}

/* What takes long, or much of this machine, is not tried. */
static void tame(void)
{
	struct vm_config *config = &world.instance.config;

	if (world.instance.vm)
		return;
	if (config->mem_mib > MEM_MIB)
		config->mem_mib = MEM_MIB;
	if (config->vcpu_count > VCPUS)
		config->vcpu_count = VCPUS;
	for (unsigned i = 0; i < config->interface_count; i++)
		config->interface[i].vhost = false;
}

static void request(unsigned which, const char *body, size_t len)
{
	char text[BODY_MAX + 400];
	int n;

	which %= ARRAY_SIZE(requests);
	if (len > BODY_MAX)
		len = BODY_MAX;
	n = snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\n",
		     requests[which].method, requests[which].path);
	if (len)
		n += snprintf(text + n, sizeof(text) - (size_t)n,
			      "Content-Length: %zu\r\n", len);
	n += snprintf(text + n, sizeof(text) - (size_t)n, "\r\n");
	memcpy(text + n, body, len);
	tame();
	send_text(text, (size_t)n + len);
}

static void close_client(void)
{
	if (world.clients > 1)
		close(world.client[--world.clients]);
}

static void line(const char *text, size_t len)
{
	switch (text[0]) {
	case '!':
		tame();
		send_text(text + 1, len - 1);
		send_text("\r\n", 2);
		break;
	case '.':
		open_client();
		break;
	case '-':
		close_client();
		break;
	case '<':
		read_answers();
		return;
	case '~':
		turn_loop(20);
		return;
	default:
		request((unsigned)(uint8_t)text[0] - 'A', text + 1, len - 1);
	}
	turn_loop(0);
}

static void run(const char *text, size_t size)
{
	while (size && !world.ended) {
		const char *stop = memchr(text, '\n', size);
		size_t len = stop ? (size_t)(stop - text) : size;

		if (len)
			line(text, len);
		len += stop != NULL;
		text += len;
		size -= len;
	}
}

/* A guest that was saved, to be loaded. */
static void make_snapshot(void)
{
	static const char text[] =
		"V{\"vcpu_count\":1,\"mem_size_mib\":32}\n"
		"L{\"kernel_image_path\":\"k\"}\n"
		"O{\"drive_id\":\"d\",\"path_on_host\":\"d\","
		"\"is_root_device\":false}\n"
		"R{}\n"
		"C{\"action_type\":\"InstanceStart\"}\n"
		"`{\"state\":\"Paused\"}\n"
		"^{\"snapshot_path\":\".s\",\"mem_file_path\":\".m\"}\n"
		"~\n~\n~\n~\n~\n~\n~\n~\n";

	begin();
	run(text, sizeof(text) - 1);
	while (world.instance.job)
		turn_loop(20);
	end();
}

static void set_up(void)
{
	static const char disk[16 * 512];
	uint8_t image[4096] = {0};
	struct stat st;

	must(freopen("/dev/null", "w", stdout));
	sandbox_enter("api_fuzz");
	net_fake_no_vhost = 1;
	memcpy(image + 56, "ARM\x64", 4);
	image[16 + 1] = 0x10; /* image_size = 4096 */
	write_file(".k", image, sizeof(image));
	write_file(".d", disk, sizeof(disk));
	must(!link(".k", "k") && !link(".d", "d"));
	make_snapshot();
	for (unsigned i = 0; i < ARRAY_SIZE(files); i++) {
		must(!stat(files[i].kept, &st));
		files[i].size = st.st_size;
	}
}

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	must(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned before;

	if (!files[0].size)
		set_up();
	sandbox_empty();
	for (unsigned i = 0; i < ARRAY_SIZE(files); i++)
		offer(files[i].kept, files[i].name, files[i].size);
	before = count_fds();
	begin();
	run((const char *)data, size);
	end();
	must(count_fds() == before);
	return 0;
}
