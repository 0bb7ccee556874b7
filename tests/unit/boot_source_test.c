/* SPDX-License-Identifier: Apache-2.0 */
/* Where a guest boots from, in JSON: the boot source of vmm/config/bodies.c. */
#include <string.h>

#include "core/base/buf.h"
#include "core/json/json.h"
#include "tests/unit/testing.h"
#include "vmm/config/bodies.h"

static struct vm_config config;
static struct err e;

static int set_up(void **state)
{
	(void)state;
	vm_config_init(&config);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	vm_config_fini(&config);
	return 0;
}

/* Put one with these members, and a comma before them, into `config`. */
static int put(const char *members)
{
	struct boot_source body = {0};
	struct json_t *json;
	char text[256];
	int r;

	snprintf(text, sizeof(text), "{\"kernel_image_path\":\"/dev/null\"%s}",
		 members);
	json = json_parse(text, strlen(text), &e);
	assert_non_null(json);
	r = boot_source_read(&body, json, &e);
	if (!r)
		r = boot_source_apply(&body, &config, &e);
	boot_source_fini(&body);
	json_free(json);
	return r;
}

static void assert_printed(const char *members)
{
	struct buf out = {0};
	char text[256];

	snprintf(text, sizeof(text),
		 "{\"kernel_image_path\":\"/dev/null\",\"initrd_path\":null,"
		 "\"boot_args\":null%s}",
		 members);
	boot_source_print(&config, &out);
	assert_string_equal(out.data, text);
	buf_free(&out);
}

static void a_plain_one_is_as_firecrackers(void **state)
{
	(void)state;
	assert_ok(put(""), e);
	assert_false(config.no_kaslr);
	assert_printed("");
}

static void kaslr_can_be_switched_off_and_on_again(void **state)
{
	(void)state;
	assert_ok(put(",\"kaslr\":false"), e);
	assert_true(config.no_kaslr);
	assert_printed(",\"kaslr\":false");
	assert_ok(put(",\"kaslr\":true"), e);
	assert_false(config.no_kaslr);
	assert_ok(put(",\"kaslr\":false"), e);
	/* Each says it all. */
	assert_ok(put(""), e);
	assert_false(config.no_kaslr);
}

static void files_are_shared_on_request(void **state)
{
	(void)state;
	assert_ok(put(",\"share_files\":true"), e);
	assert_true(config.share_files);
	assert_printed(",\"share_files\":true");
	assert_ok(put(""), e);
	assert_false(config.share_files);
}

static void a_raw_binary_goes_where_it_is_told(void **state)
{
	(void)state;
	assert_ok(put(",\"raw\":true"), e);
	assert_true(config.raw);
	assert_int_equal(config.load_address, 0);
	assert_printed(",\"raw\":true");
	assert_ok(put(",\"load_address\":2149580800"), e);
	assert_true(config.raw);
	assert_int_equal(config.load_address, 0x80200000);
	assert_printed(",\"raw\":true,\"load_address\":2149580800");
	assert_ok(put(""), e);
	assert_false(config.raw);
	assert_int_equal(config.load_address, 0);
	assert_int_equal(config.entry, 0);
	assert_ok(put(",\"entry\":2149056516"), e);
	assert_true(config.raw);
	assert_int_equal(config.entry, 0x80180004);
	assert_printed(",\"raw\":true,\"entry\":2149056516");
	assert_false(config.fdt_high);
	assert_ok(put(",\"fdt_high\":true"), e);
	assert_true(config.fdt_high && !config.raw);
	assert_printed(",\"fdt_high\":true");
	assert_err(put(",\"entry\":0"), e, "`entry`");
	assert_err(put(",\"load_address\":0"), e, "`load_address`");
	assert_err(put(",\"load_address\":-4"), e, "`load_address`");
}

static void what_is_no_bool_is_refused(void **state)
{
	(void)state;
	assert_err(put(",\"kaslr\":0"), e, "kaslr");
	assert_null(config.kernel);
}

#define BODY_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BODY_TEST(a_plain_one_is_as_firecrackers),
		BODY_TEST(kaslr_can_be_switched_off_and_on_again),
		BODY_TEST(files_are_shared_on_request),
		BODY_TEST(a_raw_binary_goes_where_it_is_told),
		BODY_TEST(what_is_no_bool_is_refused),
	};

	return RUN_TESTS("boot_source", tests);
}
