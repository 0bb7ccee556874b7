/* SPDX-License-Identifier: Apache-2.0 */
/* Devices through the API. */
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/util.h"
#include "tests/unit/api_world.h"
#include "tests/unit/testing.h"
#include "vmm/vm/vm_internal.h"

#define GET HTTP_METHOD_GET
#define PUT HTTP_METHOD_PUT
#define PAT HTTP_METHOD_PATCH

#define BAD_BODY \
	"An error occurred when deserializing the json body of a request: "

/* Before the start, or while a guest runs that has no devices. */
static const struct refusal {
	enum http_method method;
	const char *path, *body, *words;
} before_start[] =
	{
		{PUT, "/network-interfaces/eth0",
		 "{\"iface_id\":\"eth1\",\"host_dev_name\":\"none\"}",
		 "The id from the path does not match the id from the body!"},
		{PUT, "/network-interfaces/eth0",
		 "{\"iface_id\":\"eth0\",\"host_dev_name\":\"no-such-tap\"}",
		 "Network config error: Could not create the network device: "
		 "Open tap "
		 "device failed: Error while creating ifreq structure: No such "
		 "device "
		 "(os error 19). Invalid TUN/TAP Backend provided by "
		 "no-such-tap."},
		{PUT, "/network-interfaces/eth0",
		 "{\"iface_id\":\"eth0\",\"host_dev_name\":\"none\","
		 "\"guest_mac\":\"06:00:00:00:00:0g\"}",
		 BAD_BODY "The provided MAC address is invalid."},
		{PUT, "/network-interfaces/eth0",
		 "{\"iface_id\":\"eth0\",\"host_dev_name\":\"none\",\"mtu\":"
		 "67}",
		 BAD_BODY "field `mtu`: 67 is not possible; give 68 to 65535"},
		{PUT, "/network-interfaces/eth0",
		 "{\"iface_id\":\"eth0\",\"host_dev_name\":\"none\",\"mtu\":0}",
		 BAD_BODY "field `mtu`: 0 is not possible"},
		{PUT, "/network-interfaces/eth0",
		 "{\"iface_id\":\"eth0\",\"host_dev_name\":\"none\",\"vhost\":"
		 "true,\"tx_rate_limiter\":{\"ops\":{\"size\":1,"
		 "\"refill_time\":1}}}",
		 BAD_BODY "field `vhost`: the kernel's device has no rate "
			  "limiters; leave out one or the other"},
		/* A bucket of zeros limits nothing, and is in nobody's way. */
		{PUT, "/network-interfaces/eth0",
		 "{\"iface_id\":\"eth0\",\"host_dev_name\":\"none\",\"vhost\":"
		 "true,\"tx_rate_limiter\":{\"ops\":{\"size\":0,"
		 "\"refill_time\":0}}}",
		 "Network config error"},
		{PUT, "/network-interfaces/eth0",
		 "{\"iface_id\":\"eth0\",\"host_dev_name\":\"none\",\"vhost\":"
		 "1}",
		 BAD_BODY},
		{PUT, "/vsock", "{\"guest_cid\":2,\"uds_path\":\"/tmp/none\"}",
		 "Vsock config error: The guest CID 2 is reserved"},
		{PUT, "/vsock", "{\"guest_cid\":3,\"uds_path\":\"/dev/null\"}",
		 "Vsock config error: Cannot create backend for vsock device: "
		 "Error "
		 "binding to the host-side Unix socket: Address already in use "
		 "(os "
		 "error 98)"},
		{PUT, "/vsock",
		 "{\"guest_cid\":4294967296,\"uds_path\":\"/tmp/none\"}",
		 BAD_BODY},
		{PUT, "/balloon", "{\"amount_mib\":1}",
		 BAD_BODY "missing field `deflate_on_oom`"},
		{PUT, "/balloon",
		 "{\"amount_mib\":129,\"deflate_on_oom\":true}",
		 "Balloon config error: Amount of pages requested is too "
		 "large."},
		{PUT, "/balloon",
		 "{\"amount_mib\":4294967296,\"deflate_on_oom\":true}",
		 BAD_BODY},
},
  running[] = {
	  {PAT, "/network-interfaces/eth0", "{\"iface_id\":\"eth0\"}",
	   "Network config error: there is no network interface"},
	  {PAT, "/balloon", "{\"amount_mib\":1}",
	   "Balloon update error: No balloon device found."},
	  {PAT, "/balloon/statistics", "{\"stats_polling_interval_s\":65536}",
	   BAD_BODY},
	  {PAT, "/balloon/statistics", "{\"stats_polling_interval_s\":1}",
	   "Balloon update error: No balloon device found."},
	  {GET, "/balloon/statistics", NULL,
	   "Internal VMM error: No balloon device found."},
	  {PAT, "/balloon/hinting/start", "{\"x\":1}",
	   BAD_BODY "unknown field `x`"},
};

static void refuse(struct world *w, const struct refusal *r, unsigned count)
{
	char text[8000];

	for (; count; r++, count--) {
		assert_int_equal(api_world_call(w, r->method, r->path, r->body,
						text, sizeof(text)),
				 400);
		assert_contains(text, r->words);
	}
}

static void what_cannot_be_is_refused(void **state)
{
	struct world *w = *state;
	char before[2000], after[2000];

	api_world_call(w, GET, "/vm/config", NULL, before, sizeof(before));
	refuse(w, before_start, ARRAY_SIZE(before_start));
	api_world_call(w, GET, "/vm/config", NULL, after, sizeof(after));
	assert_string_equal(before, after);
	api_world_boot(w);
	refuse(w, running, ARRAY_SIZE(running));
}

static void drives_are_replaced_by_id_and_there_is_one_root(void **state)
{
	struct world *w = *state;
	char text[4000], body[300];

	snprintf(body, sizeof(body),
		 "{\"drive_id\":\"a\",\"is_root_device\":false,"
		 "\"path_on_host\":\"%s\"}",
		 w->kernel);
	api_world_do(w, PUT, "/drives/a", body);
	snprintf(body, sizeof(body),
		 "{\"drive_id\":\"b\",\"is_root_device\":true,"
		 "\"is_read_only\":true,\"path_on_host\":\"%s\","
		 "\"io_engine\":\"Async\",\"cache_type\":\"Writeback\"}",
		 w->kernel);
	api_world_do(w, PUT, "/drives/b", body);
	api_world_do(w, PUT, "/drives/b", body);
	/* The root comes first. */
	assert_int_equal(w->instance.config.drive_count, 2);
	assert_string_equal(w->instance.config.drive[0].block.id, "b");
	api_world_call(w, GET, "/vm/config", NULL, text, sizeof(text));
	assert_contains(text, "\"drives\":[{\"drive_id\":\"b\",\"partuuid\":"
			      "null,\"is_root_device\":true,\"cache_type\":"
			      "\"Writeback\",\"is_read_only\":true,");
	assert_contains(text, "\"io_engine\":\"Async\"");
	snprintf(body, sizeof(body),
		 "{\"drive_id\":\"a\",\"is_root_device\":true,"
		 "\"path_on_host\":\"%s\"}",
		 w->kernel);
	assert_int_equal(
		api_world_call(w, PUT, "/drives/a", body, text, sizeof(text)),
		400);
	assert_contains(text, "Drive config error: A root block device already "
			      "exists!");
	assert_false(w->instance.config.drive[1].root);
}

static void a_running_drive_is_patched(void **state)
{
	struct world *w = *state;
	char text[4000], body[300];

	snprintf(body, sizeof(body),
		 "{\"drive_id\":\"d\",\"is_root_device\":false,"
		 "\"path_on_host\":\"%s\"}",
		 w->kernel);
	api_world_do(w, PUT, "/drives/d", body);
	api_world_do(w, PUT, "/boot-source",
		     "{\"kernel_image_path\":\"/dev/null\"}");
	api_world_boot(w);
	assert_int_equal(api_world_call(w, PAT, "/drives/d",
					"{\"drive_id\":\"d\"}", text,
					sizeof(text)),
			 400);
	assert_contains(text, "Drive config error: Unable to patch the block "
			      "device: Running method expected different "
			      "backend: there is nothing to change, give "
			      "`path_on_host` or `rate_limiter`. Please");
	api_world_do(w, PAT, "/drives/d",
		     "{\"drive_id\":\"d\",\"rate_limiter\":{}}");
	api_world_do(w, PAT, "/drives/d",
		     "{\"drive_id\":\"d\",\"rate_limiter\":{\"ops\":{"
		     "\"size\":10,\"refill_time\":100}}}");
	assert_int_equal(w->instance.config.drive[0].block.limiter.ops.size,
			 10);
	assert_int_equal(api_world_call(w, PAT, "/drives/d",
					"{\"drive_id\":\"d\",\"path_on_host\":"
					"\"/no/pe\"}",
					text, sizeof(text)),
			 400);
	assert_contains(text, "Unable to patch the block device: ");
	assert_string_equal(w->instance.config.drive[0].block.path, w->kernel);
	api_world_call(w, GET, "/metrics", NULL, text, sizeof(text));
	assert_contains(text, "\"block_d\":{");
}

static void a_balloon_is_told_before_the_start(void **state)
{
	struct world *w = *state;
	char text[8000];

	api_world_do(w, PUT, "/balloon",
		     "{\"amount_mib\":40,\"deflate_on_oom\":true,"
		     "\"stats_polling_interval_s\":1}");
	assert_int_equal(
		api_world_call(w, GET, "/balloon", NULL, text, sizeof(text)),
		200);
	assert_string_equal(text, "{\"amount_mib\":40,\"deflate_on_oom\":true,"
				  "\"stats_polling_interval_s\":1,"
				  "\"free_page_hinting\":false,"
				  "\"free_page_reporting\":false}");
	assert_int_equal(api_world_call(w, PUT, "/machine-config",
					"{\"vcpu_count\":1,"
					"\"mem_size_mib\":36}",
					text, sizeof(text)),
			 400);
	assert_contains(text, "Machine config error: The memory size (MiB) is "
			      "smaller than the previously set balloon device "
			      "target size.");
}

static void a_balloon_without_a_driver_is_told(void **state)
{
	struct world *w = *state;
	char text[8000];

	api_world_do(w, PUT, "/balloon",
		     "{\"amount_mib\":40,\"deflate_on_oom\":true,"
		     "\"stats_polling_interval_s\":1}");
	api_world_boot(w);
	assert_int_equal(api_world_call(w, PAT, "/balloon",
					"{\"amount_mib\":50}", text,
					sizeof(text)),
			 400);
	assert_contains(text, "Balloon update error: Device is inactive");
	assert_int_equal(w->instance.config.balloon.amount_mib, 40);
	api_world_do(w, PAT, "/balloon/statistics",
		     "{\"stats_polling_interval_s\":7}");
	assert_int_equal(api_world_call(w, PAT, "/balloon/statistics",
					"{\"stats_polling_interval_s\":0}",
					text, sizeof(text)),
			 400);
	assert_contains(text, "Cannot enable/disable the statistics after "
			      "boot.");
	assert_int_equal(api_world_call(w, GET, "/balloon/statistics", NULL,
					text, sizeof(text)),
			 200);
	assert_string_equal(text, "{\"target_pages\":10240,\"actual_pages\":0,"
				  "\"target_mib\":40,\"actual_mib\":0}");
	assert_int_equal(api_world_call(w, PAT, "/balloon/hinting/start", NULL,
					text, sizeof(text)),
			 400);
	assert_contains(text, "Balloon update error: ");
	api_world_call(w, GET, "/vm/config", NULL, text, sizeof(text));
	assert_contains(text, "\"balloon\":{\"amount_mib\":40,");
	assert_contains(text, "\"stats_polling_interval_s\":7");
	api_world_call(w, GET, "/metrics", NULL, text, sizeof(text));
	assert_contains(text, "\"balloon\":{\"activate_fails\":0,");
}

static void a_vsock_is_told_and_its_socket_goes(void **state)
{
	struct world *w = *state;
	char body[200], path[100], text[8000];

	snprintf(path, sizeof(path), "%s/v", w->folder);
	snprintf(body, sizeof(body), "{\"guest_cid\":9,\"uds_path\":\"%s\"}",
		 path);
	api_world_do(w, PUT, "/vsock", body);
	/* The last one counts. */
	snprintf(body, sizeof(body),
		 "{\"guest_cid\":3,\"uds_path\":\"%s\",\"vsock_id\":\"x\"}",
		 path);
	api_world_do(w, PUT, "/vsock", body);
	assert_int_equal(access(path, F_OK), -1);
	api_world_boot(w);
	assert_int_equal(access(path, F_OK), 0);
	snprintf(body, sizeof(body),
		 "\"vsock\":{\"guest_cid\":3,\"uds_path\":\"%s\","
		 "\"vsock_id\":\"x\"}",
		 path);
	api_world_call(w, GET, "/vm/config", NULL, text, sizeof(text));
	assert_contains(text, body);
	api_world_call(w, GET, "/metrics", NULL, text, sizeof(text));
	assert_contains(text, "\"vsock\":{\"activate_fails\":0,");
	/* Its folder is empty, which api_world_tear_down() looks at. */
}

/* The order of their places, and so of the guest's names for them. */
static void devices_are_in_firecrackers_order(void **state)
{
	static const uint32_t wanted[] = {VIRTIO_ID_BALLOON, VIRTIO_ID_BLOCK,
					  VIRTIO_ID_VSOCK, VIRTIO_ID_RNG};
	struct world *w = *state;
	char body[300];

	api_world_do(w, PUT, "/entropy", "{}");
	snprintf(body, sizeof(body), "{\"guest_cid\":9,\"uds_path\":\"%s/v\"}",
		 w->folder);
	api_world_do(w, PUT, "/vsock", body);
	snprintf(body, sizeof(body),
		 "{\"drive_id\":\"d\",\"is_root_device\":false,"
		 "\"path_on_host\":\"%s\"}",
		 w->kernel);
	api_world_do(w, PUT, "/drives/d", body);
	api_world_do(w, PUT, "/balloon",
		     "{\"amount_mib\":0,\"deflate_on_oom\":false}");
	api_world_boot(w);
	for (unsigned i = 0; i < ARRAY_SIZE(wanted); i++) {
		const struct virtio_slots *slots = &w->instance.vm->virtio;

		assert_true(i < slots->count);
		assert_int_equal(slots->slot[i].dev->ops->kind->device_id,
				 wanted[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		API_TEST(what_cannot_be_is_refused),
		API_TEST(drives_are_replaced_by_id_and_there_is_one_root),
		API_TEST(a_running_drive_is_patched),
		API_TEST(a_balloon_is_told_before_the_start),
		API_TEST(a_balloon_without_a_driver_is_told),
		API_TEST(a_vsock_is_told_and_its_socket_goes),
		API_TEST(devices_are_in_firecrackers_order),
	};

	return RUN_TESTS("api_devices", tests);
}
