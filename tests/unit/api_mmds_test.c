/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata service through the API. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/util.h"
#include "tests/unit/api_world.h"
#include "tests/unit/testing.h"

#define GET HTTP_METHOD_GET
#define PUT HTTP_METHOD_PUT
#define PAT HTTP_METHOD_PATCH

#define BAD_BODY \
	"An error occurred when deserializing the json body of a request: "
#define CONFIG_ERROR "MMMDS config error: "

static char text[8000];

static unsigned call(struct world *w, enum http_method method, const char *path,
		     const char *body)
{
	return api_world_call(w, method, path, body, text, sizeof(text));
}

static void add_interface(struct world *w, const char *id, bool vhost)
{
	struct interface_config interface = {
		.net.id = strdup(id), .net.tap = strdup(id), .vhost = vhost};

	assert_ok(
		vm_config_put_interface(&w->instance.config, &interface, &w->e),
		w->e);
}

static void assert_config(struct world *w, const char *json)
{
	assert_int_equal(call(w, GET, "/vm/config", NULL), 200);
	assert_contains(text, json);
}

static void the_configuration_is_kept(void **state)
{
	struct world *w = *state;

	add_interface(w, "a", false);
	add_interface(w, "b", false);
	assert_config(w, "\"mmds-config\":null,");
	api_world_do(w, PUT, "/mmds/config",
		     "{\"network_interfaces\":[\"a\"]}");
	assert_config(w, "\"mmds-config\":{\"version\":\"V1\","
			 "\"network_interfaces\":[\"a\"],"
			 "\"ipv4_address\":\"169.254.169.254\","
			 "\"imds_compat\":false},");
	/* The last one counts, as a whole. */
	api_world_do(w, PUT, "/mmds/config",
		     "{\"network_interfaces\":[\"b\",\"b\"],\"version\":\"V2\","
		     "\"ipv4_address\":\"169.254.1.255\","
		     "\"imds_compat\":true}");
	assert_config(w, "\"mmds-config\":{\"version\":\"V2\","
			 "\"network_interfaces\":[\"b\"],"
			 "\"ipv4_address\":\"169.254.1.255\","
			 "\"imds_compat\":true},");
	/* An interface that is replaced keeps its service. */
	add_interface(w, "b", false);
	assert_config(w, "\"network_interfaces\":[\"b\"],\"ipv4");
	assert_true(w->instance.configured);
}

static const char *const refused[][2] = {
	{"{}", BAD_BODY "missing field `network_interfaces`"},
	{"{\"network_interfaces\":[]}",
	 CONFIG_ERROR "The list of network interface IDs that allow "
		      "forwarding MMDS requests is empty."},
	{"{\"network_interfaces\":[\"a\",\"c\"]}",
	 CONFIG_ERROR "The list of network interface IDs provided "
		      "contains at least one ID that does not "
		      "correspond to any existing network interface."},
	{"{\"network_interfaces\":[1]}", CONFIG_ERROR},
	{"{\"network_interfaces\":\"a\"}", BAD_BODY},
	{"{\"network_interfaces\":[\"a\"],\"version\":\"V3\"}", BAD_BODY},
	{"{\"network_interfaces\":[\"a\"],\"x\":1}", BAD_BODY},
	{"{\"network_interfaces\":[\"v\"]}",
	 CONFIG_ERROR "network interface v has `vhost`"},
};

static const char *const not_link_local[] = {
	"10.0.0.1",    "169.254.0.1", "169.254.255.1",
	"169.253.1.1", "169.255.1.1", "168.254.1.1",
};

static const char *const no_addresses[] = {
	"169.254.1",
	"169.254.1.1.1",
	"169.254.1.256",
	"169.254.1.",
	"169.254.1.1 ",
	"169.254..1",
	"0169.254.1.1",
	"x",
	"",
};

static void what_cannot_be_is_refused_whole(void **state)
{
	struct world *w = *state;
	char body[200];

	add_interface(w, "a", false);
	add_interface(w, "v", true);
	for (unsigned i = 0; i < ARRAY_SIZE(refused); i++) {
		assert_int_equal(call(w, PUT, "/mmds/config", refused[i][0]),
				 400);
		assert_contains(text, refused[i][1]);
	}
	for (unsigned i = 0;
	     i < ARRAY_SIZE(not_link_local) + ARRAY_SIZE(no_addresses); i++) {
		bool is_bad = i >= ARRAY_SIZE(not_link_local);

		snprintf(body, sizeof(body),
			 "{\"network_interfaces\":[\"a\"],"
			 "\"ipv4_address\":\"%s\"}",
			 is_bad ? no_addresses[i - ARRAY_SIZE(not_link_local)]
				: not_link_local[i]);
		assert_int_equal(call(w, PUT, "/mmds/config", body), 400);
		assert_contains(text, is_bad ? BAD_BODY
					     : CONFIG_ERROR
					      "The MMDS IPv4 address "
					      "is not link local.");
	}
	assert_config(w, "\"mmds-config\":null,");
	assert_false(w->instance.configured);
}

static void its_interface_cannot_become_vhosts(void **state)
{
	struct world *w = *state;
	struct interface_config interface = {
		.net.id = strdup("a"), .net.tap = strdup("a"), .vhost = true};

	add_interface(w, "a", false);
	api_world_do(w, PUT, "/mmds/config",
		     "{\"network_interfaces\":[\"a\"]}");
	assert_err(
		vm_config_put_interface(&w->instance.config, &interface, &w->e),
		w->e, "is not possible with `vhost`");
	interface_config_fini(&interface);
}

static void change_the_document(struct world *w)
{
	api_world_do(w, PUT, "/mmds", "{\"a\":{\"b\":1}}");
	api_world_do(w, PAT, "/mmds", "{\"a\":{\"c\":2}}");
	assert_int_equal(call(w, GET, "/mmds", NULL), 200);
	assert_string_equal(text, "{\"a\":{\"b\":1,\"c\":2}}");
	w->instance.mmds.limit = 20;
	assert_int_equal(call(w, PAT, "/mmds", "{\"a\":{\"d\":2}}"), 413);
	assert_contains(text, "MMDS limit exceeded error: The MMDS patch "
			      "request doesn't fit.");
	assert_int_equal(call(w, PUT, "/mmds", "{\"a\":{\"bbbbbb\":1234}}"),
			 413);
	assert_int_equal(call(w, GET, "/mmds", NULL), 200);
	assert_string_equal(text, "{\"a\":{\"b\":1,\"c\":2}}");
	w->instance.mmds.limit = 100;
}

static void the_document_can_change_at_any_time(void **state)
{
	struct world *w = *state;

	change_the_document(w);
	/* It is no configuration: a snapshot can still be loaded. */
	assert_false(w->instance.configured);
	api_world_boot(w);
	change_the_document(w);
	assert_int_equal(call(w, PUT, "/mmds/config", "{}"), 400);
	assert_contains(text, "not supported after starting");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		API_TEST(the_configuration_is_kept),
		API_TEST(what_cannot_be_is_refused_whole),
		API_TEST(its_interface_cannot_become_vhosts),
		API_TEST(the_document_can_change_at_any_time),
	};

	return cmocka_run_group_tests_name("api_mmds", tests, NULL, NULL);
}
