/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are no kernels are named, with what to do: image_kind.c. */
#include <stdlib.h>
#include <string.h>

#include "arch/aarch64/image_kind.h"
#include "core/base/err.h"
#include "core/base/util.h"
#include "tests/unit/testing.h"

static uint8_t head[IMAGE_HEAD_SIZE];
static struct err e;

static int set_up(void **state)
{
	(void)state;
	memset(head, 0, sizeof(head));
	return 0;
}

static void assert_says(uint64_t size, const char *what, const char *remedy)
{
	assert_err(image_refuse("it is", head, size, &e), e, what);
	assert_non_null(strstr(e.text, remedy));
	assert_non_null(strstr(e.text, "; "));
	assert_null(strchr(e.text, '\n'));
}

struct stranger {
	const char *bytes;
	size_t len, at;
	const char *what, *remedy;
};

static const struct stranger strangers[] = {
	{"\x7f"
	 "ELF",
	 4, 0, "another processor", "arm64"},
	{"HdrS", 4, 0x202, "x86", "arm64"},
	{"\x18\x28\x6f\x01", 4, 0x24, "32-bit Arm", "arm64"},
	{"RSC\x05", 4, 56, "RISC-V", "arm64"},
	{"\x27\x05\x19\x56", 4, 0, "uImage", "dumpimage"},
	{"\xd0\x0d\xfe\xed", 4, 0, "device tree", "dumpimage"},
	{"ANDROID!", 8, 0, "Android boot", "unpack_bootimg"},
	{"VNDRBOOT", 8, 0, "vendor boot", "boot.img"},
	{"_FVH", 4, 40, "EDK2", "without firmware"},
	{"\x0a\0\0\x14\x1f\x20\x03\xd5", 8, 0, "U-Boot", "without firmware"},
	{"\xfd"
	 "7zXZ\0",
	 6, 0, "xz", "xz -dc"},
	{"\x28\xb5\x2f\xfd", 4, 0, "zstd", "zstd -dc"},
	{"\x04\x22\x4d\x18", 4, 0, "lz4", "lz4 -dc"},
	{"\x02\x21\x4c\x18", 4, 0, "legacy", "lz4 -dc"},
	{"BZh91AY", 7, 0, "bzip2", "bzip2 -dc"},
	{"\x89LZO", 4, 0, "lzo", "lzop -dc"},
	{"\x5d\0\0", 3, 0, "lzma", "xz --format=lzma -dc"},
	{"070701", 6, 0, "cpio", "--initrd"},
	{"070702", 6, 0, "cpio", "--initrd"},
	{"QFI\xfb", 4, 0, "qcow2", "disk"},
	{"\x53\xef", 2, 0x438, "ext4", "disk"},
	{"hsqs", 4, 0, "squashfs", "disk"},
	{"!<arch>\n", 8, 0, "Debian", "dpkg-deb"},
	{"\xed\xab\xee\xdb", 4, 0, "RPM", "rpm2cpio"},
	{"#!/bin/sh\n", 10, 0, "script", "Image.gz"},
	{"MZ\x90", 3, 0, "EFI", "vmlinuz.efi"},
	{"hello", 5, 0, "not a kernel image", "--raw"},
};

static void each_is_named_with_a_remedy(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(strangers); i++) {
		const struct stranger *s = &strangers[i];

		set_up(state);
		memcpy(head + s->at, s->bytes, s->len);
		assert_says(sizeof(head), s->what, s->remedy);
		assert_says(s->at + s->len, s->what, s->remedy);
	}
}

/* What is behind the end is not looked at: the sanitiser would see it. */
static void a_short_file_is_looked_at_to_its_end(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(strangers); i++) {
		const struct stranger *s = &strangers[i];
		size_t size = s->at + s->len - 1;
		AUTO_FREE uint8_t *cut = calloc(1, size);

		memcpy(cut + s->at, s->bytes, s->len - 1);
		assert_err(image_refuse("it is", cut, size, &e), e, "it is ");
	}
}

static void a_vmlinux_is_made_an_image(void **state)
{
	(void)state;
	memcpy(head,
	       "\x7f"
	       "ELF\2\1\1",
	       7);
	memcpy(head + 18, "\xb7\0", 2);
	assert_says(sizeof(head), "an ELF file (vmlinux?)",
		    "objcopy -O binary -R .note -R .note.gnu.build-id "
		    "-R .comment -S FILE Image");
}

static void a_unified_kernel_has_one_inside(void **state)
{
	(void)state;
	memcpy(head, "MZ", 2);
	memcpy(head + sizeof(head) - 8, ".linux\0\0", 8);
	assert_says(sizeof(head), "unified kernel image",
		    "--only-section=.linux");
}

static void nothing_is_empty(void **state)
{
	(void)state;
	assert_err(image_refuse("it is", head, 0, &e), e, "it is empty");
}

/* A method without a NUL, and those that Linux has. */
static void other_zboot_methods_are_undone_by_hand(void **state)
{
	static const char *const methods[][2] = {
		{"zstd22", "| zstd -dc >"},
		{"xzkern", "| xz -dc >"},
		{"lz4", "| lz4 -dc >"},
		{"lzma", "| xz --format=lzma -dc >"},
		{"lzo", "| lzop -dc >"},
	};
	char field[32];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(methods); i++) {
		memset(field, 0, sizeof(field));
		memcpy(field, methods[i][0], strlen(methods[i][0]));
		assert_err(image_refuse_zboot(field, sizeof(field), 0xffffffff,
					      99, &e),
			   e, methods[i][1]);
		assert_non_null(strstr(
			e.text, "tail -c +4294967296 FILE | head -c 99"));
	}
	memset(field, 'z', sizeof(field));
	assert_err(image_refuse_zboot(field, sizeof(field), 0, 0, &e), e,
		   "does not know");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_is_named_with_a_remedy, set_up),
		cmocka_unit_test(a_short_file_is_looked_at_to_its_end),
		cmocka_unit_test_setup(a_vmlinux_is_made_an_image, set_up),
		cmocka_unit_test_setup(a_unified_kernel_has_one_inside, set_up),
		cmocka_unit_test_setup(nothing_is_empty, set_up),
		cmocka_unit_test_setup(other_zboot_methods_are_undone_by_hand,
				       set_up),
	};

	return RUN_TESTS("image_kind", tests);
}
