/* SPDX-License-Identifier: Apache-2.0 */
/* What requests for snapshots say, and what is wrong with them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/json/json.h"
#include "snapshot/codec.h"
#include "tests/unit/testing.h"
#include "vmm/config/snapshot_bodies.h"

#define PATHS   "\"snapshot_path\": \"s\", \"mem_file_path\": \"m\""
#define BACKEND "\"mem_backend\": {\"backend_path\": \"b\", \"backend_type\": "
#define FILE_B  "\"snapshot_path\": \"s\", " BACKEND "\"File\"}"

static struct json_t *parse(const char *text)
{
	struct err e;
	struct json_t *json = json_parse(text, strlen(text), &e);

	if (!json)
		fail_msg("%s: %s", text, e.text);
	return json;
}

static int read_create(struct snapshot_create *body, const char *text,
		       struct err *e)
{
	struct json_t *json = parse(text);
	int r = snapshot_create_read(body, json, e);

	json_free(json);
	return r;
}

static int read_load(struct snapshot_load *body, const char *text,
		     struct err *e)
{
	struct json_t *json = parse(text);
	int r = snapshot_load_read(body, json, e);

	json_free(json);
	return r;
}

/* ------------------------------------------------------------------- create */

static void a_snapshot_is_full_and_synced_unless_told(void **state)
{
	struct snapshot_create body;
	struct err e;

	(void)state;
	assert_ok(read_create(&body, "{" PATHS "}", &e), e);
	assert_string_equal(body.state_path, "s");
	assert_string_equal(body.memory_path, "m");
	assert_false(body.diff);
	assert_true(body.sync);
	snapshot_create_fini(&body);
	assert_ok(read_create(&body,
			      "{" PATHS ", \"snapshot_type\": \"Diff\", "
			      "\"sync_snapshot_files\": false}",
			      &e),
		  e);
	assert_true(body.diff);
	assert_false(body.sync);
	assert_int_equal(body.mode, 0);
	assert_false(body.no_host_details);
	snapshot_create_fini(&body);
	assert_ok(
		read_create(&body, "{" PATHS ", \"host_details\": false}", &e),
		e);
	assert_true(body.no_host_details);
	snapshot_create_fini(&body);
	assert_ok(read_create(&body, "{" PATHS ", \"mode\": \"0640\"}", &e), e);
	assert_int_equal(body.mode, 0640);
	snapshot_create_fini(&body);
}

static void wrong_creates_are_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} wrong[] = {
		{"{\"mem_file_path\": \"m\"}", "snapshot_path"},
		{"{\"snapshot_path\": \"s\", \"snapshot_type\": \"Diff\"}",
		 "missing field `mem_file_path`"},
		{"{" PATHS ", \"snapshot_type\": \"Vmstate\"}",
		 "`VmstateOnly`"},
		{"{" PATHS ", \"snapshot_type\": \"Half\"}", "Half"},
		{"{" PATHS ", \"mode\": \"8\"}", "is not a mode of files"},
		{"{" PATHS ", \"mode\": \"0888\"}", "in octal"},
		{"{" PATHS ", \"mode\": \"1777\"}", "in octal"},
		{"{" PATHS ", \"mode\": 640}", "mode"},
		{"{" PATHS ", \"version\": \"1.0\"}", "version"},
		{"{" PATHS ", \"sync_snapshot_files\": 1}", "sync"},
		{"[]", ""},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct snapshot_create body;
		struct err e;

		assert_err(read_create(&body, wrong[i].text, &e), e,
			   wrong[i].why);
		snapshot_create_fini(&body);
	}
}

/* --------------------------------------------------------------------- load */

static void the_old_name_of_the_memory_is_understood(void **state)
{
	struct snapshot_load body;
	struct err e;

	(void)state;
	assert_ok(read_load(&body, "{" PATHS "}", &e), e);
	assert_string_equal(body.memory_path, "m");
	assert_int_equal(body.backend, MEMORY_FILE);
	assert_true(body.deprecated);
	assert_false(body.resume || body.has_clock || body.track_dirty);
	snapshot_load_fini(&body);
}

static void memory_comes_from_where_it_is_said(void **state)
{
	static const char *const text[] = {
		[MEMORY_FILE] =
			"{\"snapshot_path\": \"s\", " BACKEND "\"File\"}}",
		[MEMORY_EAGER] =
			"{\"snapshot_path\": \"s\", " BACKEND "\"Eager\"}}",
		[MEMORY_UFFD] =
			"{\"snapshot_path\": \"s\", " BACKEND "\"Uffd\"}}",
	};

	(void)state;
	for (unsigned i = MEMORY_FILE; i <= MEMORY_UFFD; i++) {
		struct snapshot_load body;
		struct err e;

		assert_ok(read_load(&body, text[i], &e), e);
		assert_int_equal(body.backend, i);
		assert_string_equal(body.memory_path, "b");
		assert_false(body.deprecated);
		snapshot_load_fini(&body);
	}
}

static void a_working_set_is_recorded_of_a_file_alone(void **state)
{
#define RECORD(kind)                                    \
	"{\"snapshot_path\": \"s\", " BACKEND "\"" kind \
	"\"}, \"record_working_set\": true}"
	static const struct {
		const char *text, *why;
	} wrong[] = {
		{RECORD("Eager"), "`Eager` reads all of it"},
		{RECORD("Uffd"), "of `Uffd`, the page server knows it"},
		{"{" FILE_B ", \"record_working_set\": 1}",
		 "record_working_set"},
	};
	struct snapshot_load body;
	struct err e;

	(void)state;
	assert_ok(read_load(&body, RECORD("File"), &e), e);
	assert_true(body.record_working_set);
	snapshot_load_fini(&body);
	assert_ok(read_load(&body, "{" FILE_B "}", &e), e);
	assert_false(body.record_working_set);
	snapshot_load_fini(&body);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_err(read_load(&body, wrong[i].text, &e), e,
			   wrong[i].why);
		snapshot_load_fini(&body);
	}
}

static void a_load_may_be_strict(void **state)
{
	static const struct {
		const char *text;
		bool given, strict;
	} loads[] = {
		{"{" FILE_B "}", false, false},
		{"{" FILE_B ", \"strict\": true}", true, true},
		{"{" FILE_B ", \"strict\": false}", true, false},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(loads); i++) {
		struct snapshot_load body;
		struct err e;

		assert_ok(read_load(&body, loads[i].text, &e), e);
		assert_int_equal(body.strict_given, loads[i].given);
		assert_int_equal(body.strict, loads[i].strict);
		snapshot_load_fini(&body);
	}
}

static void a_clock_can_be_chosen(void **state)
{
	static const struct {
		const char *text;
		bool given;
		enum clock_policy policy;
	} clocks[] = {
		{"", false, CLOCK_CONTINUOUS},
		{", \"clock_realtime\": false", false, CLOCK_CONTINUOUS},
		{", \"clock_realtime\": true", true, CLOCK_CONTINUOUS},
		{", \"clock\": \"frozen\"", true, CLOCK_FROZEN},
		{", \"clock\": \"continuous\"", true, CLOCK_CONTINUOUS},
		{", \"clock\": {\"set\": 7}", true, CLOCK_SET},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
		struct snapshot_load body;
		struct err e;
		char text[256];

		snprintf(text, sizeof(text), "{" FILE_B "%s}", clocks[i].text);
		assert_ok(read_load(&body, text, &e), e);
		assert_int_equal(body.has_clock, clocks[i].given);
		if (clocks[i].given)
			assert_int_equal(body.clock.policy, clocks[i].policy);
		snapshot_load_fini(&body);
	}
}

static void wrong_loads_are_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} wrong[] = {
		{"{\"snapshot_path\": \"s\"}", "`mem_backend` or"},
		{"{" PATHS ", " BACKEND "\"File\"}}", "exclusively"},
		{"{" BACKEND "\"File\"}}", "snapshot_path"},
		{"{\"snapshot_path\": \"s\", " BACKEND "\"Tape\"}}", "Tape"},
		{"{\"snapshot_path\": \"s\", \"mem_backend\": {}}", "backend_"},
		{"{\"snapshot_path\": \"s\", \"mem_backend\": 1}",
		 "`mem_backend`"},
		{"{" FILE_B ", \"clock\": \"frozen\", \"clock_realtime\": "
		 "true}",
		 "say the same"},
		{"{" FILE_B ", \"clock\": \"later\"}", "continuous"},
		{"{" FILE_B ", \"network_overrides\": {}}",
		 "`network_overrides`"},
		{"{" FILE_B ", \"network_overrides\": [{\"iface_id\": "
		 "\"a\"}]}",
		 "host_dev_name"},
		{"{" FILE_B ", \"network_overrides\": [{\"iface_id\": "
		 "\"a\", \"host_dev_name\": \"t\", \"vhost\": 1}]}",
		 "element 0: field `vhost`: expected true or false"},
		{"{" FILE_B ", \"drive_overrides\": [{\"drive_id\": \"a\", "
		 "\"path_on_host\": \"p\"}, 1]}",
		 "element 1"},
		{"{" FILE_B ", \"vsock_override\": {\"path\": \"v\"}}",
		 "`vsock_override`"},
		{"{" FILE_B ", \"huge_pages\": \"1G\"}", "`2M`"},
		{"{" FILE_B ", \"huge_pages\": 2}", "huge_pages"},
		{"{" FILE_B ", \"strict\": 1}", "`strict`: expected"},
		{"{" FILE_B ", \"resume\": true}", "resume"},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct snapshot_load body;
		struct err e;

		assert_err(read_load(&body, wrong[i].text, &e), e,
			   wrong[i].why);
		snapshot_load_fini(&body);
	}
}

/* ---------------------------------------------------------------- overrides */

/* What a load makes of a VM of 33 MiB that was saved with @saved. */
static int load_pages(const char *members, enum guest_mem_pages saved,
		      uint64_t mib, enum guest_mem_pages *loaded)
{
	struct vm_config config;
	struct snapshot_load body;
	char text[160];
	struct err e;
	int r;

	vm_config_init(&config);
	config.mem_mib = mib;
	config.huge_pages = saved;
	snprintf(text, sizeof(text), "{" FILE_B "%s}", members);
	assert_ok(read_load(&body, text, &e), e);
	r = snapshot_load_override(&body, &config, &e);
	*loaded = config.huge_pages;
	snapshot_load_fini(&body);
	vm_config_fini(&config);
	return r;
}

static void huge_pages_are_as_saved_or_as_the_load_says(void **state)
{
	static const struct {
		const char *members;
		enum guest_mem_pages saved, loaded;
	} loads[] = {
		{"", GUEST_MEM_PLAIN, GUEST_MEM_PLAIN},
		{"", GUEST_MEM_2M, GUEST_MEM_2M},
		{", \"huge_pages\": \"Snapshot\"", GUEST_MEM_2M, GUEST_MEM_2M},
		{", \"huge_pages\": \"None\"", GUEST_MEM_2M, GUEST_MEM_PLAIN},
		{", \"huge_pages\": \"2M\"", GUEST_MEM_PLAIN, GUEST_MEM_2M},
		{", \"huge_pages\": \"Transparent\"", GUEST_MEM_2M,
		 GUEST_MEM_TRANSPARENT},
	};
	const char *record = ", \"record_working_set\": true";
	enum guest_mem_pages pages;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(loads); i++) {
		assert_int_equal(load_pages(loads[i].members, loads[i].saved,
					    32, &pages),
				 0);
		assert_int_equal(pages, loads[i].loaded);
	}
	/* The size that was saved may not allow it. */
	assert_int_equal(
		load_pages(loads[4].members, GUEST_MEM_PLAIN, 33, &pages), -1);
	assert_int_equal(load_pages(record, GUEST_MEM_PLAIN, 32, &pages), 0);
	assert_int_equal(load_pages(record, GUEST_MEM_2M, 32, &pages), -1);
}

static void make_config(struct vm_config *config, struct err *e)
{
	struct drive_config drive = {.block.id = strdup("d"),
				     .block.path = strdup("old")};
	struct interface_config nic = {.net.id = strdup("n"),
				       .net.tap = strdup("t0")};

	vm_config_init(config);
	assert_ok(vm_config_put_drive(config, &drive, e), *e);
	assert_ok(vm_config_put_interface(config, &nic, e), *e);
	config->vsock.uds_path = strdup("v0");
}

static void overrides_change_what_they_name(void **state)
{
	struct vm_config config;
	struct snapshot_load body;
	struct err e;

	(void)state;
	make_config(&config, &e);
	assert_ok(read_load(&body,
			    "{" FILE_B
			    ", \"network_overrides\": [{\"iface_id\": \"n\", "
			    "\"host_dev_name\": \"t1\"}], "
			    "\"drive_overrides\": [{\"drive_id\": \"d\", "
			    "\"path_on_host\": \"new\"}], "
			    "\"vsock_override\": {\"uds_path\": \"v1\"}}",
			    &e),
		  e);
	assert_ok(snapshot_load_override(&body, &config, &e), e);
	assert_string_equal(config.drive[0].block.path, "new");
	assert_string_equal(config.interface[0].net.tap, "t1");
	assert_string_equal(config.vsock.uds_path, "v1");
	assert_true(snapshot_load_overrides_drive(&body, "d"));
	assert_false(snapshot_load_overrides_drive(&body, "n"));
	snapshot_load_fini(&body);
	vm_config_fini(&config);
}

/* A VM whose interface is saved with vhost or without, and loaded with an
 * override that ends in @text: does it have vhost then?  The section comes
 * after the override was made, and in old files not at all. */
static bool vhost_after(bool was, const char *text)
{
	struct vm_config config;
	struct snapshot_load body;
	struct snap saved, s;
	struct err e;
	char load[256];
	const void *data;
	size_t len;
	bool vhost;

	make_config(&config, &e);
	config.interface[0].vhost = was;
	snap_save(&saved, SNAPSHOT_VERSION);
	vm_config_vhost_state(&config, &saved);
	assert_ok(snap_finish(&saved, &e), e);
	data = snap_data(&saved, &len);
	config.interface[0].vhost = false;
	snprintf(load, sizeof(load),
		 "{" FILE_B ", \"network_overrides\": "
		 "[{\"iface_id\": \"n\", \"host_dev_name\": \"t1\"%s}]}",
		 text);
	assert_ok(read_load(&body, load, &e), e);
	assert_ok(snapshot_load_override(&body, &config, &e), e);
	snap_load(&s, data, len, SNAPSHOT_VERSION);
	vm_config_vhost_state(&config, &s);
	assert_ok(snap_finish(&s, &e), e);
	vhost = config.interface[0].vhost;
	snapshot_load_fini(&body);
	vm_config_fini(&config);
	snap_fini(&saved);
	return vhost;
}

static void vhost_is_as_saved_unless_chosen(void **state)
{
	static const struct {
		const char *text;
		bool saved, after;
	} rows[] = {
		{"", false, false},
		{"", true, true},
		{", \"vhost\": null", true, true},
		{", \"vhost\": true", false, true},
		{", \"vhost\": true", true, true},
		{", \"vhost\": false", false, false},
		{", \"vhost\": false", true, false},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(vhost_after(rows[i].saved, rows[i].text),
				 rows[i].after);
}

static void overrides_of_what_is_not_there_are_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} wrong[] = {
		{"\"network_overrides\": [{\"iface_id\": \"x\", "
		 "\"host_dev_name\": \"t1\"}]",
		 "Unknown Network Device."},
		{"\"drive_overrides\": [{\"drive_id\": \"x\", "
		 "\"path_on_host\": \"p\"}]",
		 "no drive \"x\""},
		{"\"vsock_override\": {\"uds_path\": \"v1\"}",
		 "Unknown Vsock Device."},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct vm_config config;
		struct snapshot_load body;
		struct err e;
		char text[256];

		make_config(&config, &e);
		free(config.vsock.uds_path);
		config.vsock.uds_path = NULL;
		snprintf(text, sizeof(text), "{" FILE_B ", %s}", wrong[i].text);
		assert_ok(read_load(&body, text, &e), e);
		assert_err(snapshot_load_override(&body, &config, &e), e,
			   wrong[i].why);
		snapshot_load_fini(&body);
		vm_config_fini(&config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_snapshot_is_full_and_synced_unless_told),
		cmocka_unit_test(wrong_creates_are_refused),
		cmocka_unit_test(the_old_name_of_the_memory_is_understood),
		cmocka_unit_test(memory_comes_from_where_it_is_said),
		cmocka_unit_test(a_working_set_is_recorded_of_a_file_alone),
		cmocka_unit_test(a_load_may_be_strict),
		cmocka_unit_test(a_clock_can_be_chosen),
		cmocka_unit_test(wrong_loads_are_refused),
		cmocka_unit_test(huge_pages_are_as_saved_or_as_the_load_says),
		cmocka_unit_test(overrides_change_what_they_name),
		cmocka_unit_test(vhost_is_as_saved_unless_chosen),
		cmocka_unit_test(overrides_of_what_is_not_there_are_refused),
	};

	return RUN_TESTS("snapshot_bodies", tests);
}
