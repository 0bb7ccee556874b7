/* SPDX-License-Identifier: Apache-2.0 */
/* What is in a state file, for people: snapshot/schema.c and its table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arch/arch.h"
#include "core/base/util.h"
#include "core/io/loop.h"
#include "core/json/json.h"
#include "snapshot/codec.h"
#include "snapshot/schema.h"
#include "tests/fake/kvm_fake.h"
#include "tests/unit/testing.h"
#include "vmm/config/config.h"
#include "vmm/vm/vm.h"
#include "vmm/vm/vm_snapshot.h"

enum { DISK = 1 << 20 };

struct world {
	struct event_loop loop;
	struct vm_config config;
	struct vm_host host;
	char file[32], socket[40]; /* kernel and disk; vsock's */
};

static void make_file(struct world *w)
{
	uint8_t image[4096] = {0};
	int fd;

	memcpy(image + 56, "ARM\x64", 4);
	image[16 + 1] = 0x10; /* image_size = 4096 */
	snprintf(w->file, sizeof(w->file), "/tmp/schema_test.XXXXXX");
	fd = mkstemp(w->file);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, image, sizeof(image)), sizeof(image));
	assert_int_equal(ftruncate(fd, DISK), 0);
	close(fd);
	snprintf(w->socket, sizeof(w->socket), "%s.vsock", w->file);
}

static void add_devices(struct world *w)
{
	struct drive_config drive = {
		.block.id = strdup("disk0"),
		.block.path = strdup(w->file),
		.block.read_only = true,
		.block.limiter.ops = {.size = 10, .refill_time_ms = 100}};
	struct err e;

	assert_ok(vm_config_put_drive(&w->config, &drive, &e), e);
	w->config.vsock.guest_cid = 3;
	w->config.vsock.uds_path = strdup(w->socket);
	w->config.has_balloon = true;
	w->config.balloon.amount_mib = 1;
	w->config.balloon.stats_polling_interval_s = 7;
	w->config.has_entropy = true;
	w->config.no_kaslr = true;
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err e;

	kvm_fake_reset();
	make_file(w);
	vm_config_init(&w->config);
	w->config.vcpu_count = 2;
	w->config.mem_mib = 64;
	vm_config_set(&w->config.kernel, w->file, &e);
	vm_config_set(&w->config.cmdline, "console=ttyS0", &e);
	add_devices(w);
	assert_int_equal(loop_init(&w->loop, &e), 0);
	w->host = (struct vm_host){
		.kvm_path = "kvm",
		.loop = &w->loop,
		.serial_out = -1,
		.serial_room = -1,
	};
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	unlink(w->file);
	unlink(w->socket);
	vm_config_fini(&w->config);
	loop_fini(&w->loop);
	free(w);
	return 0;
}

/* What is printed of @body; free() it. */
static char *print(const void *body, size_t len, bool json, int *result,
		   struct err *e)
{
	const struct schema_state state = {
		.body = body, .len = len, .arch = &arch_schema};
	char *text = NULL;
	size_t text_len;
	FILE *out = open_memstream(&text, &text_len);

	*result = schema_print(out, &state, json, e);
	fclose(out);
	return text;
}

static struct vm *booted(struct world *w)
{
	struct err e;
	struct vm *vm = vm_create(&w->config, &w->host, &e);

	if (!vm)
		fail_msg("%s", e.text);
	assert_ok(vm_boot(vm, &w->config, &e), e);
	assert_ok(vm_pause(vm, &e), e);
	return vm;
}

/* All sections that there are, as they are saved today. */
static void a_vm_is_printed_to_its_last_byte(void **state)
{
	struct world *w = *state;
	struct vm *vm = booted(w);
	struct json_t *parsed;
	struct snap s;
	const void *body;
	struct err e;
	size_t len;
	char *text;
	int r;

	assert_ok(vm_save(vm, &w->config, true, &s, &e), e);
	body = snap_data(&s, &len);
	text = print(body, len, false, &r, &e);
	assert_ok(r, e);
	assert_lacks(text, "unread");
	assert_contains(text, "format: 1.0\nidentity:\n  id: \"");
	assert_contains(text, "  mem_size_mib: 64\n");
	assert_contains(text, "  drives[0]:\n    id: \"disk0\"\n");
	assert_contains(text, "        sectors: 2048\n");
	assert_contains(text, "  vsock:\n    guest_cid: 3\n");
	assert_contains(text, "more_settings:\n  settings:\n"
			      "    kernel_placement:\n"
			      "      setting: \"kernel placement\"\n");
	assert_contains(text, "      no_kaslr: true\n");
	free(text);

	text = print(body, len, true, &r, &e);
	assert_ok(r, e);
	assert_lacks(text, "unread");
	parsed = json_parse(text, strlen(text), &e);
	if (!parsed)
		fail_msg("%s: %s", e.text, text);
	json_free(parsed);
	free(text);
	snap_fini(&s);
	vm_destroy(vm);
}

/* Its device would need a tap. */
static void an_interface_is_printed_to_its_last_byte(void **state)
{
	struct world *w = *state;
	struct interface_config i = {.net.id = strdup("eth0"),
				     .net.tap = strdup("tap0"),
				     .net.has_mac = true,
				     .net.mac = {2, 0, 0, 0, 0, 0xfe},
				     .net.mtu = 1400};
	struct snap s;
	const void *body;
	struct err e;
	size_t len;
	char *text;
	int r;

	assert_ok(vm_config_put_interface(&w->config, &i, &e), e);
	snap_save(&s, 1);
	vm_config_state(&w->config, &s);
	body = snap_data(&s, &len);
	text = print(body, len, true, &r, &e);
	assert_ok(r, e);
	assert_lacks(text, "unread");
	assert_contains(text, "\"mac\":\"0200000000fe\",\"mtu\":1400,");
	free(text);
	snap_fini(&s);
}

/* Wherever it ends, it is said, and what was printed is JSON. */
static void what_is_cut_off_is_refused_and_still_json(void **state)
{
	struct world *w = *state;
	struct vm *vm = booted(w);
	struct snap s;
	const void *body;
	struct err e;
	size_t len;

	assert_ok(vm_save(vm, &w->config, true, &s, &e), e);
	body = snap_data(&s, &len);
	for (size_t n = 1; n < len; n += n < 1000 ? 1 : 37) {
		struct json_t *parsed;
		char *text;
		int r;

		/* So that a read too far is seen. */
		void *copy = malloc(n);

		memcpy(copy, body, n);
		text = print(copy, n, true, &r, &e);
		parsed = json_parse(text, strlen(text), &e);
		if (!parsed)
			fail_msg("%s: %s", e.text, text);
		json_free(parsed);
		free(text);
		free(copy);
	}
	snap_fini(&s);
	vm_destroy(vm);
}

static void unknown_sections_are_shown_as_bytes(void **state)
{
	uint8_t bytes[3] = {1, 2, 0xff};
	bool done = true;
	struct snap s;
	const void *body;
	struct err e;
	size_t len;
	char *text;
	int r;

	(void)state;
	snap_save(&s, 1);
	snap_begin(&s, SNAP_TAG('n', 'e', '"', '\x9b'));
	snap_bytes(&s, bytes, 3);
	snap_end(&s);
	/* And what a newer one has at the end of a section. */
	snap_begin(&s, SNAP_TAG('b', 'o', 'o', 't'));
	snap_bool(&s, &done);
	snap_bytes(&s, bytes, 3);
	snap_end(&s);
	body = snap_data(&s, &len);
	text = print(body, len, true, &r, &e);
	assert_ok(r, e);
	assert_string_equal(text, "{\"format\":\"1.0\",\"sections\":["
				  "{\"section\":\"ne\\u0022\\u009b\","
				  "\"unread\":\"0102ff\"},"
				  "{\"section\":\"boot_timer\",\"done\":true,"
				  "\"unread\":\"0102ff\"}]}\n");
	free(text);
	snap_fini(&s);
}

/* linux/kvm.h, and struct kvm_regs. */
static const struct {
	uint64_t id;
	const char *text;
} named_registers[] = {
	{0x6030000000100000, "\"x0\":\"0x403020100000000\""},
	{0x603000000010003c, "\"x30\":"},
	{0x603000000010003e, "\"sp\":"},
	{0x6030000000100040, "\"pc\":"},
	{0x6030000000100042, "\"pstate\":"},
	{0x6030000000100050, "\"spsr_fiq\":"},
	{0x6040000000100054, "\"v0\":\"00000000010203040000000000000000\""},
	{0x60400000001000d0, "\"v31\":"},
	{0x60200000001000d4, "\"0x60200000001000d4\":"}, /* FPSR */
	{0x603000000013c684, "\"s3_0_c13_c0_4\":"},
	{0x603000000013df19, "\"s3_3_c14_c3_1\":"},
	{0x6030000000140000, "\"0x6030000000140000\":"},
};

static void registers_have_the_names_of_the_architecture(void **state)
{
	uint8_t value[16] = {0, 0, 0, 0, 1, 2, 3, 4}, zeroes[14] = {0};
	struct snap s;
	struct err e;
	char *text;
	size_t len;
	int r;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(named_registers); i++) {
		uint32_t count = 1;
		uint64_t id = named_registers[i].id;
		const void *body;

		snap_save(&s, 1);
		snap_begin(&s, SNAP_TAG('v', 'c', 'p', 'u'));
		snap_u32(&s, &count);
		snap_u64(&s, &id);
		snap_bytes(&s, value, (size_t)1 << (id >> 52 & 15));
		snap_bytes(&s, zeroes, 4 + 1 + 1 + 8);
		snap_end(&s);
		body = snap_data(&s, &len);
		text = print(body, len, true, &r, &e);
		assert_ok(r, e);
		assert_contains(text, named_registers[i].text);
		assert_lacks(text, "unread");
		free(text);
		snap_fini(&s);
	}
}

/* A tag of zeroes is that of no section, nor of what has no tag. */
static void garbage_is_refused(void **state)
{
	static const uint8_t zeroes[64], ones[64] = {[0 ... 63] = 0xff};
	struct err e;
	char *text;
	int r;

	(void)state;
	text = print(zeroes, 64, true, &r, &e);
	assert_ok(r, e);
	assert_lacks(text, "on_pause");
	free(text);
	text = print(ones, 64, false, &r, &e);
	assert_err(r, e, "longer than what it is in");
	free(text);
	text = print(ones, 3, false, &r, &e);
	assert_err(r, e, "cut off");
	free(text);
}

#define in_world(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		in_world(a_vm_is_printed_to_its_last_byte),
		in_world(an_interface_is_printed_to_its_last_byte),
		in_world(what_is_cut_off_is_refused_and_still_json),
		cmocka_unit_test(unknown_sections_are_shown_as_bytes),
		cmocka_unit_test(registers_have_the_names_of_the_architecture),
		cmocka_unit_test(garbage_is_refused),
	};

	return RUN_TESTS("schema", tests);
}
