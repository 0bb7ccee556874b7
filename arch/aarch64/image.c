/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel images: recognising a file and loading it into guest RAM.
 *
 * An uncompressed Image is mapped from its file.  A gzip file, or the gzip data
 * in an EFI zboot image, is inflated straight into RAM.  A raw binary is mapped
 * at the address that the user chose.  Headers: Linux,
 * Documentation/arch/arm64/booting.rst and
 * drivers/firmware/efi/libstub/zboot-header.S.
 */
#include <endian.h>
#include <string.h>
#include <zlib.h>

#include "arch/aarch64/image_kind.h"
#include "arch/aarch64/internal.h"
#include "arch/arch.h"
#include "core/base/err.h"
#include "core/io/io.h"

/* The first 64 bytes of an arm64 Image; all fields little-endian. */
struct image_header {
	uint32_t code[2];
	uint64_t text_offset; /* from a 2 MiB boundary */
	uint64_t image_size;  /* in RAM; 0 in Linux before 3.17 */
	uint64_t flags;
	uint64_t reserved[3];
	uint8_t magic[4]; /* "ARM\x64" */
	uint32_t pe_offset;
};

struct zboot_header {
	uint8_t mz[4];
	uint8_t image_type[4]; /* "zimg" */
	uint32_t payload_offset, payload_size;
	uint32_t reserved[2];
	char compression[32];
	uint32_t pe_magic, pe_offset;
};

_Static_assert(sizeof(struct image_header) == 64, "");
_Static_assert(sizeof(struct zboot_header) == 64, "");

enum { HEAD_SIZE = IMAGE_HEAD_SIZE, CHUNK = 32768 };

/* A part of a file. */
struct part {
	int fd;
	uint64_t offset, size;
};

/* -------------------------------------------------------------- placement */

struct placement {
	gpa_t load;
	uint64_t room; /* bytes available at .load */
	uint64_t size; /* bytes that the kernel's header asks for */
};

static bool is_image(const struct image_header *h)
{
	return !memcmp(h->magic, "ARM\x64", 4);
}

static int place(const struct guest_mem *mem, const struct image_header *h,
		 struct placement *p, struct err *e)
{
	const struct guest_mem_region *ram = &mem->region[0];
	uint64_t text_offset = le64toh(h->text_offset);
	uint64_t reserved = RAM_RESERVED;

	p->size = le64toh(h->image_size);
	/* Linux before 4.2 is not supported either: it expects its device tree
	 * elsewhere. */
	if (!p->size)
		return err_set(e, "it is Linux before 3.17; stasis boots "
				  "Linux 4.2 or later");
	if (text_offset >= MIB(2) || text_offset % 4096)
		return err_set(e, "its header is damaged (text offset 0x%llx)",
			       (unsigned long long)text_offset);
	reserved += text_offset;
	/* Never true, because RAM is at least arch_layout.ram_min. */
	if (ram->size < reserved)
		return err_set(e, "there is no RAM for it");
	p->load = ram->gpa + reserved;
	p->room = ram->size - reserved;
	return 0;
}

static int check_room(const struct placement *p, uint64_t file_size,
		      struct err *e)
{
	uint64_t need = max_u64(p->size, file_size);

	if (need <= p->room)
		return 0;
	return err_set(e,
		       "it needs %llu MiB, but only %llu MiB of the VM's RAM "
		       "are free for it; give the VM more RAM",
		       (unsigned long long)(need >> 20) + 1,
		       (unsigned long long)(p->room >> 20));
}

/* ------------------------------------------------------------ uncompressed */

static uint32_t le32_at(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return le32toh(v);
}

/*
 * The offset in the file of the kernel's writable section, from the section
 * table of its EFI (PE) header; @size, the end of the file, if there is none.
 * Source: Microsoft PE format; Linux, arch/arm64/kernel/efi-header.S.
 */
static uint64_t writable_from(const uint8_t head[HEAD_SIZE], uint64_t size)
{
	enum { COFF_SIZE = 24, SECTION_SIZE = 40, SECTIONS_MAX = 16 };
	uint64_t pe = le32_at(head + 60), at;
	unsigned count;

	if (pe > HEAD_SIZE - COFF_SIZE || memcmp(head + pe, "PE\0\0", 4) != 0)
		return size;
	count = le32_at(head + pe + 4) >> 16;
	at = pe + COFF_SIZE + (le32_at(head + pe + 20) & 0xffff);
	for (unsigned i = 0; i < count && i < SECTIONS_MAX; i++) {
		if (at > HEAD_SIZE - SECTION_SIZE)
			break;
		if (le32_at(head + at + 36) >> 31)
			return min_u64(le32_at(head + at + 20), size);
		at += SECTION_SIZE;
	}
	return size;
}

/*
 * The writable section is read, because every guest writes to it and would copy
 * it page by page; the rest may be mapped and shared.
 */
static int load_plain(struct guest_mem *mem, const struct part *file,
		      const uint8_t head[HEAD_SIZE], struct arch_kernel *k,
		      struct err *e)
{
	struct image_header h;
	struct placement p = {0};
	uint64_t shared = writable_from(head, file->size);

	memcpy(&h, head, sizeof(h));
	if (place(mem, &h, &p, e) || check_room(&p, file->size, e) ||
	    guest_mem_boot(mem, p.load, file->fd, 0, shared, e) ||
	    guest_mem_read(mem, p.load + shared, file->fd, shared,
			   file->size - shared, e))
		return -1;
	k->entry = p.load;
	k->end = p.load + max_u64(p.size, file->size);
	return 0;
}

/* -------------------------------------------------------------------- gzip */

struct inflater {
	z_stream z;
	struct part rest; /* the part of the file that is not read yet */
	uint8_t chunk[CHUNK];
};

static int inflate_failed(const struct inflater *in, int r, struct err *e)
{
	if (r == Z_BUF_ERROR)
		return err_set(e, "its compressed part is cut short");
	return err_set(e, "its compressed part is damaged (%s)",
		       in->z.msg ? in->z.msg : "zlib error");
}

/*
 * Inflate into @out until its @room bytes are full or the stream ends (*ended).
 * Returns the number of bytes that came out, or -1.
 */
static int64_t inflate_into(struct inflater *in, void *out, uint64_t room,
			    bool *ended, struct err *e)
{
	uint64_t done = 0;
	int r = Z_OK;

	/* The end may follow when there is no more room. */
	while (r != Z_STREAM_END) {
		if (!in->z.avail_in) {
			ssize_t n = io_pread(in->rest.fd, in->chunk,
					     min_u64(CHUNK, in->rest.size),
					     in->rest.offset);

			if (n < 0)
				return err_errno(e, "cannot read it");
			in->rest.offset += (uint64_t)n;
			in->rest.size -= (uint64_t)n;
			in->z.next_in = in->chunk;
			in->z.avail_in = (unsigned)n;
		}
		in->z.next_out = (uint8_t *)out + done;
		in->z.avail_out = (unsigned)min_u64(room - done, GIB(1));
		r = inflate(&in->z, Z_NO_FLUSH);
		if (r == Z_BUF_ERROR && done == room && in->z.avail_in)
			break;
		if (r != Z_OK && r != Z_STREAM_END)
			return inflate_failed(in, r, e);
		done = (uint64_t)(in->z.next_out - (uint8_t *)out);
	}
	*ended = r == Z_STREAM_END;
	return (int64_t)done;
}

/*
 * Reject compressed data that is not an Image.  @h: the first @size bytes of
 * the decompressed data.
 */
static int refuse_inflated(struct inflater *in, const struct image_header *h,
			   uint64_t size, bool ended, struct err *e)
{
	uint8_t head[HEAD_SIZE];
	int64_t n = 0;

	memcpy(head, h, size);
	if (!ended)
		n = inflate_into(in, head + size, sizeof(head) - size, &ended,
				 e);
	if (n < 0)
		return -1;
	return image_refuse("what is compressed in it is no arm64 Image, but",
			    head, size + (uint64_t)n, e);
}

static int inflate_image(struct guest_mem *mem, struct inflater *in,
			 struct arch_kernel *k, struct err *e)
{
	struct image_header h = {0};
	struct placement p = {0};
	uint8_t *host;
	bool ended = false;
	int64_t n = inflate_into(in, &h, sizeof(h), &ended, e);

	if (n < 0)
		return -1;
	if (!is_image(&h))
		return refuse_inflated(in, &h, (uint64_t)n, ended, e);
	if (place(mem, &h, &p, e) || check_room(&p, 0, e))
		return -1;
	/* No more than the header says, because inflated data uses memory
	 * permanently. */
	p.room = p.size;
	host = guest_mem_at(mem, p.load, p.room);
	if (!host || p.room < sizeof(h))
		return err_set(e, "there is no RAM for it");
	memcpy(host, &h, sizeof(h));
	n = ended ? 0
		  : inflate_into(in, host + sizeof(h), p.room - sizeof(h),
				 &ended, e);
	if (n < 0)
		return -1;
	if (!ended)
		return err_set(e,
			       "decompressed it is larger than the %llu bytes "
			       "of RAM that its header asks for",
			       (unsigned long long)p.size);
	k->entry = p.load;
	k->end = p.load + max_u64(p.size, (uint64_t)n + sizeof(h));
	return 0;
}

static int load_gzip(struct guest_mem *mem, const struct part *part,
		     struct arch_kernel *k, struct err *e)
{
	enum { GZIP_WINDOW = 15 + 16 };
	struct inflater *in = calloc(1, sizeof(*in));
	int r;

	if (!in)
		return err_errno(e, "cannot decompress it");
	in->rest = *part;
	if (inflateInit2(&in->z, GZIP_WINDOW) != Z_OK) {
		free(in);
		return err_set(e, "cannot decompress it: out of memory");
	}
	r = inflate_image(mem, in, k, e);
	inflateEnd(&in->z);
	free(in);
	return r;
}

/* --------------------------------------------------------------- EFI zboot */

static bool is_zboot(const struct zboot_header *h)
{
	return !memcmp(h->mz, "MZ", 2) && !memcmp(h->image_type, "zimg", 4);
}

static int load_zboot(struct guest_mem *mem, const struct part *file,
		      const struct zboot_header *h, struct arch_kernel *k,
		      struct err *e)
{
	struct part payload = {
		.fd = file->fd,
		.offset = le32toh(h->payload_offset),
		.size = le32toh(h->payload_size),
	};

	if (payload.offset > file->size ||
	    payload.size > file->size - payload.offset)
		return err_set(e,
			       "its header is damaged (payload of %u bytes "
			       "at %u)",
			       (unsigned)payload.size,
			       (unsigned)payload.offset);
	if (strncmp(h->compression, "gzip", sizeof(h->compression)) != 0)
		return image_refuse_zboot(h->compression,
					  sizeof(h->compression),
					  payload.offset, payload.size, e);
	return load_gzip(mem, &payload, k, e);
}

/* --------------------------------------------------------------------- raw */

static int load_raw(struct guest_mem *mem, const struct part *file,
		    struct arch_kernel *k, struct err *e)
{
	gpa_t load = k->load ? k->load : RAW_GPA;
	gpa_t bottom = RAM_BASE + RAM_SHARED, top = high_fdt_gpa(mem);

	if (load % 4)
		return err_set(e, "load address 0x%llx is not a multiple of 4",
			       (unsigned long long)load);
	if (load < bottom || load >= top)
		return err_set(
			e,
			"load address 0x%llx is not in RAM that the guest may "
			"use; choose one from 0x%llx, where the pages end that "
			"it shares with stasis, to 0x%llx, where its device "
			"tree begins",
			(unsigned long long)load, (unsigned long long)bottom,
			(unsigned long long)top);
	if (!file->size)
		return err_set(e, "it is empty");
	if (file->size > top - load)
		return err_set(e,
			       "its %llu bytes at 0x%llx would overlap the "
			       "device tree at 0x%llx; give the VM more RAM, "
			       "or load it lower",
			       (unsigned long long)file->size,
			       (unsigned long long)load,
			       (unsigned long long)top);
	k->entry = k->enter ? k->enter : load;
	k->end = load + file->size;
	if (k->entry % 4 || k->entry < load || k->entry >= k->end)
		return err_set(e,
			       "entry 0x%llx is not a multiple of 4 within the "
			       "binary, which is at 0x%llx to 0x%llx; choose "
			       "another entry or load address",
			       (unsigned long long)k->entry,
			       (unsigned long long)load,
			       (unsigned long long)k->end);
	return guest_mem_boot(mem, load, file->fd, 0, file->size, e);
}

static int load(struct guest_mem *mem, int fd, uint64_t size,
		struct arch_kernel *kernel, struct err *e)
{
	struct part file = {.fd = fd, .size = size};
	union {
		uint8_t bytes[HEAD_SIZE];
		struct image_header image;
		struct zboot_header zboot;
	} head = {0};
	ssize_t n;

	if (kernel->raw)
		return load_raw(mem, &file, kernel, e);
	n = io_pread(fd, &head, min_u64(size, HEAD_SIZE), 0);
	if (n < 0)
		return err_errno(e, "cannot read it");
	if ((uint64_t)n >= sizeof(head.image)) {
		if (is_image(&head.image))
			return load_plain(mem, &file, head.bytes, kernel, e);
		if (is_zboot(&head.zboot))
			return load_zboot(mem, &file, &head.zboot, kernel, e);
	}
	if (n >= 2 && !memcmp(head.bytes, "\x1f\x8b", 2))
		return load_gzip(mem, &file, kernel, e);
	return image_refuse("it is", head.bytes, (uint64_t)n, e);
}

int arch_load_kernel(struct guest_mem *mem, int fd, uint64_t size,
		     struct arch_kernel *kernel, struct err *e)
{
	if (load(mem, fd, size, kernel, e))
		return -1;
	if (kernel->fdt_high && kernel->end > high_fdt_gpa(mem))
		return err_set(e,
			       "it reaches to where the device tree is to "
			       "be, at the end of RAM; give the VM more RAM");
	return 0;
}

bool arch_is_kernel(const uint8_t head[ARCH_KERNEL_HEAD])
{
	union {
		uint8_t bytes[ARCH_KERNEL_HEAD];
		struct image_header image;
		struct zboot_header zboot;
	} h;

	memcpy(&h, head, sizeof(h));
	return is_image(&h.image) || is_zboot(&h.zboot);
}

int arch_place_initrd(const struct guest_mem *mem, uint64_t size,
		      const struct arch_kernel *kernel, gpa_t *gpa,
		      struct err *e)
{
	const struct guest_mem_region *ram = &mem->region[0];
	/* The largest host page size, so that the file can be mapped. */
	const uint64_t align = KIB(64);
	gpa_t top = kernel->fdt_high ? high_fdt_gpa(mem) : ram->gpa + ram->size;
	gpa_t bottom = align_up(kernel->end, align);

	/* booting.rst, 2: kernel and initrd within one window of 32 GiB. */
	top = min_u64(top, RAM_BASE + GIB(32));
	if (bottom > top || size > top - bottom)
		return err_set(
			e,
			"it needs %llu MiB, but only %llu MiB of the "
			"VM's RAM are left beside the kernel; give the "
			"VM more RAM",
			(unsigned long long)(size >> 20) + 1,
			(unsigned long long)(bottom > top
						     ? 0
						     : (top - bottom) >> 20));
	*gpa = align_down(top - size, align);
	return 0;
}
