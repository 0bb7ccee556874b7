/* SPDX-License-Identifier: Apache-2.0 */
/* The container of a snapshot's state: snapshot/state_file.c. */
#include <endian.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>

#include "core/base/util.h"
#include "core/io/io.h"
#include "snapshot/state_file.h"
#include "tests/unit/testing.h"

enum { HEADER = 24, CRC = 4, SIZE_MAX_HERE = 512 };

static const char body[] = "what the machine knew";

/* A good file: its bytes, and how many. */
static size_t good(uint8_t *bytes)
{
	AUTO_CLOSE int fd = testing_file("", 0);
	struct err e;

	assert_ok(state_file_save(fd, body, sizeof(body), &e), e);
	return (size_t)io_pread(fd, bytes, SIZE_MAX_HERE, 0);
}

static int load(const uint8_t *bytes, size_t len, uint16_t *minor,
		struct err *e)
{
	AUTO_CLOSE int fd = testing_file(bytes, len);
	void *loaded = NULL;
	size_t loaded_len = 0;
	int r = state_file_load(fd, &loaded, &loaded_len, minor, e);

	if (!r) {
		assert_int_equal(loaded_len, sizeof(body));
		assert_memory_equal(loaded, body, sizeof(body));
	} else {
		assert_null(loaded);
	}
	free(loaded);
	return r;
}

/* As if it had been written that way. */
static void fix_checksum(uint8_t *bytes, size_t len)
{
	uint32_t crc = htole32((uint32_t)crc32(0, bytes, (uInt)(len - CRC)));

	memcpy(bytes + len - CRC, &crc, CRC);
}

static void what_was_saved_is_loaded(void **state)
{
	uint8_t bytes[SIZE_MAX_HERE];
	size_t len = good(bytes);
	uint16_t minor = 9;
	struct err e;

	(void)state;
	assert_int_equal(len, HEADER + sizeof(body) + CRC);
	assert_ok(load(bytes, len, &minor, &e), e);
	assert_int_equal(minor, STATE_FILE_MINOR);
}

/* FORMAT.md says where these are; other programs read them there. */
static void the_bytes_are_where_they_are_documented(void **state)
{
	static const uint8_t begin[] = {
		0x8b, 's', 't', 'a', 's',          '\r', '\n', 0x1a, 1, 0, 4, 0,
		0,    0,   0,   0,   sizeof(body), 0,    0,    0,    0, 0, 0, 0,
	};
	uint8_t bytes[SIZE_MAX_HERE];
	size_t len = good(bytes);
	uint32_t crc = (uint32_t)crc32(0, bytes, (uInt)(len - CRC));

	(void)state;
	assert_memory_equal(bytes, begin, sizeof(begin));
	assert_memory_equal(bytes + HEADER, body, sizeof(body));
	assert_int_equal(bytes[len - 4], crc & 0xff);
	assert_int_equal(bytes[len - 1], crc >> 24);
}

static void every_flipped_bit_is_refused(void **state)
{
	uint8_t bytes[SIZE_MAX_HERE];
	size_t len = good(bytes);
	uint16_t minor;
	struct err e;

	(void)state;
	for (size_t bit = 0; bit < len * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(load(bytes, len, &minor, &e), -1);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void every_other_length_is_refused(void **state)
{
	uint8_t bytes[SIZE_MAX_HERE];
	size_t len = good(bytes);
	uint16_t minor;
	struct err e;

	(void)state;
	for (size_t n = 0; n < len; n++)
		assert_err(load(bytes, n, &minor, &e), e,
			   n < HEADER ? "no state file" : "cut off");
	bytes[len] = 0;
	assert_err(load(bytes, len + 1, &minor, &e), e, "too long");
}

static void another_major_is_refused_with_both_versions(void **state)
{
	uint8_t bytes[SIZE_MAX_HERE];
	size_t len = good(bytes);
	uint16_t minor;
	struct err e;

	(void)state;
	bytes[8] = 2;
	bytes[10] = 7;
	fix_checksum(bytes, len);
	assert_err(load(bytes, len, &minor, &e), e, "needs format 2.7");
	assert_contains(e.text, "reads 1.x");
	/* What it looks like after the version is its own. */
	assert_err(load(bytes, HEADER, &minor, &e), e, "needs format 2.7");
}

static void a_newer_minor_is_read(void **state)
{
	uint8_t bytes[SIZE_MAX_HERE];
	size_t len = good(bytes);
	uint16_t minor = 0;
	struct err e;

	(void)state;
	bytes[10] = 0x34;
	bytes[11] = 0x12;
	fix_checksum(bytes, len);
	assert_ok(load(bytes, len, &minor, &e), e);
	assert_int_equal(minor, 0x1234);
}

static void unknown_flags_are_refused(void **state)
{
	uint8_t bytes[SIZE_MAX_HERE];
	size_t len = good(bytes);
	uint16_t minor;
	struct err e;

	(void)state;
	bytes[12] = 4;
	fix_checksum(bytes, len);
	assert_err(load(bytes, len, &minor, &e), e, "flags 0x4");
}

/* Or somebody's 16 EiB are asked of malloc(). */
static void an_absurd_length_is_refused_by_name(void **state)
{
	uint8_t bytes[SIZE_MAX_HERE];
	size_t len = good(bytes);
	uint16_t minor;
	struct err e;

	(void)state;
	memset(bytes + 16, 0xff, 8);
	fix_checksum(bytes, len);
	assert_err(load(bytes, len, &minor, &e), e, "more than there can be");
}

static void what_is_no_file_is_refused(void **state)
{
	AUTO_CLOSE int null = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	void *loaded;
	uint16_t minor;
	size_t len;
	struct err e;

	(void)state;
	assert_err(state_file_load(null, &loaded, &len, &minor, &e), e,
		   "no state file");
}

static void more_than_can_be_loaded_is_not_saved(void **state)
{
	AUTO_CLOSE int fd = testing_file("", 0);
	struct err e;

	(void)state;
	assert_err(state_file_save(fd, body, STATE_FILE_BODY_MAX + 1, &e), e,
		   "more than a snapshot can have");
	assert_int_equal(lseek(fd, 0, SEEK_END), 0);
}

static void the_largest_is_saved_and_loaded(void **state)
{
	AUTO_FREE uint8_t *large = calloc(1, STATE_FILE_BODY_MAX);
	AUTO_CLOSE int fd = testing_file("", 0);
	AUTO_FREE void *loaded = NULL;
	uint16_t minor;
	size_t len;
	struct err e;

	(void)state;
	assert_ok(state_file_save(fd, large, STATE_FILE_BODY_MAX, &e), e);
	assert_ok(state_file_load(fd, &loaded, &len, &minor, &e), e);
	assert_int_equal(len, STATE_FILE_BODY_MAX);
}

static void a_full_disk_is_named(void **state)
{
	AUTO_CLOSE int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct err e;

	(void)state;
	assert_err(state_file_save(full, body, sizeof(body), &e), e,
		   "No space left on device");
}

/* Wherever it gets full: here, a limit that ends within each part. */
static void every_place_to_get_full_is_noticed(void **state)
{
	struct rlimit old, limit;
	struct err e;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	for (size_t n = 0; n < HEADER + sizeof(body) + CRC; n++) {
		AUTO_CLOSE int fd = testing_file("", 0);
		int r;

		limit = (struct rlimit){n, old.rlim_max};
		setrlimit(RLIMIT_FSIZE, &limit);
		r = state_file_save(fd, body, sizeof(body), &e);
		setrlimit(RLIMIT_FSIZE, &old);
		assert_err(r, e, "cannot write the state: File too large");
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_saved_is_loaded),
		cmocka_unit_test(the_bytes_are_where_they_are_documented),
		cmocka_unit_test(every_flipped_bit_is_refused),
		cmocka_unit_test(every_other_length_is_refused),
		cmocka_unit_test(another_major_is_refused_with_both_versions),
		cmocka_unit_test(a_newer_minor_is_read),
		cmocka_unit_test(unknown_flags_are_refused),
		cmocka_unit_test(an_absurd_length_is_refused_by_name),
		cmocka_unit_test(what_is_no_file_is_refused),
		cmocka_unit_test(more_than_can_be_loaded_is_not_saved),
		cmocka_unit_test(the_largest_is_saved_and_loaded),
		cmocka_unit_test(a_full_disk_is_named),
		cmocka_unit_test(every_place_to_get_full_is_noticed),
	};

	return RUN_TESTS("state_file", tests);
}
