/* SPDX-License-Identifier: Apache-2.0 */
/* What a VM is made of, in a snapshot. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "snapshot/codec.h"
#include "tests/unit/testing.h"
#include "vmm/config/config.h"

struct pair {
	struct vm_config in, out;
	struct snap s;
	struct err e;
};

static char *text(const char *value)
{
	return strdup(value);
}

static struct rate_limiter_config limiter(uint64_t seed)
{
	return (struct rate_limiter_config){
		.bandwidth = {.size = seed,
			      .one_time_burst = seed + 1,
			      .refill_time_ms = seed + 2},
		.ops = {.size = seed + 3,
			.one_time_burst = seed + 4,
			.refill_time_ms = seed + 5},
	};
}

static void fill_devices(struct vm_config *c)
{
	c->drive_count = 2;
	c->drive = calloc(2, sizeof(c->drive[0]));
	c->drive[0] = (struct drive_config){
		.block.id = text("root"),
		.block.path = text("/a"),
		.partuuid = text("0eaa91a0-01"),
		.root = true,
		.block.writeback = true,
		.block.limiter = limiter(100),
	};
	c->drive[1] = (struct drive_config){
		.block.id = text("data"),
		.block.path = text("/b c"),
		.block.read_only = true,
		.block.async = true,
	};
	c->interface_count = 1;
	c->interface = calloc(1, sizeof(c->interface[0]));
	c->interface[0] = (struct interface_config){
		.net.id = text("eth0"),
		.net.tap = text("tap7"),
		.net.has_mac = true,
		.net.mac = {6, 1, 2, 3, 4, 5},
		.net.mtu = 9000,
		.net.rx_limiter = limiter(200),
		.net.tx_limiter = limiter(300),
	};
	c->vsock = (struct vsock_config){
		.guest_cid = 77, .uds_path = text("/v"), .id = text("v")};
	c->has_balloon = true;
	c->balloon = (struct balloon_config){
		.amount_mib = 12,
		.deflate_on_oom = true,
		.stats_polling_interval_s = 3,
		.free_page_hinting = true,
		.free_page_reporting = true,
	};
	c->has_entropy = true;
	c->entropy.limiter = limiter(400);
}

static int set_up(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));
	struct vm_config *c = &p->in;

	vm_config_init(c);
	vm_config_init(&p->out);
	c->vcpu_count = 5;
	c->mem_mib = 333;
	c->kernel = text("/kernel");
	c->cmdline = text("console=ttyS0 quiet");
	c->boot_timer = true;
	c->clock = (struct clock_config){
		.on_pause = CLOCK_CONTINUOUS,
		.on_restore = CLOCK_CONTINUOUS,
		.physical = CLOCK_PHYSICAL_GUEST,
		.max_jump_ms = 123456,
	};
	c->clock_given = true;
	fill_devices(c);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct pair *p = *state;

	vm_config_fini(&p->in);
	vm_config_fini(&p->out);
	snap_fini(&p->s);
	free(p);
	return 0;
}

static void save(struct pair *p)
{
	snap_save(&p->s, SNAPSHOT_VERSION);
	vm_config_state(&p->in, &p->s);
	assert_ok(snap_finish(&p->s, &p->e), p->e);
}

static int load_bytes(struct pair *p, const void *data, size_t len)
{
	struct snap in;

	snap_load(&in, data, len, SNAPSHOT_VERSION);
	vm_config_state(&p->out, &in);
	return snap_finish(&in, &p->e);
}

static int load(struct pair *p)
{
	size_t len;
	const void *data = snap_data(&p->s, &len);

	return load_bytes(p, data, len);
}

static void all_of_it_comes_back(void **state)
{
	struct pair *p = *state;
	const struct vm_config *c = &p->out;
	struct snap again;
	size_t len[2];
	const void *data[2];

	save(p);
	assert_ok(load(p), p->e);
	assert_int_equal(c->vcpu_count, 5);
	assert_int_equal(c->mem_mib, 333);
	assert_string_equal(c->kernel, "/kernel");
	assert_null(c->initrd);
	assert_int_equal(c->clock.physical, CLOCK_PHYSICAL_GUEST);
	assert_int_equal(c->clock.max_jump_ms, 123456);
	assert_string_equal(c->drive[0].partuuid, "0eaa91a0-01");
	assert_true(c->drive[0].root && c->drive[0].block.writeback);
	assert_int_equal(c->drive[0].block.limiter.ops.refill_time_ms, 105);
	assert_string_equal(c->drive[1].block.path, "/b c");
	assert_null(c->drive[1].partuuid);
	assert_true(c->drive[1].block.read_only && c->drive[1].block.async);
	assert_memory_equal(c->interface[0].net.mac, p->in.interface[0].net.mac,
			    6);
	assert_int_equal(c->interface[0].net.mtu, 9000);
	assert_int_equal(c->interface[0].net.tx_limiter.bandwidth.size, 300);
	assert_int_equal(c->vsock.guest_cid, 77);
	assert_string_equal(c->vsock.uds_path, "/v");
	assert_int_equal(c->balloon.stats_polling_interval_s, 3);
	assert_int_equal(c->entropy.limiter.bandwidth.one_time_burst, 401);
	/* And what is not listed here: it is written the same again. */
	snap_save(&again, SNAPSHOT_VERSION);
	vm_config_state(&p->out, &again);
	data[0] = snap_data(&p->s, &len[0]);
	data[1] = snap_data(&again, &len[1]);
	assert_int_equal(len[0], len[1]);
	assert_memory_equal(data[0], data[1], len[0]);
	snap_fini(&again);
}

/* The smallest one, without devices. */
static void what_was_not_given_is_not_given(void **state)
{
	struct pair *p = *state;

	vm_config_fini(&p->in);
	vm_config_init(&p->in);
	save(p);
	assert_ok(load(p), p->e);
	assert_null(p->out.kernel);
	assert_null(p->out.cmdline);
	assert_int_equal(p->out.drive_count, 0);
	assert_null(p->out.vsock.uds_path);
	assert_false(p->out.has_balloon);
	assert_false(p->out.clock_given);
}

static void a_text_that_does_not_fit_is_not_written(void **state)
{
	struct pair *p = *state;
	char *path = calloc(1, PATH_MAX + 1);

	memset(path, 'x', PATH_MAX);
	free(p->in.drive[0].block.path);
	p->in.drive[0].block.path = path;
	snap_save(&p->s, SNAPSHOT_VERSION);
	vm_config_state(&p->in, &p->s);
	assert_err(snap_finish(&p->s, &p->e), p->e, "too long");
}

static void the_longest_texts_come_back(void **state)
{
	struct pair *p = *state;
	char *path = calloc(1, PATH_MAX);

	memset(path, 'x', PATH_MAX - 1);
	free(p->in.drive[1].block.path);
	p->in.drive[1].block.path = path;
	save(p);
	assert_ok(load(p), p->e);
	assert_string_equal(p->out.drive[1].block.path, path);
}

/* Each byte in turn: refused, or a configuration that can be freed. */
static void damaged_ones_are_refused_or_well_formed(void **state)
{
	struct pair *p = *state;
	unsigned refused = 0;
	uint8_t *data;
	size_t len;

	save(p);
	snap_data(&p->s, &len);
	data = malloc(len);
	memcpy(data, snap_data(&p->s, &len), len);
	for (size_t i = 0; i < len * 8; i++) {
		data[i / 8] ^= 1u << i % 8;
		p->e.text[0] = '\0';
		if (load_bytes(p, data, len)) {
			assert_true(p->e.text[0]);
			refused++;
		} else {
			for (unsigned d = 0; d < p->out.drive_count; d++)
				assert_non_null(p->out.drive[d].block.path);
			assert_true(p->out.clock.on_restore < CLOCK_SET);
		}
		vm_config_fini(&p->out);
		vm_config_init(&p->out);
		data[i / 8] ^= 1u << i % 8;
	}
	assert_true(refused > len);
	free(data);
}

static void a_drive_without_a_path_is_refused(void **state)
{
	struct pair *p = *state;

	free(p->in.drive[1].block.path);
	p->in.drive[1].block.path = NULL;
	snap_save(&p->s, SNAPSHOT_VERSION);
	vm_config_state(&p->in, &p->s);
	assert_err(snap_finish(&p->s, &p->e), p->e, "without id or path");
}

static void give(char **field, const char *value)
{
	free(*field);
	*field = text(value);
}

/* What the API would not take is not taken from a file, either. */
static void what_cannot_be_is_refused(void **state)
{
	struct pair *p = *state;
	struct vm_config *c = &p->in;

	assert_ok(vm_config_check_loaded(c, &p->e), p->e);
	c->balloon.amount_mib = 334;
	assert_err(vm_config_check_loaded(c, &p->e), p->e,
		   "balloon of 334 MiB: Amount of pages requested is too");
	c->balloon.amount_mib = 333;
	give(&c->drive[1].block.id, "da\"ta \n");
	assert_err(vm_config_check_loaded(c, &p->e), p->e,
		   "drive 2: the ID has a character that cannot be printed");
	give(&c->drive[1].block.id, "");
	assert_err(vm_config_check_loaded(c, &p->e), p->e,
		   "drive 2: The ID cannot be empty.");
	give(&c->drive[1].block.id, "root");
	assert_err(vm_config_check_loaded(c, &p->e), p->e,
		   "there are two drives root");
	give(&c->drive[1].block.id, "data");
	give(&c->interface[0].net.id, "\x1b[2J");
	assert_err(vm_config_check_loaded(c, &p->e), p->e,
		   "interface 1: the ID has a character");
	give(&c->interface[0].net.id, "eth0");
	c->vcpu_count = 33;
	assert_err(vm_config_check_loaded(c, &p->e), p->e, "33 vCPUs");
}

/* ----------------------------------------------------- what came after 1.2 */

enum { MORE = SNAP_TAG('m', 'o', 'r', 'e') };

static void save_more(struct pair *p)
{
	snap_save(&p->s, SNAPSHOT_VERSION);
	vm_config_more_state(&p->in, &p->s);
	assert_false(snap_failed(&p->s));
}

/* As of a newer stasis: the settings, and one that this one does not know. */
static void save_more_and(struct pair *p, uint32_t tag, const char *name)
{
	char text[200];
	uint32_t value = 7;

	snap_save(&p->s, SNAPSHOT_VERSION + 1);
	snap_begin(&p->s, MORE);
	snap_begin(&p->s, tag);
	snprintf(text, sizeof(text), "%s", name);
	snap_string(&p->s, text, sizeof(text));
	snap_u32(&p->s, &value);
	snap_end(&p->s);
	snap_end(&p->s);
	assert_false(snap_failed(&p->s));
}

static int load_more(struct pair *p)
{
	struct snap in;
	size_t len;
	const void *data = snap_data(&p->s, &len);

	snap_load(&in, data, len, SNAPSHOT_VERSION + 1);
	vm_config_more_state(&p->out, &in);
	return snap_finish(&in, &p->e);
}

static void settings_come_back(void **state)
{
	struct pair *p = *state;

	p->in.raw = true;
	p->in.load_address = 0x80200000;
	p->in.entry = 0x80200010;
	p->in.mmds = (struct mmds_config){
		.given = true, .v2 = true, .address = 0xa9fe0102};
	p->in.interface[0].mmds = true;
	p->out.interface_count = p->in.interface_count;
	p->out.interface =
		calloc(p->in.interface_count, sizeof(p->out.interface[0]));
	p->in.huge_pages = GUEST_MEM_2M;
	save_more(p);
	assert_ok(load_more(p), p->e);
	assert_memory_equal(&p->out.mmds, &p->in.mmds, sizeof(p->in.mmds));
	assert_true(p->out.interface[0].mmds);
	assert_true(p->out.raw);
	assert_int_equal(p->out.load_address, 0x80200000);
	assert_int_equal(p->out.entry, 0x80200010);
	assert_int_equal(p->out.huge_pages, GUEST_MEM_2M);
	assert_false(p->out.fdt_high || p->out.no_kaslr);
}

/* So that an older reader, which knows no such section, loads it. */
static void nothing_is_written_for_what_is_not_given(void **state)
{
	struct pair *p = *state;
	size_t len;

	save_more(p);
	snap_data(&p->s, &len);
	assert_int_equal(len, 0);
	assert_ok(load_more(p), p->e);
}

static void unknown_settings_are_refused_by_name(void **state)
{
	struct pair *p = *state;

	save_more_and(p, SNAP_TAG('t', 'p', 'm', ' '), "a TPM");
	assert_err(load_more(p), p->e,
		   "snapshot: the VM has \"a TPM\", which this version of "
		   "stasis does not know; load it with a newer one");
	snap_fini(&p->s);
	save_more_and(p, SNAP_TAG('t', 'p', 'm', ' '), "\x1b[2J\n");
	assert_err(load_more(p), p->e, "has \"?[2J?\", which");
}

static void names_of_settings_are_bounded(void **state)
{
	char name[200] = {0};
	struct pair *p = *state;

	memset(name, 'x', 64);
	save_more_and(p, SNAP_TAG('t', 'p', 'm', ' '), name);
	assert_err(load_more(p), p->e, "more of something");
	snap_fini(&p->s);
	save_more_and(p, 0, "nothing");
	assert_err(load_more(p), p->e, "a section is too long");
}

/* Twice, it would be allocated twice. */
static void a_setting_is_given_once(void **state)
{
	struct pair *p = *state;
	size_t len, section;
	uint8_t twice[512];
	uint32_t inner;

	p->in.raw = true;
	save_more(p);
	memcpy(twice, snap_data(&p->s, &len), 8);
	section = len - 8;
	for (unsigned i = 0; i < 2; i++)
		memcpy(twice + 8 + i * section, p->s.out + 8, section);
	inner = (uint32_t)(2 * section);
	memcpy(twice + 4, &inner, 4);
	snap_fini(&p->s);
	snap_save(&p->s, SNAPSHOT_VERSION);
	snap_bytes(&p->s, twice, 8 + 2 * section);
	assert_err(load_more(p), p->e, "\"kernel placement\"");
}

#define CONFIG_TEST(name) \
	cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONFIG_TEST(all_of_it_comes_back),
		CONFIG_TEST(what_was_not_given_is_not_given),
		CONFIG_TEST(a_text_that_does_not_fit_is_not_written),
		CONFIG_TEST(the_longest_texts_come_back),
		CONFIG_TEST(damaged_ones_are_refused_or_well_formed),
		CONFIG_TEST(a_drive_without_a_path_is_refused),
		CONFIG_TEST(what_cannot_be_is_refused),
		CONFIG_TEST(settings_come_back),
		CONFIG_TEST(nothing_is_written_for_what_is_not_given),
		CONFIG_TEST(unknown_settings_are_refused_by_name),
		CONFIG_TEST(names_of_settings_are_bounded),
		CONFIG_TEST(a_setting_is_given_once),
	};

	return RUN_TESTS("config_state", tests);
}
