/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State files that earlier versions wrote (tests/golden/state-1.N, one for each
 * minor version of the format, made by its own build) must be loaded for ever;
 * and what is written does not change without a new version and its files.
 *
 * The machine in them is that of golden_world.c.  The files of the newest minor
 * version, if it is not released yet, are made by its own build:
 *
 *	STASIS_GOLDEN=tests/golden out/native/snapshot_golden_test
 *
 * schema-1.N is snapshot/schema_table.c as it was then.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arch/arch.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "snapshot/schema_table.h"
#include "snapshot/state_file.h"
#include "tests/fake/kvm_fake.h"
#include "tests/fake/net_fake.h"
#include "tests/unit/golden_world.h"
#include "tests/unit/testing.h"
#include "vmm/config/config.h"
#include "vmm/vm/vm.h"
#include "vmm/vm/vm_snapshot.h"

enum { PATH_SIZE = 512, SCHEMA_MAX = 65536, LINE_SIZE = 512 };

/* The checksums of the files of released versions, which nobody replaces. */
static const uint32_t released[] = {0x36675507, 0xdf37f748, 0xd3b6115c};

/* The first minor version whose schema is kept. */
enum { FIRST_SCHEMA = 2 };

static struct err e;

/* ------------------------------------------------------------ golden files */

struct golden {
	void *body; /* owned */
	size_t len;
	uint16_t minor;
};

static void golden_path(char path[static PATH_SIZE], const char *name,
			unsigned minor)
{
	snprintf(path, PATH_SIZE, "%s/%s-1.%u", GOLDEN_FOLDER, name, minor);
}

static void read_golden(struct golden *g, unsigned minor)
{
	char path[PATH_SIZE];
	uint64_t size;
	int fd;

	golden_path(path, "state", minor);
	fd = io_open_file(path, &size, &e);
	if (fd < 0)
		fail_msg("%s: each minor version needs its file", e.text);
	assert_ok(state_file_load(fd, &g->body, &g->len, &g->minor, &e), e);
	close(fd);
	assert_int_equal(g->minor, minor);
}

/* RAM of zeroes, but that it belongs to this state. */
static void mark_memory(const struct snapshot_id *id)
{
	assert_int_equal(pwrite(golden_memory_fd, id->bytes, sizeof(id->bytes),
				(off_t)id->offset),
			 sizeof(id->bytes));
}

static void load(const struct golden *g)
{
	const struct vm_ram_source ram = {.fd = golden_memory_fd};
	struct vm_saved *saved = calloc(1, sizeof(*saved));
	struct vm *vm;

	golden_reset();
	assert_ok(vm_saved_read(saved, g->body, g->len, g->minor, &e), e);
	golden_point_to_files(&saved->config);
	mark_memory(&saved->id);
	golden_check_config(&saved->config, g->minor);
	vm = vm_restore(saved, &ram, &golden_host, &e);
	if (!vm)
		fail_msg("format 1.%u: %s", g->minor, e.text);
	golden_check_registers();
	vm_destroy(vm);
	vm_saved_fini(saved);
	free(saved);
}

static void files_of_every_minor_version_are_loaded(void **state)
{
	(void)state;
	for (unsigned minor = 0; minor <= STATE_FILE_MINOR; minor++) {
		struct golden g;

		read_golden(&g, minor);
		load(&g);
		free(g.body);
	}
}

/* An interface is switched to vhost once, whoever decides it: the VM's
 * configuration, the state, or who loads it. */
static void vhost_is_set_up_once(void **state)
{
	const struct vm_ram_source ram = {.fd = golden_memory_fd};
	struct vm_saved *saved = calloc(1, sizeof(*saved));
	struct vm_config config;
	struct golden g;
	struct vm *vm;

	(void)state;
	golden_configure(&config);
	config.interface[0].vhost = true;
	net_fake_vhosts = 0;
	vm = vm_create(&config, &golden_host, &e);
	assert_non_null(vm);
	assert_int_equal(net_fake_vhosts, 1);
	vm_destroy(vm);
	vm_config_fini(&config);

	golden_reset();
	read_golden(&g, STATE_FILE_MINOR);
	assert_ok(vm_saved_read(saved, g.body, g.len, g.minor, &e), e);
	golden_point_to_files(&saved->config);
	mark_memory(&saved->id);
	saved->config.interface[0].vhost = true;
	saved->config.interface[0].vhost_chosen = true;
	net_fake_vhosts = 0;
	vm = vm_restore(saved, &ram, &golden_host, &e);
	assert_non_null(vm);
	assert_int_equal(net_fake_vhosts, 1);
	vm_destroy(vm);
	vm_saved_fini(saved);
	free(saved);
	free(g.body);
}

/* --------------------------------------------------------- nothing changed */

struct section {
	uint32_t tag, len;
	const uint8_t *data;
};

/* The next section at *@at; false at the end. */
static bool next_section(const uint8_t **at, const uint8_t *end,
			 struct section *s)
{
	if (*at == end)
		return false;
	assert_true(end - *at >= 8);
	memcpy(&s->tag, *at, 4);
	memcpy(&s->len, *at + 4, 4);
	s->data = *at + 8;
	*at += 8 + s->len;
	assert_true(*at <= end);
	return true;
}

/* The golden_host's kernel has a name, of any length. */
static bool has_any_length(uint32_t tag)
{
	return tag == SNAP_TAG('h', 'e', 'a', 'd');
}

/* What is random, or what the golden_host's clocks and files say. */
static bool has_any_content(uint32_t tag)
{
	static const uint32_t tags[] = {
		SNAP_TAG('s', 'n', 'i', 'd'), SNAP_TAG('h', 'e', 'a', 'd'),
		SNAP_TAG('d', 'i', 's', 'k'), SNAP_TAG('t', 'i', 'm', 'e'),
		SNAP_TAG('v', 'c', 'l', 'k'), SNAP_TAG('d', 's', 'k', 's'),
		SNAP_TAG('h', 'b', 'o', 't'),
	};

	for (unsigned i = 0; i < ARRAY_SIZE(tags); i++) {
		if (tags[i] == tag)
			return true;
	}
	return false;
}

static void compare_sections(const struct section *then,
			     const struct section *now)
{
	assert_int_equal(now->tag, then->tag);
	if (!has_any_length(then->tag))
		assert_int_equal(now->len, then->len);
	if (!has_any_content(then->tag))
		assert_memory_equal(now->data, then->data, then->len);
}

static void what_is_written_is_what_the_newest_file_has(void **state)
{
	struct section then = {0}, now = {0};
	struct golden g;
	struct snap s;
	const uint8_t *a, *b;
	size_t len;

	(void)state;
	read_golden(&g, STATE_FILE_MINOR);
	golden_save(&s);
	b = snap_data(&s, &len);
	golden_hide_folder(g.body, g.len);
	golden_hide_folder(s.out, len);
	a = g.body;
	while (next_section(&a, (uint8_t *)g.body + g.len, &then)) {
		assert_true(next_section(&b, s.out + len, &now));
		compare_sections(&then, &now);
	}
	assert_ptr_equal(b, s.out + len);
	snap_fini(&s);
	free(g.body);
}

static void files_of_released_versions_are_what_they_were(void **state)
{
	(void)state;
	assert_true(ARRAY_SIZE(released) <= STATE_FILE_MINOR + 1);
	for (unsigned minor = 0; minor < ARRAY_SIZE(released); minor++) {
		char path[PATH_SIZE];
		AUTO_FREE char *file = NULL;
		uint32_t checksum;
		size_t len;

		golden_path(path, "state", minor);
		file = io_read_file(path, STATE_FILE_BODY_MAX, &len, &e);
		assert_non_null(file);
		memcpy(&checksum, file + len - sizeof(checksum),
		       sizeof(checksum));
		assert_int_equal(checksum, released[minor]);
	}
}

/* ------------------------------------------------------------- its schema */

static void print_row(char *line, size_t size, const struct schema *row)
{
	snprintf(line, size, "%-4s %s %s\n", row->tag, row->name, row->fields);
}

static char *read_schema(unsigned minor)
{
	char path[PATH_SIZE];
	size_t len;
	char *text;

	golden_path(path, "schema", minor);
	text = io_read_file(path, SCHEMA_MAX, &len, &e);
	if (!text)
		fail_msg("%s: each minor version needs its schema", e.text);
	return text;
}

static bool has_line(const char *text, const char *line, size_t len)
{
	const char *at = text;

	while ((at = memmem(at, strlen(at), line, len))) {
		if (at == text || at[-1] == '\n')
			return true;
		at++;
	}
	return false;
}

/* Row @i of the table, and then of the architecture's; NULL at the end. */
static const struct schema *schema_row(unsigned i)
{
	if (i < schema_table_count)
		return &schema_table[i];
	i -= schema_table_count;
	return i < arch_schema.count ? &arch_schema.table[i] : NULL;
}

/* Each row is that of the newest version's file. */
static void the_table_is_that_of_the_newest_schema(void **state)
{
	AUTO_FREE char *text = read_schema(STATE_FILE_MINOR);
	const struct schema *row;
	size_t len = 0;

	(void)state;
	for (unsigned i = 0; (row = schema_row(i)); i++) {
		char line[LINE_SIZE];

		print_row(line, sizeof(line), row);
		if (!has_line(text, line, strlen(line)))
			fail_msg("a new minor version has this:\n%s", line);
		len += strlen(line);
	}
	assert_int_equal(strlen(text), len);
}

/* A version only adds rows. */
static void rows_of_earlier_schemas_do_not_change(void **state)
{
	AUTO_FREE char *newest = read_schema(STATE_FILE_MINOR);

	(void)state;
	for (unsigned minor = FIRST_SCHEMA; minor < STATE_FILE_MINOR; minor++) {
		AUTO_FREE char *text = read_schema(minor);

		for (const char *line = text; *line;) {
			size_t len = strcspn(line, "\n") + 1;

			if (!has_line(newest, line, len))
				fail_msg("format 1.%u has this:\n%.*s", minor,
					 (int)len, line);
			line += len;
		}
	}
}

/* ------------------------------------------------------------------ making */

static int create(const char *name)
{
	char path[PATH_SIZE];
	int fd;

	snprintf(path, sizeof(path), "%s/%s-1.%u", getenv("STASIS_GOLDEN"),
		 name, STATE_FILE_MINOR);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	return fd;
}

static void the_files_are_written(void **state)
{
	int fd = create("state");
	const struct schema *row;
	const void *data;
	struct snap s;
	size_t len;

	(void)state;
	golden_save(&s);
	data = snap_data(&s, &len);
	assert_ok(state_file_save(fd, data, len, &e), e);
	snap_fini(&s);
	close(fd);
	fd = create("schema");
	for (unsigned i = 0; (row = schema_row(i)); i++) {
		char line[LINE_SIZE];

		print_row(line, sizeof(line), row);
		assert_int_equal(write(fd, line, strlen(line)), strlen(line));
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest making[] = {
		cmocka_unit_test_setup_teardown(
			the_files_are_written, golden_set_up, golden_tear_down),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			files_of_every_minor_version_are_loaded, golden_set_up,
			golden_tear_down),
		cmocka_unit_test_setup_teardown(
			what_is_written_is_what_the_newest_file_has,
			golden_set_up, golden_tear_down),
		cmocka_unit_test(files_of_released_versions_are_what_they_were),
		cmocka_unit_test(the_table_is_that_of_the_newest_schema),
		cmocka_unit_test(rows_of_earlier_schemas_do_not_change),
		cmocka_unit_test_setup_teardown(
			vhost_is_set_up_once, golden_set_up, golden_tear_down),
	};

	if (getenv("STASIS_GOLDEN"))
		return RUN_TESTS("snapshot_golden", making);
	return RUN_TESTS("snapshot_golden", tests);
}
