/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel images: what is loaded and where, and how all else is refused. */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "arch/arch.h"
#include "core/base/err.h"
#include "core/base/util.h"
#include "core/machine/mem.h"
#include "tests/unit/testing.h"

enum {
	RAM = 0x80000000,
	KERNEL = 0x80200000,
	RAM_SIZE = 32 << 20,
	FDT_MAX = 1 << 20, /* the device tree, if it is at the end of RAM */
};

struct bench {
	struct guest_mem mem;
	int fd;
	struct arch_kernel k;
	struct err e;
};

static int set_up(void **state)
{
	const struct guest_mem_region ram = {.gpa = RAM, .size = RAM_SIZE};
	struct bench *b = calloc(1, sizeof(*b));

	assert_int_equal(guest_mem_create(&b->mem, &ram, 1, &b->e), 0);
	b->fd = memfd_create("image", MFD_CLOEXEC);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	guest_mem_destroy(&b->mem);
	close(b->fd);
	free(b);
	return 0;
}

static void put(struct bench *b, const void *data, size_t size, off_t at)
{
	assert_int_equal(pwrite(b->fd, data, size, at), (ssize_t)size);
}

static int load(struct bench *b)
{
	uint64_t size = (uint64_t)lseek(b->fd, 0, SEEK_END);

	b->e.text[0] = '\0';
	return arch_load_kernel(&b->mem, b->fd, size, &b->k, &b->e);
}

static void assert_refused(struct bench *b, const char *word)
{
	assert_int_equal(load(b), -1);
	if (!strstr(b->e.text, word))
		fail_msg("\"%s\" does not say \"%s\"", b->e.text, word);
}

/* An Image of @size bytes whose byte n is n * 7, header apart. */
static uint8_t *make_image(size_t size, uint64_t text_offset,
			   uint64_t image_size)
{
	uint64_t fields[2] = {htole64(text_offset), htole64(image_size)};
	uint8_t *image = malloc(size);

	for (size_t i = 0; i < size; i++)
		image[i] = (uint8_t)(i * 7);
	memcpy(image + 8, fields, sizeof(fields));
	memcpy(image + 56, "ARM\x64", 4);
	return image;
}

static void assert_loaded(struct bench *b, gpa_t at, const uint8_t *image,
			  size_t size)
{
	assert_int_equal(b->k.entry, at);
	assert_memory_equal(guest_mem_at(&b->mem, at, size), image, size);
}

/* @wrap: zlib's window bits; 31 makes gzip. */
static size_t compress_at(int level, uint8_t *out, size_t room,
			  const uint8_t *in, size_t size)
{
	z_stream z = {0};

	assert_int_equal(
		deflateInit2(&z, level, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY),
		Z_OK);
	z.next_in = (uint8_t *)in;
	z.avail_in = (unsigned)size;
	z.next_out = out;
	z.avail_out = (unsigned)room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

static size_t compress_to(uint8_t *out, size_t room, const uint8_t *in,
			  size_t size)
{
	return compress_at(1, out, room, in, size);
}

/* ---------------------------------------------------------------- loading */

static void an_image_lies_where_its_header_says(void **state)
{
	struct bench *b = *state;
	AUTO_FREE uint8_t *image = make_image(70001, 0x80000, 100000);

	put(b, image, 70001, 0);
	assert_int_equal(load(b), 0);
	assert_loaded(b, KERNEL + 0x80000, image, 70001);
	assert_int_equal(b->k.end, KERNEL + 0x80000 + 100000);
}

/* Put a section table into @image, of a writable section from @offset on. */
static void put_sections(uint8_t *image, uint32_t pe, uint32_t offset)
{
	uint32_t le[] = {htole32(pe), htole32(offset), htole32(0x80000000u)};
	uint8_t *section = image + pe + 24 + 160;

	memcpy(image + 60, &le[0], 4);
	memcpy(image + pe, "PE\0\0\x64\xaa\2\0", 8);
	memcpy(image + pe + 20, "\240\0", 2);
	memset(section, 0, 80);
	memcpy(section + 40 + 20, &le[1], 4);
	memcpy(section + 40 + 36, &le[2], 4);
}

static void only_what_is_not_writable_is_mapped(void **state)
{
	enum { SIZE = 6 * 65536 + 77, DATA = 4 * 65536 };
	struct bench *b = *state;
	AUTO_FREE uint8_t *image = make_image(SIZE, 0, SIZE);

	put_sections(image, 64, DATA);
	put(b, image, SIZE, 0);
	assert_int_equal(load(b), 0);
	assert_loaded(b, KERNEL, image, SIZE);
	/* What is mapped shows what becomes of the file, what was read not. */
	image[65536] ^= 1;
	put(b, "changed", 7, DATA);
	put(b, image + 65536, 1, 65536);
	assert_loaded(b, KERNEL, image, SIZE);
}

static void odd_section_tables_do_no_harm(void **state)
{
	static const uint32_t offsets[] = {0, 65536, 70000, UINT32_MAX};
	static const uint32_t places[] = {64, 3000, 4096 - 24 - 160 - 80};
	enum { SIZE = 2 * 65536 };
	struct bench *b = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(offsets); i++) {
		for (unsigned p = 0; p < ARRAY_SIZE(places); p++) {
			AUTO_FREE uint8_t *image = make_image(SIZE, 0, SIZE);

			put_sections(image, places[p], offsets[i]);
			put(b, image, SIZE, 0);
			assert_int_equal(load(b), 0);
			assert_loaded(b, KERNEL, image, SIZE);
		}
	}
}

static void an_image_without_a_size_is_too_old(void **state)
{
	struct bench *b = *state;
	AUTO_FREE uint8_t *image = make_image(5000, 0, 0);

	put(b, image, 5000, 0);
	assert_refused(b, "before 3.17");
}

static void gzip_is_inflated(void **state)
{
	struct bench *b = *state;
	AUTO_FREE uint8_t *image = make_image(300000, 0, 400000);
	AUTO_FREE uint8_t *gz = malloc(400000);

	put(b, gz, compress_to(gz, 400000, image, 300000), 0);
	assert_int_equal(load(b), 0);
	assert_loaded(b, KERNEL, image, 300000);
	assert_int_equal(b->k.end, KERNEL + 400000);
}

static size_t put_zboot(struct bench *b, const char *compression,
			const uint8_t *payload, size_t size)
{
	uint8_t head[4096] = "MZ\0\0zimg";
	uint32_t fields[2] = {htole32(sizeof(head)), htole32((uint32_t)size)};

	memcpy(head + 8, fields, sizeof(fields));
	memcpy(head + 24, compression, strlen(compression));
	put(b, head, sizeof(head), 0);
	put(b, payload, size, sizeof(head));
	return size + sizeof(head);
}

static void efi_zboot_with_gzip_is_inflated(void **state)
{
	struct bench *b = *state;
	AUTO_FREE uint8_t *image = make_image(300000, 0, 400000);
	AUTO_FREE uint8_t *gz = malloc(400000);
	size_t size = compress_to(gz, 400000, image, 300000);

	put_zboot(b, "gzip", gz, size);
	assert_int_equal(load(b), 0);
	assert_loaded(b, KERNEL, image, 300000);
}

/* ---------------------------------------------------------------- refusals */

static void efi_zboot_with_something_else_is_named(void **state)
{
	struct bench *b = *state;

	put_zboot(b, "zstd22", (const uint8_t *)"x", 1);
	assert_refused(b, "compressed with zstd22, and stasis reads gzip; "
			  "decompress it: tail -c +4097 FILE | head -c 1 | "
			  "zstd -dc > Image");
	put_zboot(b, "\n\033[2J", (const uint8_t *)"x", 1);
	assert_refused(b, "does not know");
}

static void a_zboot_payload_outside_the_file_is_refused(void **state)
{
	struct bench *b = *state;
	uint32_t huge = htole32(UINT32_MAX);

	put_zboot(b, "gzip", (const uint8_t *)"x", 1);
	put(b, &huge, sizeof(huge), 12);
	assert_refused(b, "damaged");
	put(b, &huge, sizeof(huge), 8);
	assert_refused(b, "damaged");
}

static void an_empty_file_is_said_to_be_empty(void **state)
{
	assert_refused(*state, "empty");
}

static void every_short_file_is_refused(void **state)
{
	struct bench *b = *state;
	AUTO_FREE uint8_t *image = make_image(64, 0, 4096);

	for (size_t n = 0; n < 64; n++) {
		assert_int_equal(ftruncate(b->fd, 0), 0);
		put(b, image, n, 0);
		assert_int_equal(load(b), -1);
	}
}

static void a_strange_text_offset_is_refused(void **state)
{
	static const uint64_t offsets[] = {1, 0x80001, 2 << 20, UINT64_MAX,
					   1ull << 63};
	struct bench *b = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(offsets); i++) {
		AUTO_FREE uint8_t *image = make_image(4096, offsets[i], 4096);

		put(b, image, 4096, 0);
		assert_refused(b, "text offset");
	}
}

static void an_image_that_fills_ram_fits(void **state)
{
	struct bench *b = *state;
	AUTO_FREE uint8_t *image = make_image(4096, 0, RAM_SIZE - (2 << 20));

	put(b, image, 4096, 0);
	assert_int_equal(load(b), 0);
	assert_int_equal(b->k.end, RAM + RAM_SIZE);
}

static void an_image_larger_than_ram_is_refused(void **state)
{
	static const uint64_t sizes[] = {RAM_SIZE - (2 << 20) + 1, UINT64_MAX,
					 1ull << 63};
	struct bench *b = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		AUTO_FREE uint8_t *image = make_image(4096, 0, sizes[i]);

		put(b, image, 4096, 0);
		assert_refused(b, "more RAM");
	}
}

static void a_file_larger_than_ram_is_refused(void **state)
{
	struct bench *b = *state;
	AUTO_FREE uint8_t *image = make_image(4096, 0, 4096);

	put(b, image, 4096, 0);
	assert_int_equal(ftruncate(b->fd, RAM_SIZE), 0);
	assert_refused(b, "more RAM");
}

/* The file is read in chunks of 32 KiB.  Whatever part of gzip's trailer is in
 * the second one, the image has filled all its RAM by then. */
static void gzip_that_is_as_large_as_its_header_says_is_inflated(void **state)
{
	struct bench *b = *state;

	for (size_t size = 32720; size < 32780; size++) {
		AUTO_FREE uint8_t *image = make_image(size, 0, size);
		AUTO_FREE uint8_t *gz = malloc(40000);

		assert_int_equal(ftruncate(b->fd, 0), 0);
		put(b, gz, compress_at(0, gz, 40000, image, size), 0);
		assert_ok(load(b), b->e);
		assert_loaded(b, KERNEL, image, size);
	}
}

static void gzip_that_inflates_beyond_its_header_is_refused(void **state)
{
	struct bench *b = *state;
	AUTO_FREE uint8_t *image = make_image(8192, 0, 4096);
	AUTO_FREE uint8_t *gz = malloc(16384);

	put(b, gz, compress_to(gz, 16384, image, 8192), 0);
	assert_refused(b, "larger than the 4096 bytes");
}

static void gzip_that_asks_for_more_than_ram_is_refused(void **state)
{
	struct bench *b = *state;
	AUTO_FREE uint8_t *image = make_image(8192, 0, RAM_SIZE);
	AUTO_FREE uint8_t *gz = malloc(16384);

	put(b, gz, compress_to(gz, 16384, image, 8192), 0);
	assert_refused(b, "more RAM");
}

static void gzip_cut_short_anywhere_is_refused(void **state)
{
	struct bench *b = *state;
	AUTO_FREE uint8_t *image = make_image(5000, 0, 8192);
	AUTO_FREE uint8_t *gz = malloc(8192);
	size_t size = compress_to(gz, 8192, image, 5000);

	for (size_t n = 2; n < size; n += 3) {
		assert_int_equal(ftruncate(b->fd, 0), 0);
		put(b, gz, n, 0);
		assert_int_equal(load(b), -1);
	}
}

static void gzip_of_something_else_is_refused(void **state)
{
	struct bench *b = *state;
	uint8_t gz[512], text[300] = "not a kernel";

	put(b, gz, compress_to(gz, sizeof(gz), text, sizeof(text)), 0);
	assert_refused(b, "no arm64 Image");
}

/* Also if what shows that is beyond an Image's header, or that is cut. */
static void what_is_in_gzip_is_named(void **state)
{
	struct bench *b = *state;
	uint8_t gz[512], x86[0x206 + 3] = {0}, cpio[] = "070701";

	memcpy(x86 + 0x202, "HdrS", 4);
	put(b, gz, compress_to(gz, sizeof(gz), x86, sizeof(x86)), 0);
	assert_refused(b, "x86");
	assert_int_equal(ftruncate(b->fd, 0), 0);
	put(b, gz, compress_to(gz, sizeof(gz), cpio, sizeof(cpio)), 0);
	assert_refused(b, "cpio");
}

/* ------------------------------------------------------------------ initrd */

static int place(struct bench *b, uint64_t size, gpa_t kernel_end, gpa_t *gpa)
{
	const struct arch_kernel kernel = {.end = kernel_end};

	return arch_place_initrd(&b->mem, size, &kernel, gpa, &b->e);
}

static void an_initrd_lies_at_the_end_of_ram(void **state)
{
	struct bench *b = *state;
	gpa_t gpa;

	assert_int_equal(place(b, 100000, KERNEL + 1, &gpa), 0);
	assert_int_equal(gpa % 65536, 0);
	assert_true(gpa + 100000 <= RAM + RAM_SIZE);
	assert_true(gpa + 100000 + 65536 > RAM + RAM_SIZE);
}

/* Both stay below it. */
static void a_device_tree_at_the_end_is_kept_free(void **state)
{
	struct bench *b = *state;
	const uint64_t room = RAM_SIZE - (KERNEL - RAM) - FDT_MAX;
	AUTO_FREE uint8_t *image = make_image(4096, 0, room);
	gpa_t gpa;

	b->k.fdt_high = true;
	put(b, image, 4096, 0);
	assert_int_equal(load(b), 0);
	b->k.end = KERNEL + 4096;
	assert_int_equal(arch_place_initrd(&b->mem, 65536, &b->k, &gpa, &b->e),
			 0);
	assert_int_equal(gpa, KERNEL + room - 65536);
	image[16] = 1;
	put(b, image, 4096, 0);
	assert_refused(b, "at the end of RAM; give the VM more RAM");
}

static void an_initrd_never_overlaps_the_kernel(void **state)
{
	struct bench *b = *state;
	gpa_t end = RAM + RAM_SIZE - 65536, gpa;

	assert_int_equal(place(b, 65536, end, &gpa), 0);
	assert_int_equal(gpa, end);
	assert_int_equal(place(b, 65537, end, &gpa), -1);
	assert_int_equal(place(b, 65536, end + 1, &gpa), -1);
	assert_int_equal(place(b, 1, RAM + RAM_SIZE + 1, &gpa), -1);
	assert_int_equal(place(b, UINT64_MAX, KERNEL, &gpa), -1);
}

#define IMAGE_TEST(name) \
	cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IMAGE_TEST(an_image_lies_where_its_header_says),
		IMAGE_TEST(only_what_is_not_writable_is_mapped),
		IMAGE_TEST(odd_section_tables_do_no_harm),
		IMAGE_TEST(an_image_without_a_size_is_too_old),
		IMAGE_TEST(gzip_is_inflated),
		IMAGE_TEST(efi_zboot_with_gzip_is_inflated),
		IMAGE_TEST(efi_zboot_with_something_else_is_named),
		IMAGE_TEST(a_zboot_payload_outside_the_file_is_refused),
		IMAGE_TEST(an_empty_file_is_said_to_be_empty),
		IMAGE_TEST(every_short_file_is_refused),
		IMAGE_TEST(a_strange_text_offset_is_refused),
		IMAGE_TEST(an_image_that_fills_ram_fits),
		IMAGE_TEST(an_image_larger_than_ram_is_refused),
		IMAGE_TEST(a_file_larger_than_ram_is_refused),
		IMAGE_TEST(
			gzip_that_is_as_large_as_its_header_says_is_inflated),
		IMAGE_TEST(gzip_that_inflates_beyond_its_header_is_refused),
		IMAGE_TEST(gzip_that_asks_for_more_than_ram_is_refused),
		IMAGE_TEST(gzip_cut_short_anywhere_is_refused),
		IMAGE_TEST(gzip_of_something_else_is_refused),
		IMAGE_TEST(what_is_in_gzip_is_named),
		IMAGE_TEST(an_initrd_lies_at_the_end_of_ram),
		IMAGE_TEST(an_initrd_never_overlaps_the_kernel),
		IMAGE_TEST(a_device_tree_at_the_end_is_kept_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
