/* SPDX-License-Identifier: Apache-2.0 */
/* Every method and path of the API in every state, and what requests do. */
#include <stdio.h>
#include <string.h>

#include "core/base/util.h"
#include "tests/unit/api_world.h"
#include "tests/unit/testing.h"
#include "vmm/api/routes.h"

/* ---------------------------------------------------------------- the table */

#define GET HTTP_METHOD_GET
#define PUT HTTP_METHOD_PUT
#define PAT HTTP_METHOD_PATCH
#define DEL HTTP_METHOD_DELETE

/* What is said in each state: a part of the body, "" for 204. */
#define BEFORE      "not supported before starting the microVM."
#define AFTER       "not supported after starting the microVM."
#define NOT_BUILT   "this build does not support"
#define BAD_PATH    "Invalid request method and/or path: "
#define BAD_BODY    "An error occurred when deserializing the json body"
#define NO_BALLOON  "No balloon device found."
#define EMPTY_PUT   "Empty PUT request."
#define EMPTY_PAT   "Empty PATCH request."
#define BODY_IN_GET "GET request cannot have a body."
#define TEN         "abcdefghij"

#define DRIVE(id, root, path)                                   \
	"{\"drive_id\":\"" id "\",\"is_root_device\":" root "," \
	"\"path_on_host\":\"" path "\"}"

static const struct row {
	enum http_method method;
	const char *path, *body;
	unsigned status[2]; /* before the start, after it */
	const char *text[2];
} rows[] = {
	{GET, "/", NULL, {200, 200}, {"\"Not started\"", "\"Running\""}},
	{GET, "/", "{}", {400, 400}, {BODY_IN_GET, BODY_IN_GET}},
	{PUT, "/", "{}", {400, 400}, {BAD_PATH "PUT .", BAD_PATH}},
	{GET,
	 "/version",
	 NULL,
	 {200, 200},
	 {"{\"firecracker_version\":\"1.17.0\"", "1.17.0"}},
	{GET, "/stasis", NULL, {200, 200}, {"{\"version\":\"0", "\"mmio\"}"}},
	{GET, "//version", NULL, {200, 200}, {"1.17.0", "1.17.0"}},
	{GET, "/version/", NULL, {200, 200}, {"1.17.0", "1.17.0"}},
	{GET,
	 "/version//",
	 NULL,
	 {400, 400},
	 {BAD_PATH "GET version//.", BAD_PATH}},
	{GET, "/version?", NULL, {400, 400}, {BAD_PATH, BAD_PATH}},
	{GET, "/version%2f", NULL, {400, 400}, {BAD_PATH, BAD_PATH}},
	{GET, "/./version", NULL, {400, 400}, {BAD_PATH, BAD_PATH}},
	{GET, "/version/.", NULL, {400, 400}, {BAD_PATH, BAD_PATH}},
	{GET, "/VERSION", NULL, {400, 400}, {BAD_PATH, BAD_PATH}},
	{GET, "///", NULL, {200, 200}, {"\"Not started\"", "\"Running\""}},
	{GET, "/vm//config", NULL, {400, 400}, {BAD_PATH, BAD_PATH}},
	{PUT, "//serial/", "{}", {204, 400}, {"", AFTER}},
	{PUT, "/drives//x", "{}", {400, 400}, {BAD_PATH, BAD_PATH}},
	{GET,
	 "/nothing",
	 NULL,
	 {400, 400},
	 {BAD_PATH "GET nothing.", BAD_PATH}},
	{GET, "/versio", NULL, {400, 400}, {BAD_PATH, BAD_PATH}},
	{PUT,
	 "/nothing",
	 "{}",
	 {400, 400},
	 {BAD_PATH "PUT nothing.", BAD_PATH}},
	{PUT, "/nothing", NULL, {400, 400}, {EMPTY_PUT, EMPTY_PUT}},
	{PAT, "/nothing", NULL, {400, 400}, {EMPTY_PAT, EMPTY_PAT}},
	{DEL,
	 "/nothing",
	 NULL,
	 {400, 400},
	 {BAD_PATH "DELETE nothing.", BAD_PATH}},
	{PUT, "/actions", NULL, {400, 400}, {EMPTY_PUT, EMPTY_PUT}},
	{PUT,
	 "/actions",
	 "{}",
	 {400, 400},
	 {"missing field `action_type`", BAD_BODY}},
	{PUT,
	 "/actions",
	 "{\"action_type\":\"Foo\"}",
	 {400, 400},
	 {"unknown variant `Foo`, expected one of `InstanceStart`, "
	  "`FlushMetrics`, `SendCtrlAltDel`, `Stop`",
	  BAD_BODY}},
	{PUT,
	 "/actions",
	 "{\"action_type\":\"FlushMetrics\"}",
	 {400, 204},
	 {BEFORE, ""}},
	{PUT,
	 "/actions",
	 "{\"action_type\":\"SendCtrlAltDel\"}",
	 {400, 204},
	 {BEFORE, ""}},
	{GET, "/balloon", NULL, {400, 400}, {NO_BALLOON, NO_BALLOON}},
	{PUT, "/balloon", "{}", {400, 400}, {BAD_BODY, AFTER}},
	{PAT, "/balloon", "{}", {400, 400}, {BEFORE, BAD_BODY}},
	{GET, "/balloon/statistics", NULL, {400, 400}, {BEFORE, NO_BALLOON}},
	{PAT, "/balloon/statistics", "{}", {400, 400}, {BEFORE, BAD_BODY}},
	{PAT, "/balloon/hinting/start", NULL, {400, 400}, {BEFORE, NO_BALLOON}},
	{PAT, "/balloon/hinting/start", "{}", {400, 400}, {BEFORE, NO_BALLOON}},
	{GET,
	 "/balloon/hinting/status",
	 NULL,
	 {400, 400},
	 {BEFORE, NO_BALLOON}},
	{PAT, "/balloon/hinting/stop", NULL, {400, 400}, {BEFORE, NO_BALLOON}},
	{PUT,
	 "/boot-source",
	 "{}",
	 {400, 400},
	 {"missing field `kernel_image_path`", AFTER}},
	{PUT,
	 "/boot-source",
	 "{\"kernel_image_path\":\"/no/pe\"}",
	 {400, 400},
	 {"Boot source error: The kernel file cannot be opened: No such file "
	  "or directory (os error 2)",
	  AFTER}},
	{PUT, "/boot-source", "[]", {400, 400}, {BAD_BODY, AFTER}},
	{PUT, "/cpu-config", "{}", {204, 400}, {"", AFTER}},
	{PUT,
	 "/cpu-config",
	 "{\"x\":1}",
	 {400, 400},
	 {"unknown field `x`", AFTER}},
	{PUT,
	 "/drives/rootfs",
	 "{}",
	 {400, 400},
	 {"missing field `drive_id`", AFTER}},
	{PUT,
	 "/drives/rootfs",
	 DRIVE("other", "false", "/dev/zero"),
	 {400, 400},
	 {"The id from the path does not match the id from the body!", AFTER}},
	{PUT,
	 "/drives/rootfs",
	 DRIVE("rootfs", "true", "/no/pe"),
	 {400, 400},
	 {"Drive config error: Unable to create the virtio block device: "
	  "Virtio backend error: Error manipulating the backing file: No such "
	  "file or directory (os error 2) /no/pe",
	  AFTER}},
	{PUT,
	 "/drives/rootfs",
	 "{\"drive_id\":\"rootfs\",\"is_root_device\":false,\"socket\":\"s\"}",
	 {400, 400},
	 {NOT_BUILT, AFTER}},
	{PUT,
	 "/drives/rootfs",
	 "{\"drive_id\":\"rootfs\",\"is_root_device\":false}",
	 {400, 400},
	 {"missing field `path_on_host`", AFTER}},
	{PUT,
	 "/drives/",
	 "{}",
	 {400, 400},
	 {"The ID cannot be empty.", "The ID"}},
	{PUT,
	 "/drives",
	 "{}",
	 {400, 400},
	 {"The ID cannot be empty.", "The ID"}},
	{PUT,
	 "/drives/a-b",
	 "{}",
	 {400, 400},
	 {"API Resource IDs can only contain alphanumeric characters and "
	  "underscores.",
	  "API Resource"}},
	{PUT,
	 "/drives/" TEN TEN TEN TEN TEN TEN "12345",
	 "{}",
	 {400, 400},
	 {"the ID is longer than 64 characters", "the ID is longer"}},
	{PUT,
	 "/drives/" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN,
	 "{}",
	 {400, 400},
	 {"the ID is longer than 64 characters", "the ID is longer"}},
	{PAT,
	 "/drives/rootfs",
	 "{}",
	 {400, 400},
	 {BEFORE, "missing field `drive_id`"}},
	{PAT,
	 "/drives/rootfs",
	 "{\"drive_id\":\"rootfs\"}",
	 {400, 400},
	 {BEFORE, "there is no drive"}},
	{DEL, "/drives/rootfs", NULL, {400, 400}, {BEFORE, NOT_BUILT}},
	{GET, "/drives/rootfs", NULL, {400, 400}, {BAD_PATH, BAD_PATH}},
	{PUT, "/entropy", "{}", {204, 400}, {"", AFTER}},
	{PUT,
	 "/entropy",
	 "{\"rate_limiter\":{\"bandwidth\":{\"size\":1}}}",
	 {400, 400},
	 {"field `rate_limiter`: missing field `refill_time`", AFTER}},
	{GET, "/hotplug/memory", NULL, {400, 400}, {BEFORE, NOT_BUILT}},
	{PUT, "/hotplug/memory", "{}", {400, 400}, {NOT_BUILT, AFTER}},
	{PAT, "/hotplug/memory", "{}", {400, 400}, {BEFORE, NOT_BUILT}},
	{GET, "/hotplug", NULL, {400, 400}, {BAD_PATH, BAD_PATH}},
	{PUT,
	 "/logger",
	 "{\"level\":\"Loud\"}",
	 {400, 400},
	 {"Logger error: unknown variant `Loud`", AFTER}},
	{PUT, "/logger", "{\"level\":\"off\"}", {204, 400}, {"", AFTER}},
	{GET,
	 "/machine-config",
	 NULL,
	 {200, 200},
	 {"{\"vcpu_count\":1,\"mem_size_mib\":128,\"smt\":false,\"track_dirty_"
	  "pages\":false,\"huge_pages\":\"None\"}",
	  "\"vcpu_count\":2,\"mem_size_mib\":64"}},
	{PUT,
	 "/machine-config",
	 "{\"vcpu_count\":0,\"mem_size_mib\":64}",
	 {400, 400},
	 {"Machine config error: The number of vCPUs must be greater than 0",
	  AFTER}},
	{PUT,
	 "/machine-config",
	 "{\"vcpu_count\":1,\"mem_size_mib\":0}",
	 {400, 400},
	 {"Machine config error: The memory size (MiB) is either 0", AFTER}},
	{PUT,
	 "/machine-config",
	 "{\"vcpu_count\":1}",
	 {400, 400},
	 {"missing field `mem_size_mib`", AFTER}},
	{PUT,
	 "/machine-config",
	 "{\"vcpu_count\":1,\"mem_size_mib\":64,\"smt\":true}",
	 {400, 400},
	 {"Enabling simultaneous multithreading is not supported on aarch64.",
	  AFTER}},
	{PUT, "/machine-config", "{", {400, 400}, {BAD_BODY, AFTER}},
	{PAT, "/machine-config", "{}", {400, 400}, {EMPTY_PAT, AFTER}},
	{PAT,
	 "/machine-config",
	 "{\"mem_size_mib\":1}",
	 {400, 400},
	 {"too little", AFTER}},
	{PUT,
	 "/metrics",
	 "{}",
	 {400, 400},
	 {"missing field `metrics_path`", AFTER}},
	{GET,
	 "/metrics",
	 NULL,
	 {200, 200},
	 {"\"put_api_requests\":{\"actions_count\":", "\"latencies_us\":"}},
	{GET, "/mmds", NULL, {200, 200}, {"{}", "{}"}},
	{PUT, "/mmds", "[]", {400, 400}, {"MMDS error: ", "MMDS error: "}},
	{PAT, "/mmds", "{}", {400, 400}, {"MMDS error: ", "MMDS error: "}},
	{PUT, "/mmds/config", "{}", {400, 400}, {BAD_BODY, AFTER}},
	{PUT, "/network-interfaces/eth0", "{}", {400, 400}, {BAD_BODY, AFTER}},
	{PAT, "/network-interfaces/eth0", "{}", {400, 400}, {BEFORE, BAD_BODY}},
	{DEL,
	 "/network-interfaces/eth0",
	 NULL,
	 {400, 400},
	 {BEFORE, NOT_BUILT}},
	{PUT, "/pmem/p", "{}", {400, 400}, {NOT_BUILT, AFTER}},
	{PAT, "/pmem/p", "{}", {400, 400}, {BEFORE, NOT_BUILT}},
	{DEL, "/pmem/p", NULL, {400, 400}, {BEFORE, NOT_BUILT}},
	{PUT, "/serial", "{}", {204, 400}, {"", AFTER}},
	{PUT,
	 "/serial",
	 "{\"serial_out_path\":\"/no/such/folder\"}",
	 {400, 400},
	 {"/no/such/folder", AFTER}},
	{PUT, "/serial", "{\"on_full\":\"wait\"}", {204, 400}, {"", AFTER}},
	{PUT, "/serial", "{\"on_full\":\"drop\"}", {204, 400}, {"", AFTER}},
	{PUT,
	 "/serial",
	 "{\"on_full\":\"block\"}",
	 {400, 400},
	 {"field `on_full`: unknown variant `block`, expected `drop` or `wait`",
	  AFTER}},
	{PUT,
	 "/serial",
	 "{\"rate_limiter\":{}}",
	 {400, 400},
	 {"field `rate_limiter`: missing field `size`", AFTER}},
	{PUT,
	 "/snapshot/create",
	 "{}",
	 {400, 400},
	 {BEFORE, "missing field `snapshot_path`"}},
	{PUT,
	 "/snapshot/create",
	 "{\"snapshot_path\":\"/no/s\",\"mem_file_path\":\"/no/m\"}",
	 {400, 400},
	 {BEFORE, "save/restore unavailable while running"}},
	{PUT,
	 "/snapshot/load",
	 "{}",
	 {400, 400},
	 {"missing field `snapshot_path`", AFTER}},
	{PUT,
	 "/snapshot/load",
	 "{\"snapshot_path\":\"s\"}",
	 {400, 400},
	 {"either `mem_backend` or `mem_file_path` is required", AFTER}},
	{PUT,
	 "/snapshot/load",
	 "{\"snapshot_path\":\"/no/s\",\"mem_file_path\":\"/no/"
	 "m\",\"mem_backend\":"
	 "{\"backend_path\":\"m\",\"backend_type\":\"File\"}}",
	 {400, 400},
	 {"exclusively is required", AFTER}},
	{PUT,
	 "/snapshot/load",
	 "{\"snapshot_path\":\"s\",\"mem_backend\":{\"backend_path\":"
	 "\"m\",\"backend_type\":\"Tape\"}}",
	 {400, 400},
	 {"unknown variant `Tape`", AFTER}},
	{PUT, "/snapshot", "{}", {400, 400}, {BAD_PATH, BAD_PATH}},
	{PAT, "/vm", "{\"state\":\"Resumed\"}", {400, 204}, {BEFORE, ""}},
	{PAT,
	 "/vm",
	 "{\"state\":\"Stopped\"}",
	 {400, 400},
	 {BEFORE, "unknown variant `Stopped`, expected `Paused` or `Resumed`"}},
	{PAT,
	 "/vm",
	 "{\"state\":\"Paused\",\"clock\":\"frozen\"}",
	 {400, 400},
	 {BEFORE, "field `clock`"}},
	{PAT,
	 "/vm",
	 "{\"state\":\"Resumed\",\"clock\":\"warp\"}",
	 {400, 400},
	 {BEFORE, "unknown variant `warp`"}},
	{GET,
	 "/vm/config",
	 NULL,
	 {200, 200},
	 {"\"boot-source\":{", "\"vcpu_count\":2"}},
	{GET, "/vm", NULL, {400, 400}, {BAD_PATH, BAD_PATH}},
	{PUT, "/vsock", "{}", {400, 400}, {BAD_BODY, AFTER}},
};

static void check_rows(struct world *w, unsigned state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *r = &rows[i];
		char text[8000];
		unsigned status = api_world_call(w, r->method, r->path, r->body,
						 text, sizeof(text));

		if (status != r->status[state] || !strstr(text, r->text[state]))
			fail_msg("%s %s %s: %u %s", http_method_name[r->method],
				 r->path, r->body ? r->body : "", status, text);
		if (status == 204 && text[0])
			fail_msg("%s: 204 with a body", r->path);
		if (status == 400)
			assert_memory_equal(text, "{\"fault_message\":\"", 18);
	}
}

static void each_request_before_the_start(void **state)
{
	check_rows(*state, 0);
	/* And again: nothing of it changed anything. */
	check_rows(*state, 0);
}

static void each_request_while_it_runs(void **state)
{
	api_world_boot(*state);
	check_rows(*state, 1);
}

static void each_request_while_it_is_paused(void **state)
{
	struct world *w = *state;
	char text[2000];

	api_world_boot(w);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *r = &rows[i];
		unsigned status;

		api_world_do(w, PAT, "/vm", "{\"state\":\"Paused\"}");
		assert_int_equal(
			api_world_call(w, GET, "/", NULL, text, sizeof(text)),
			200);
		assert_contains(text, "\"Paused\"");
		status = api_world_call(w, r->method, r->path, r->body, text,
					sizeof(text));
		if (status != r->status[1])
			fail_msg("%s: %u %s", r->path, status, text);
	}
}

static void nothing_starts_without_a_kernel(void **state)
{
	struct world *w = *state;
	char text[2000];

	assert_int_equal(api_world_call(w, PUT, "/actions",
					"{\"action_type\":\"InstanceStart\"}",
					text, sizeof(text)),
			 400);
	assert_contains(text, "Start microvm error: Cannot start microvm "
			      "without kernel configuration.");
	assert_int_equal(w->instance.state, INSTANCE_NOT_STARTED);
}

static void a_start_that_fails_can_be_mended(void **state)
{
	struct world *w = *state;
	char text[2000];

	api_world_do(w, PUT, "/boot-source",
		     "{\"kernel_image_path\":\"/dev/null\"}");
	assert_int_equal(api_world_call(w, PUT, "/actions",
					"{\"action_type\":\"InstanceStart\"}",
					text, sizeof(text)),
			 400);
	assert_contains(text, "Start microvm error: ");
	assert_int_equal(w->instance.state, INSTANCE_NOT_STARTED);
	assert_null(w->instance.vm);
	api_world_boot(w);
	assert_int_equal(api_world_call(w, PUT, "/actions",
					"{\"action_type\":\"InstanceStart\"}",
					text, sizeof(text)),
			 400);
	assert_contains(text, AFTER);
}

static void a_refused_body_changes_nothing(void **state)
{
	struct world *w = *state;
	char before[2000], after[2000], text[2000];

	api_world_do(w, PUT, "/boot-source", w->body);
	api_world_call(w, GET, "/vm/config", NULL, before, sizeof(before));
	assert_int_equal(
		api_world_call(
			w, PUT, "/machine-config",
			"{\"vcpu_count\":8,\"mem_size_mib\":64,\"smt\":true}",
			text, sizeof(text)),
		400);
	assert_int_equal(api_world_call(w, PUT, "/boot-source",
					"{\"kernel_image_path\":\"/dev/null\","
					"\"initrd_path\":\"/no/pe\"}",
					text, sizeof(text)),
			 400);
	assert_int_equal(api_world_call(w, PUT, "/boot-source",
					"{\"kernel_image_path\":\"/dev/null\","
					"\"boot_args\":\"a\\nb\"}",
					text, sizeof(text)),
			 400);
	assert_contains(text, "The kernel command line is invalid: ");
	api_world_call(w, GET, "/vm/config", NULL, after, sizeof(after));
	assert_string_equal(before, after);
}

static void a_partial_machine_keeps_the_rest(void **state)
{
	struct world *w = *state;

	api_world_do(w, PUT, "/machine-config",
		     "{\"vcpu_count\":4,\"mem_size_mib\":256}");
	api_world_do(w, PAT, "/machine-config", "{\"vcpu_count\":2}");
	assert_int_equal(w->instance.config.vcpu_count, 2);
	assert_int_equal(w->instance.config.mem_mib, 256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		API_TEST(each_request_before_the_start),
		API_TEST(each_request_while_it_runs),
		API_TEST(each_request_while_it_is_paused),
		API_TEST(nothing_starts_without_a_kernel),
		API_TEST(a_start_that_fails_can_be_mended),
		API_TEST(a_refused_body_changes_nothing),
		API_TEST(a_partial_machine_keeps_the_rest),
	};

	return RUN_TESTS("api_routes", tests);
}
