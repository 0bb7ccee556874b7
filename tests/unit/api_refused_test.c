/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong with devices is refused when it is said: in Firecracker's
 * words, whole, and with nothing changed, before there is anything and after.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/util.h"
#include "tests/unit/api_world.h"
#include "tests/unit/testing.h"
#include "vmm/config/config.h"

#define GET HTTP_METHOD_GET
#define PUT HTTP_METHOD_PUT
#define PAT HTTP_METHOD_PATCH

#define BAD_BODY \
	"An error occurred when deserializing the json body of a request: "
#define DRIVE                                                            \
	"Drive config error: Unable to create the virtio block device: " \
	"Virtio backend error: Error manipulating the backing file: "
#define PATCHED                                                         \
	"Drive config error: Unable to patch the block device: Virtio " \
	"backend error: Error manipulating the backing file: "
#define TAP                                                           \
	"Network config error: Could not create the network device: " \
	"Open tap device failed: "
#define ADVICE " Check our documentation on setting up the network devices."
#define VSOCK                                                          \
	"Vsock config error: Cannot create backend for vsock device: " \
	"Error binding to the host-side Unix socket: "
#define CID(n)                                                           \
	"Vsock config error: The guest CID " n " is reserved; give one " \
	"from 3 to 4294967294"

enum { NOBODY = 65534, TEXT = 8000 };

/* An '@' is the folder of the test, in bodies and words. */
struct row {
	const char *path, *body, *words;
	bool unprivileged;
};

#define DRIVE_A(more) "{\"drive_id\":\"a\",\"is_root_device\":false," more "}"
#define NET_N(more)   "{\"iface_id\":\"n\"," more "}"
#define NET_T(more)   NET_N("\"host_dev_name\":\"none\"," more)

#define LOCKED                                                             \
	"; end that first (fuser -v names it), or use a copy: a load has " \
	"`drive_overrides` for that"

static const struct row drives[] = {
	{"drives/a", DRIVE_A("\"path_on_host\":\"@/missing\""),
	 DRIVE "No such file or directory (os error 2) @/missing", false},
	{"drives/a", DRIVE_A("\"path_on_host\":\"\""),
	 DRIVE "No such file or directory (os error 2) ", false},
	{"drives/a", DRIVE_A("\"path_on_host\":\"@/k/below\""),
	 DRIVE "Not a directory (os error 20) @/k/below", false},
	{"drives/a", DRIVE_A("\"path_on_host\":\"@/loop\""),
	 DRIVE "Too many levels of symbolic links (os error 40) @/loop", false},
	{"drives/a", DRIVE_A("\"path_on_host\":\"@/secret\""),
	 DRIVE "Permission denied (os error 13) @/secret", true},
	{"drives/a",
	 DRIVE_A("\"path_on_host\":\"@/secret\",\"is_read_only\":true"),
	 DRIVE "Permission denied (os error 13) @/secret", true},
	{"drives/a", DRIVE_A("\"path_on_host\":\"@/readable\""),
	 DRIVE "Permission denied (os error 13) @/readable", true},
	{"drives/a", DRIVE_A("\"path_on_host\":\"@\""),
	 DRIVE "Is a directory (os error 21) @", false},
	{"drives/a", DRIVE_A("\"path_on_host\":\"@\",\"is_read_only\":true"),
	 DRIVE "Is a directory (os error 21) @", false},
	{"drives/a", DRIVE_A("\"path_on_host\":\"@/fifo\""),
	 DRIVE "Illegal seek (os error 29) @/fifo", false},
	{"drives/a", DRIVE_A("\"path_on_host\":\"/dev/null\""),
	 DRIVE "Illegal seek (os error 29) /dev/null", false},
	{"drives/a", DRIVE_A("\"path_on_host\":\"@/busy\""),
	 DRIVE "@/busy is in use by somebody else (another virtual machine, "
	       "perhaps one that is paused?)" LOCKED,
	 false},
	{"drives/a",
	 DRIVE_A("\"path_on_host\":\"@/busy\",\"is_read_only\":true"),
	 DRIVE "@/busy is in use by somebody else who writes to it" LOCKED,
	 false},
	{"drives/a",
	 "{\"drive_id\":\"b\",\"is_root_device\":false,\"path_on_host\":\"@/"
	 "k\"}",
	 "The id from the path does not match the id from the body!", false},
	{"drives/a-b", DRIVE_A("\"path_on_host\":\"@/k\""),
	 "API Resource IDs can only contain alphanumeric characters and "
	 "underscores.",
	 false},
	{"drives/", DRIVE_A("\"path_on_host\":\"@/k\""),
	 "The ID cannot be empty.", false},
	{"drives/a",
	 DRIVE_A("\"cache_type\":\"Fast\",\"path_on_host\":\"@/k\""),
	 BAD_BODY "field `cache_type`: unknown variant `Fast`, expected "
		  "`Unsafe` or `Writeback` at line 1 column 58.",
	 false},
	{"drives/a",
	 DRIVE_A("\"path_on_host\":\"@/k\",\"rate_limiter\":{\"ops\":{"
		 "\"size\":1}}"),
	 BAD_BODY "field `rate_limiter`: missing field `refill_time` at line 1 "
		  "column 111.",
	 false},
};

static const struct row interfaces[] = {
	{"network-interfaces/n", NET_T("\"mtu\":1500"),
	 TAP "Error while creating ifreq structure: No such device (os error "
	     "19). Invalid TUN/TAP Backend provided by none." ADVICE,
	 false},
	{"network-interfaces/n",
	 NET_N("\"host_dev_name\":\"a-name-of-sixteen\""),
	 TAP "Invalid interface name: 'a-name-of-sixteen'; give the name of a "
	     "tap (at most 15 characters) or fd:N",
	 false},
	{"network-interfaces/n", NET_N("\"host_dev_name\":\"\""),
	 TAP "Invalid interface name: ''; give the name of a tap (at most 15 "
	     "characters) or fd:N",
	 false},
	{"network-interfaces/n", NET_N("\"host_dev_name\":\"tap%d\""),
	 TAP "Invalid interface name: 'tap%d'; give the name of a tap (at "
	     "most 15 characters) or fd:N",
	 false},
	{"network-interfaces/n", NET_N("\"host_dev_name\":\"fd:9999\""),
	 TAP "Cannot use the descriptor: Bad file descriptor (os error 9). "
	     "Invalid TUN/TAP Backend provided by fd:9999." ADVICE,
	 false},
	{"network-interfaces/n", NET_T("\"mtu\":67"),
	 BAD_BODY "field `mtu`: 67 is not possible; give 68 to 65535.", false},
	{"network-interfaces/n", NET_T("\"guest_mac\":\"06:00:00:00:00\""),
	 BAD_BODY "The provided MAC address is invalid.", false},
	{"network-interfaces/n", NET_T("\"rx_rate_limiter\":{\"bytes\":{}}"),
	 BAD_BODY "field `rx_rate_limiter`: unknown field `bytes`, expected "
		  "`bandwidth` or `ops` at line 1 column 65.",
	 false},
	{"network-interfaces/m", NET_T("\"mtu\":1500"),
	 "The id from the path does not match the id from the body!", false},
};

static const struct row others[] = {
	{"vsock", "{\"guest_cid\":0,\"uds_path\":\"@/v\"}", CID("0"), false},
	{"vsock", "{\"guest_cid\":2,\"uds_path\":\"@/v\"}", CID("2"), false},
	{"vsock", "{\"guest_cid\":4294967295,\"uds_path\":\"@/v\"}",
	 CID("4294967295"), false},
	{"vsock", "{\"guest_cid\":3,\"uds_path\":\"@/k\"}",
	 VSOCK "Address already in use (os error 98): @/k (it is not a socket)",
	 false},
	{"vsock", "{\"guest_cid\":3,\"uds_path\":\"@\"}",
	 VSOCK "Address already in use (os error 98): @ (it is not a socket)",
	 false},
	{"vsock", "{\"guest_cid\":3,\"uds_path\":\"@/s\"}",
	 VSOCK
	 "Address already in use (os error 98): @/s (process # listens there)",
	 false},
	{"vsock", "{\"guest_cid\":3,\"uds_path\":\"@/missing/v\"}",
	 VSOCK "No such file or directory (os error 2): @/missing/v", false},
	{"vsock", "{\"guest_cid\":3,\"uds_path\":\"@/k/v\"}",
	 VSOCK "Not a directory (os error 20): @/k/v", false},
	{"vsock", "{\"guest_cid\":3,\"uds_path\":\"@/closed/v\"}",
	 VSOCK "Permission denied (os error 13): @/closed/v", true},
	{"vsock", "{\"guest_cid\":3,\"uds_path\":\"\"}",
	 VSOCK "Invalid argument (os error 22): an empty path", false},
	{"balloon", "{\"amount_mib\":129,\"deflate_on_oom\":true}",
	 "Balloon config error: Amount of pages requested is too large.",
	 false},
	{"balloon", "{\"amount_mib\":4294967295,\"deflate_on_oom\":true}",
	 "Balloon config error: Amount of pages requested is too large.",
	 false},
	{"balloon", "{\"amount_mib\":1}",
	 BAD_BODY "missing field `deflate_on_oom` at line 1 column 16.", false},
	{"entropy", "{\"rate_limiter\":{\"ops\":{\"refill_time\":1}}}",
	 BAD_BODY
	 "field `rate_limiter`: missing field `size` at line 1 column 40.",
	 false},
	{"entropy", "{\"rate_limiter\":{},\"size\":1}",
	 BAD_BODY "unknown field `size`, expected `rate_limiter` at "
		  "line 1 column 25.",
	 false},
};

/* What is refused only because of what is there. */
static const struct row besides[] = {
	{"drives/b",
	 "{\"drive_id\":\"b\",\"is_root_device\":true,\"path_on_host\":\"@/"
	 "k\"}",
	 "Drive config error: A root block device already exists!", false},
	{"drives/a",
	 "{\"drive_id\":\"a\",\"is_root_device\":true,\"path_on_host\":\"@/"
	 "k\"}",
	 "Drive config error: A root block device already exists!", false},
	{"network-interfaces/m",
	 "{\"iface_id\":\"m\",\"host_dev_name\":\"its-tap\"}",
	 TAP "Error while creating ifreq structure: Device or resource busy "
	     "(os error 16). Invalid TUN/TAP Backend provided by its-tap: it "
	     "is n's.",
	 false},
	{"network-interfaces/m",
	 "{\"iface_id\":\"m\",\"host_dev_name\":\"none\",\"guest_mac\":"
	 "\"06:00:00:00:00:01\"}",
	 "Network config error: The MAC address is already in use: "
	 "06:00:00:00:00:01",
	 false},
	{"machine-config", "{\"vcpu_count\":1,\"mem_size_mib\":63}",
	 "Machine config error: The memory size (MiB) is smaller than the "
	 "previously set balloon device target size.",
	 false},
};

static const struct row patches[] = {
	{"drives/a", "{\"drive_id\":\"a\",\"path_on_host\":\"@/missing\"}",
	 PATCHED "No such file or directory (os error 2) @/missing", false},
	{"drives/a", "{\"drive_id\":\"a\",\"path_on_host\":\"@/secret\"}",
	 PATCHED "Permission denied (os error 13) @/secret", true},
	{"drives/a", "{\"drive_id\":\"a\",\"path_on_host\":\"@\"}",
	 PATCHED "Is a directory (os error 21) @", false},
	{"drives/a", "{\"drive_id\":\"a\",\"path_on_host\":\"@/busy\"}",
	 PATCHED "@/busy is in use by somebody else (another virtual "
		 "machine, perhaps one that is paused?)" LOCKED,
	 false},
};

/* ---------------------------------------------------------------- the files */

static const char *const names[] = {"secret", "readable", "busy", "small",
				    "none",   "fifo",     "loop", "closed"};

static void fill_in(const struct world *w, const char *from, char *to,
		    size_t size)
{
	size_t at = 0;
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	for (; *from; from++) {
		const char *text = *from == '@' ? w->folder : pid;
		bool is_name = *from == '@' || *from == '#';

		at += (size_t)snprintf(to + at, size - at, "%.*s",
				       is_name ? 40 : 1, is_name ? text : from);
	}
	assert_true(at < size);
	to[at] = '\0';
}

static int make(const struct world *w, const char *name, mode_t mode)
{
	char path[100];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", w->folder, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	/* Neither empty nor a number of sectors. */
	assert_int_equal(write(fd, "12345", 5), 5);
	assert_int_equal(chmod(path, mode), 0);
	return fd;
}

/* Somebody else's lock is of another description, not of another process. */
static int make_files(struct world *w)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[100];
	int busy;

	close(make(w, "secret", 0));
	close(make(w, "readable", 0444));
	close(make(w, "small", 0600));
	snprintf(path, sizeof(path), "%s/none", w->folder);
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	snprintf(path, sizeof(path), "%s/fifo", w->folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/loop", w->folder);
	assert_int_equal(symlink("loop", path), 0);
	snprintf(path, sizeof(path), "%s/closed", w->folder);
	assert_int_equal(mkdir(path, 0555), 0);
	busy = make(w, "busy", 0600);
	assert_int_equal(fcntl(busy, F_OFD_SETLK, &lock), 0);
	assert_int_equal(chmod(w->folder, 0755), 0);
	return busy;
}

static void remove_files(struct world *w, int busy)
{
	char path[100];

	close(busy);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", w->folder, names[i]);
		assert_int_equal(remove(path), 0);
	}
}

/* ---------------------------------------------------------------- the tests */

static void get_config(struct world *w, char *text)
{
	assert_int_equal(api_world_call(w, GET, "/vm/config", NULL, text, TEXT),
			 200);
}

static unsigned call(struct world *w, enum http_method method,
		     const struct row *r, char *text)
{
	const bool root = r->unprivileged && !geteuid();
	char path[100], body[1000];
	unsigned status;

	snprintf(path, sizeof(path), "/%s", r->path);
	fill_in(w, r->body, body, sizeof(body));
	/* Modes are nothing to root. */
	if (root)
		assert_int_equal(setresuid(NOBODY, NOBODY, 0), 0);
	status = api_world_call(w, method, path, body, text, TEXT);
	if (root)
		assert_int_equal(setresuid(0, 0, 0), 0);
	return status;
}

static void refuse(struct world *w, enum http_method method,
		   const struct row *r, unsigned count)
{
	char before[TEXT], after[TEXT], text[TEXT], words[1000], wanted[1100];

	for (; count; r++, count--) {
		unsigned fds = testing_count_fds();

		get_config(w, before);
		fill_in(w, r->words, words, sizeof(words));
		snprintf(wanted, sizeof(wanted), "{\"fault_message\":\"%s%s\"}",
			 words,
			 method == PAT ? " Please verify the request arguments."
				       : "");
		if (call(w, method, r, text) != 400)
			fail_msg("%s %s: %s", r->path, r->body, text);
		assert_string_equal(text, wanted);
		get_config(w, after);
		assert_string_equal(before, after);
		assert_int_equal(testing_count_fds(), fds);
	}
}

static void refuse_all(struct world *w)
{
	refuse(w, PUT, drives, ARRAY_SIZE(drives));
	refuse(w, PUT, interfaces, ARRAY_SIZE(interfaces));
	refuse(w, PUT, others, ARRAY_SIZE(others));
}

static void accept(struct world *w, const char *path, const char *text)
{
	char body[1000];

	fill_in(w, text, body, sizeof(body));
	api_world_do(w, PUT, path, body);
}

/* A tap is not to be had here. */
static void put_interface(struct world *w)
{
	struct interface_config n = {
		.net.id = strdup("n"),
		.net.tap = strdup("its-tap"),
		.net.mac = {6, 0, 0, 0, 0, 1},
		.net.has_mac = true,
	};

	assert_ok(vm_config_put_interface(&w->instance.config, &n, &w->e),
		  w->e);
}

/* Files of any size will do: what is over a number of sectors is not seen. */
static void put_all(struct world *w)
{
	accept(w, "/drives/r",
	       "{\"drive_id\":\"r\",\"is_root_device\":true,"
	       "\"path_on_host\":\"@/none\"}");
	accept(w, "/drives/a", DRIVE_A("\"path_on_host\":\"@/small\""));
	accept(w, "/vsock", "{\"guest_cid\":3,\"uds_path\":\"@/v\"}");
	accept(w, "/balloon", "{\"amount_mib\":64,\"deflate_on_oom\":true}");
	accept(w, "/entropy",
	       "{\"rate_limiter\":{\"ops\":{\"size\":0,\"refill_time\":0}}}");
}

static void what_is_wrong_changes_nothing(void **state)
{
	struct world *w = *state;
	int busy = make_files(w);
	char first[TEXT], second[TEXT];

	refuse_all(w);
	put_all(w);
	put_interface(w);
	/* Of what is there, nothing goes for what is refused. */
	refuse_all(w);
	refuse(w, PUT, besides, ARRAY_SIZE(besides));
	get_config(w, first);
	/* The same again is no second one. */
	put_all(w);
	get_config(w, second);
	assert_string_equal(first, second);
	remove_files(w, busy);
}

static void a_running_drive_keeps_its_file(void **state)
{
	struct world *w = *state;
	int busy = make_files(w);

	put_all(w);
	api_world_boot(w);
	refuse(w, PAT, patches, ARRAY_SIZE(patches));
	api_world_do(w, PAT, "/drives/a",
		     "{\"drive_id\":\"a\",\"rate_limiter\":{}}");
	api_world_do(w, PAT, "/drives/r",
		     "{\"drive_id\":\"r\",\"rate_limiter\":{}}");
	remove_files(w, busy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		API_TEST(what_is_wrong_changes_nothing),
		API_TEST(a_running_drive_keeps_its_file),
	};

	return RUN_TESTS("api_refused", tests);
}
