/* SPDX-License-Identifier: Apache-2.0 */
/* Each path of the API is known with its methods, and none that is like it;
 * what is deprecated is marked. */
#include <stdio.h>
#include <string.h>

#include "core/base/util.h"
#include "tests/unit/api_world.h"
#include "tests/unit/testing.h"
#include "vmm/api/routes.h"

#define GET HTTP_METHOD_GET
#define PUT HTTP_METHOD_PUT
#define PAT HTTP_METHOD_PATCH
#define DEL HTTP_METHOD_DELETE

#define BAD_PATH "Invalid request method and/or path: "

/* All that there is, once. */
static const struct known {
	const char *path;
	unsigned methods; /* bits: 1 << HTTP_METHOD_... */
} known[] = {
	{"/version", 1 << GET},
	{"/actions", 1 << PUT},
	{"/balloon", 1 << GET | 1 << PUT | 1 << PAT},
	{"/balloon/statistics", 1 << GET | 1 << PAT},
	{"/balloon/hinting/start", 1 << PAT},
	{"/balloon/hinting/status", 1 << GET},
	{"/balloon/hinting/stop", 1 << PAT},
	{"/boot-source", 1 << PUT},
	{"/clock", 1 << GET},
	{"/cpu-config", 1 << PUT},
	{"/drives/x", 1 << PUT | 1 << PAT | 1 << DEL},
	{"/entropy", 1 << PUT},
	{"/events", 1 << GET},
	{"/hotplug/memory", 1 << GET | 1 << PUT | 1 << PAT},
	{"/logger", 1 << PUT},
	{"/machine-config", 1 << GET | 1 << PUT | 1 << PAT},
	{"/metrics", 1 << GET | 1 << PUT},
	{"/mmds", 1 << GET | 1 << PUT | 1 << PAT},
	{"/mmds/config", 1 << PUT},
	{"/network-interfaces/x", 1 << PUT | 1 << PAT | 1 << DEL},
	{"/pmem/x", 1 << PUT | 1 << PAT | 1 << DEL},
	{"/serial", 1 << PUT},
	{"/snapshot/create", 1 << PUT},
	{"/snapshot/load", 1 << PUT},
	{"/stasis", 1 << GET},
	{"/vm", 1 << PAT},
	{"/vm/config", 1 << GET},
	{"/vsock", 1 << PUT},
};

/* Wherever a path is none, that is what is said of it. */
static void check_path(struct world *w, const char *path, unsigned methods)
{
	for (unsigned m = GET; m <= DEL; m++) {
		const char *body = m == PUT || m == PAT ? "{\"no\":1}" : NULL;
		char text[8000];
		bool known_here = methods >> m & 1;
		unsigned status = api_world_call(w, (enum http_method)m, path,
						 body, text, sizeof(text));

		if (known_here == (strstr(text, BAD_PATH) != NULL))
			fail_msg("%s %s: %s", http_method_name[m], path, text);
		if (!known_here)
			assert_int_equal(status, 400);
	}
}

static void check_paths(struct world *w)
{
	for (unsigned i = 0; i < ARRAY_SIZE(known); i++) {
		static const char *const behind[] = {"/x",  "//",   "/x/",
						     "/..", "?x=y", "x"};
		const struct known *k = &known[i];
		bool has_id = strstr(k->path, "/x");
		char path[80];

		check_path(w, k->path, k->methods);
		snprintf(path, sizeof(path), "//%s/", k->path);
		check_path(w, path, k->methods);
		for (unsigned j = 0; j < ARRAY_SIZE(behind); j++) {
			/* Those are wrong ids. */
			if (has_id && behind[j][0] != '/')
				continue;
			snprintf(path, sizeof(path), "%s%s", k->path,
				 behind[j]);
			check_path(w, path, 0);
		}
	}
}

static void each_path_is_known_or_refused(void **state)
{
	check_paths(*state);
	api_world_boot(*state);
	check_paths(*state);
}

static void deprecated_fields_are_marked(void **state)
{
	struct world *w = *state;
	struct api_reply reply = {0};
	const char body[] = "{\"vcpu_count\":1,\"mem_size_mib\":64,"
			    "\"cpu_template\":\"None\"}";

	routes_handle(&w->instance, PUT, "/machine-config", body, strlen(body),
		      &reply);
	assert_int_equal(reply.status, 204);
	assert_true(reply.deprecated);
	buf_free(&reply.body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		API_TEST(each_path_is_known_or_refused),
		API_TEST(deprecated_fields_are_marked),
	};

	return RUN_TESTS("api_paths", tests);
}
