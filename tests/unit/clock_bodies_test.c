/* SPDX-License-Identifier: Apache-2.0 */
/* What is said about guest time in JSON: vmm/config/clock_bodies.c. */
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/util.h"
#include "core/json/json.h"
#include "tests/unit/testing.h"
#include "vmm/config/bodies.h"

static struct err e;

static int read_config(struct clock_config *clock, const char *text)
{
	struct json_t *json = json_parse(text, strlen(text), &e);
	int r;

	assert_non_null(json);
	r = clock_config_read(clock, json, &e);
	json_free(json);
	return r;
}

static int read_request(struct clock_request *request, const char *text)
{
	char state[256];
	struct vm_state_body body;
	struct json_t *json;
	int r;

	snprintf(state, sizeof(state), "{\"state\":\"Resumed\",\"clock\":%s}",
		 text);
	json = json_parse(state, strlen(state), &e);
	assert_non_null(json);
	r = vm_state_read(&body, json, &e);
	json_free(json);
	if (!r)
		assert_true(body.resume && body.has_clock);
	*request = body.clock;
	return r;
}

static void a_config_changes_what_it_names(void **state)
{
	struct clock_config clock = {.max_jump_ms = CLOCK_MAX_JUMP_MS};

	(void)state;
	assert_ok(read_config(&clock, "{}"), e);
	assert_int_equal(clock.on_pause, CLOCK_FROZEN);
	assert_int_equal(clock.max_jump_ms, 600000);
	assert_int_equal(clock.physical, CLOCK_PHYSICAL_ANY);
	assert_ok(read_config(&clock, "{\"on_pause\":\"continuous\"}"), e);
	assert_ok(read_config(&clock, "{\"physical\":\"host\",\"max_jump_ms\""
				      ":0}"),
		  e);
	assert_int_equal(clock.on_pause, CLOCK_CONTINUOUS);
	assert_int_equal(clock.on_restore, CLOCK_FROZEN);
	assert_int_equal(clock.physical, CLOCK_PHYSICAL_HOST);
	assert_int_equal(clock.max_jump_ms, 0);
	assert_int_equal(clock.smear, CLOCK_SMEAR_NONE);
	assert_ok(read_config(&clock, "{\"smear\":\"utc-sls\"}"), e);
	assert_int_equal(clock.smear, CLOCK_SMEAR_UTC_SLS);
	assert_ok(read_config(&clock, "{\"on_stop\":\"frozen\",\"realtime\":"
				      "\"-1.5\"}"),
		  e);
	assert_true(clock.stalls_are_frozen);
	assert_true(!clock.realtime.is_date &&
		    clock.realtime.ns == -1500000000);
	assert_ok(read_config(&clock, "{\"realtime\":2145916800}"), e);
	assert_true(clock.stalls_are_frozen && clock.realtime.is_date);
}

static void config_refusals_name_the_field(void **state)
{
	static const char *const cases[][2] = {
		{"{\"on_pause\":\"set\"}",
		 "field `clock`: unknown variant `set`, expected `frozen` or "
		 "`continuous`"},
		{"{\"on_pause\":{\"set\":1}}",
		 "invalid type: map, expected a string"},
		{"{\"on_restore\":\"\"}", "unknown variant ``"},
		{"{\"physical\":\"any\"}", "expected `guest` or `host`"},
		{"{\"smear\":\"slow\"}",
		 "expected one of `none`, `noon-linear`, `utc-sls`"},
		{"{\"realtime\":\"later\"}",
		 "field `realtime`: `later` is no time"},
		{"{\"realtime\":-1}",
		 "field `realtime`: `a number before 1970`"},
		{"{\"realtime\":9223372037}", "field `realtime`"},
		{"{\"realtime\":1.5}", "field `realtime`"},
		{"{\"realtime\":{}}", "field `realtime`"},
		{"{\"on_stop\":\"set\"}", "unknown variant `set`"},
		{"{\"max_jump_ms\":-1}", "integer `-1`, expected usize"},
		{"{\"max_jump_ms\":1.5}",
		 "invalid type: floating point, expected usize"},
		{"{\"max_jump_ms\":2147483648}", "2147483647"},
		{"{\"on_boot\":\"frozen\"}", "unknown field `on_boot`"},
		{"[]",
		 "field `clock`: invalid type: sequence, expected an object"},
	};
	struct clock_config clock = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_err(read_config(&clock, cases[i][0]), e, cases[i][1]);
}

static void requests_are_read(void **state)
{
	struct clock_request r;

	(void)state;
	assert_ok(read_request(&r, "\"continuous\""), e);
	assert_int_equal(r.policy, CLOCK_CONTINUOUS);
	assert_false(r.has_max_jump);
	assert_ok(read_request(&r, "{\"policy\":\"continuous\","
				   "\"max_jump_ms\":7200000}"),
		  e);
	assert_int_equal(r.policy, CLOCK_CONTINUOUS);
	assert_true(r.has_max_jump);
	assert_int_equal(r.max_jump_ms, 7200000);
	assert_ok(read_request(&r, "{\"set\":9223372036854775807}"), e);
	assert_int_equal(r.policy, CLOCK_SET);
	assert_int_equal(r.ticks, INT64_MAX);
	assert_false(r.has_max_jump);
}

static void request_refusals_say_why(void **state)
{
	static const char *const cases[][2] = {
		{"\"set\"", "field `clock`: unknown variant `set`"},
		{"7", "field `clock`: invalid type: integer `7`, expected an "
		      "object"},
		{"{}", "field `clock`: expected either `policy` or `set`"},
		{"{\"max_jump_ms\":1}", "expected either `policy` or `set`"},
		{"{\"set\":1,\"policy\":\"frozen\"}",
		 "expected either `policy` or `set`"},
		{"{\"set\":-1}", "integer `-1`, expected u64"},
		{"{\"set\":\"1\"}", "string \"1\", expected u64"},
		{"{\"policy\":\"thawed\"}", "unknown variant `thawed`"},
		{"{\"set\":1,\"later\":2}", "unknown field `later`"},
	};
	struct clock_request r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_err(read_request(&r, cases[i][0]), e, cases[i][1]);
}

/* A document that is read into a machine, and what is told of that. */
static char *machine_of(struct vm_config *config, const char *text,
			bool partial)
{
	struct machine_config body;
	struct buf out = {0};
	struct json_t *json = json_parse(text, strlen(text), &e);

	assert_non_null(json);
	machine_config_init(&body, config);
	assert_ok(machine_config_read(&body, json, partial, &e), e);
	assert_ok(machine_config_apply(&body, config, &e), e);
	machine_config_fini(&body);
	json_free(json);
	machine_config_print(config, &out);
	return out.data;
}

static void only_who_chose_is_told(void **state)
{
	struct vm_config config;
	char *text;

	(void)state;
	vm_config_init(&config);
	text = machine_of(&config, "{\"vcpu_count\":2,\"mem_size_mib\":64}",
			  false);
	assert_lacks(text, "clock");
	free(text);
	text = machine_of(&config, "{\"clock\":{\"on_pause\":\"continuous\"}}",
			  true);
	assert_contains(text,
			",\"clock\":{\"on_pause\":\"continuous\","
			"\"on_restore\":\"frozen\",\"max_jump_ms\":600000}}");
	free(text);
	text = machine_of(&config, "{\"clock\":{\"physical\":\"guest\"}}",
			  true);
	assert_contains(text, "\"on_pause\":\"continuous\"");
	assert_contains(text, "\"physical\":\"guest\"");
	free(text);
	/* The whole machine anew. */
	text = machine_of(&config, "{\"vcpu_count\":2,\"mem_size_mib\":64}",
			  false);
	assert_lacks(text, "clock");
	assert_int_equal(config.clock.on_pause, CLOCK_FROZEN);
	free(text);
	vm_config_fini(&config);
}

static void a_nested_guest_has_one_counter(void **state)
{
	static const char both[] =
		"{\"nested\":true,\"clock\":{\"physical\":\"host\"}}";
	struct machine_config body;
	struct vm_config config;
	struct json_t *json = json_parse(both, strlen(both), &e);
	char *text;

	(void)state;
	vm_config_init(&config);
	text = machine_of(&config, "{\"nested\":true}", true);
	assert_contains(text, ",\"nested\":true}");
	assert_int_equal(config.cpu[ARCH_NESTED], ARCH_ON);
	free(text);
	machine_config_init(&body, &config);
	assert_ok(machine_config_read(&body, json, true, &e), e);
	assert_err(machine_config_apply(&body, &config, &e), e,
		   "`physical` cannot be \"host\"");
	machine_config_fini(&body);
	json_free(json);
	text = machine_of(&config, "{\"vcpu_count\":1,\"mem_size_mib\":64}",
			  false);
	assert_lacks(text, "nested");
	assert_int_equal(config.cpu[ARCH_NESTED], ARCH_AUTO);
	free(text);
	vm_config_fini(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_config_changes_what_it_names),
		cmocka_unit_test(config_refusals_name_the_field),
		cmocka_unit_test(requests_are_read),
		cmocka_unit_test(request_refusals_say_why),
		cmocka_unit_test(only_who_chose_is_told),
		cmocka_unit_test(a_nested_guest_has_one_counter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
