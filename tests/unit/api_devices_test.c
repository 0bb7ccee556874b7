/* SPDX-License-Identifier: Apache-2.0 */
/* Devices through the API. */
#include <stdio.h>
#include <string.h>

#include "tests/unit/api_world.h"
#include "tests/unit/testing.h"

#define GET HTTP_METHOD_GET
#define PUT HTTP_METHOD_PUT
#define PAT HTTP_METHOD_PATCH

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
	assert_string_equal(w->instance.config.drive[0].id, "b");
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
	api_world_do(w, PAT, "/drives/d", "{\"drive_id\":\"d\"}");
	api_world_do(w, PAT, "/drives/d",
		     "{\"drive_id\":\"d\",\"rate_limiter\":{\"ops\":{"
		     "\"size\":10,\"refill_time\":100}}}");
	assert_int_equal(w->instance.config.drive[0].limiter.ops.size, 10);
	assert_int_equal(api_world_call(w, PAT, "/drives/d",
					"{\"drive_id\":\"d\",\"path_on_host\":"
					"\"/no/pe\"}",
					text, sizeof(text)),
			 400);
	assert_contains(text, "Unable to patch the block device: ");
	assert_string_equal(w->instance.config.drive[0].path, w->kernel);
	api_world_call(w, GET, "/metrics", NULL, text, sizeof(text));
	assert_contains(text, "\"block_d\":{");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		API_TEST(drives_are_replaced_by_id_and_there_is_one_root),
		API_TEST(a_running_drive_is_patched),
	};

	return RUN_TESTS("api_devices", tests);
}
