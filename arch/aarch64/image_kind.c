/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recognising files that are not supported kernels, and what the user can do
 * about them.
 *
 * Sources of the magic numbers: Linux (scripts/, arch/x86/boot,
 * arch/arm/boot), U-Boot, Android and EDK2 for kernels and loaders, file(1) for
 * the rest.
 */
#include "arch/aarch64/image_kind.h"

#include <string.h>

#include "core/base/err.h"
#include "core/base/util.h"

#define OBJCOPY "aarch64-linux-gnu-objcopy -O binary "
/* As in Linux, arch/arm64/boot/Makefile. */
#define WITHOUT "-R .note -R .note.gnu.build-id -R .comment -S "
#define PLAIN   " > Image"

/* The remedy if there is no better one. */
static const char other[] =
	"pass an arm64 Linux kernel as Image, Image.gz or vmlinuz.efi (gzip), "
	"which a kernel build leaves in arch/arm64/boot/; or a bare-metal "
	"binary, as raw (--raw, \"raw\": true)";

struct stranger {
	uint16_t offset, len;
	const char *magic, *what;
	const char *remedy; /* NULL: other[] */
};

static const char for_arm64[] = "stasis boots kernels for arm64: pass Image or "
				"Image.gz of one";
static const char no_firmware[] =
	"stasis starts kernels itself, without firmware: pass the kernel "
	"(Image, Image.gz or vmlinuz.efi)";

/* The first match wins. */
static const struct stranger strangers[] = {
	{0x202, 4, "HdrS", "an x86 kernel (bzImage)", for_arm64},
	{0x24, 4, "\x18\x28\x6f\x01", "a 32-bit Arm kernel (zImage)",
	 for_arm64},
	{0x38, 4, "RSC\x05", "a RISC-V kernel (Image)", for_arm64},
	{0, 4, "\x27\x05\x19\x56", "a U-Boot uImage",
	 "take the kernel out: dumpimage -T kernel -p 0 -o Image FILE"},
	{0, 4, "\xd0\x0d\xfe\xed",
	 "a FIT image, or a device tree (flattened device tree)",
	 "take the kernel out of a FIT image: "
	 "dumpimage -T flat_dt -p 0 -o Image FILE"},
	{0, 8, "ANDROID!", "an Android boot image",
	 "take the kernel out: unpack_bootimg --boot_img FILE --out DIR, and "
	 "pass DIR/kernel (an Image, or compressed)"},
	{0, 8, "VNDRBOOT", "an Android vendor boot image, without a kernel",
	 "take the kernel (Image) from boot.img: unpack_bootimg"},
	{40, 4, "_FVH", "UEFI firmware (an EDK2 firmware volume)", no_firmware},
	/* U-Boot begins with a branch over the four addresses that follow. */
	{0, 8, "\x0a\0\0\x14\x1f\x20\x03\xd5", "U-Boot", no_firmware},
	{0, 6,
	 "\xfd"
	 "7zXZ\0",
	 "compressed with xz", "decompress it: xz -dc FILE" PLAIN},
	{0, 4, "\x28\xb5\x2f\xfd", "compressed with zstd",
	 "decompress it: zstd -dc FILE" PLAIN},
	{0, 4, "\x04\x22\x4d\x18", "compressed with lz4",
	 "decompress it: lz4 -dc FILE" PLAIN},
	{0, 4, "\x02\x21\x4c\x18", "compressed with lz4 (legacy format)",
	 "decompress it: lz4 -dc FILE" PLAIN},
	{0, 3, "BZh", "compressed with bzip2",
	 "decompress it: bzip2 -dc FILE" PLAIN},
	{0, 4, "\x89LZO", "compressed with lzo",
	 "decompress it: lzop -dc FILE" PLAIN},
	{0, 3, "\x5d\0\0", "compressed with lzma",
	 "decompress it: xz --format=lzma -dc FILE" PLAIN},
	{0, 5, "07070", "a cpio archive (an initrd?)",
	 "pass that as --initrd (initrd_path), and as the kernel an Image"},
	{0, 4, "QFI\xfb", "a qcow2 disk image",
	 "convert it (qemu-img convert -O raw) and pass it as a disk; the "
	 "kernel is an Image"},
	{0x438, 2, "\x53\xef", "an ext4 file system",
	 "pass that as a disk; the kernel is an Image"},
	{0, 4, "hsqs", "a squashfs file system",
	 "pass that as a disk; the kernel is an Image"},
	{0, 8, "!<arch>\n", "an archive (a Debian package?)",
	 "unpack it: dpkg-deb -x FILE DIR; the kernel is DIR/boot/vmlinuz-*, "
	 "an Image"},
	{0, 4, "\xed\xab\xee\xdb", "an RPM package",
	 "unpack it: rpm2cpio FILE | cpio -id; the kernel is vmlinuz, an "
	 "Image"},
	{0, 2, "#!", "a script", NULL},
};

static const struct stranger elf_arm64 = {
	.what = "an ELF file (vmlinux?)",
	.remedy = "make an Image of a vmlinux: " OBJCOPY WITHOUT "FILE Image",
};
static const struct stranger elf = {
	.what = "an ELF file for another processor than arm64",
	.remedy = for_arm64,
};
static const struct stranger unified = {
	.what = "a unified kernel image (an EFI program)",
	.remedy = "take the kernel out: " OBJCOPY
		  "--only-section=.linux FILE Image",
};
static const struct stranger efi = {
	.what = "an EFI program other than an arm64 Linux kernel",
};
static const struct stranger empty = {.what = "empty"};
static const struct stranger unknown = {
	.what = "not a kernel image that stasis knows",
};

static bool has(const uint8_t *head, uint64_t size, uint64_t offset,
		const void *magic, uint64_t len)
{
	return offset + len <= size && !memcmp(head + offset, magic, len);
}

static const struct stranger *find(const uint8_t *head, uint64_t size)
{
	enum { ELF_MACHINE = 18 };

	if (!size)
		return &empty;
	if (has(head, size, 0,
		"\x7f"
		"ELF",
		4))
		return has(head, size, ELF_MACHINE, "\xb7\0", 2) ? &elf_arm64
								 : &elf;
	for (unsigned i = 0; i < ARRAY_SIZE(strangers); i++) {
		const struct stranger *s = &strangers[i];

		if (has(head, size, s->offset, s->magic, s->len))
			return s;
	}
	if (!has(head, size, 0, "MZ", 2))
		return &unknown;
	/* A unified kernel image has a section of this name. */
	return memmem(head, size, ".linux\0\0", 8) ? &unified : &efi;
}

int image_refuse(const char *where, const uint8_t *head, uint64_t size,
		 struct err *e)
{
	const struct stranger *s = find(head, size);

	return err_set(e, "%s %s; %s", where, s->what,
		       s->remedy ? s->remedy : other);
}

/* Compression methods in Linux's zboot header, and how to decompress them. */
static const struct {
	const char *method, *program;
} programs[] = {
	{"zstd22", "zstd -dc"},
	{"zstd", "zstd -dc"},
	{"xzkern", "xz -dc"},
	{"lz4", "lz4 -dc"},
	{"lzma", "xz --format=lzma -dc"},
	{"lzo", "lzop -dc"},
};

int image_refuse_zboot(const char *method, size_t size, uint64_t offset,
		       uint64_t payload, struct err *e)
{
	for (unsigned i = 0; i < ARRAY_SIZE(programs); i++) {
		if (strncmp(method, programs[i].method, size) != 0)
			continue;
		return err_set(
			e,
			"it is an EFI zboot image compressed with %s, "
			"and stasis reads gzip; decompress it: tail -c "
			"+%llu FILE | head -c %llu | %s" PLAIN,
			programs[i].method, (unsigned long long)offset + 1,
			(unsigned long long)payload, programs[i].program);
	}
	return err_set(e, "it is an EFI zboot image compressed in a way that "
			  "stasis does not know, and it reads gzip; pass the "
			  "plain Image");
}
