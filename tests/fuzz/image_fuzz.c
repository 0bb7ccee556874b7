/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any file as a kernel: it is refused in words, or it lies in guest RAM as it
 * was in the file, and an initrd goes beside it.  Behind RAM is nothing:
 * whoever writes there dies.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch/aarch64/internal.h"
#include "arch/arch.h"
#include "core/base/err.h"
#include "core/base/util.h"
#include "tests/fuzz/fuzz.h"

/* Little, so that what decompresses to too much is soon refused. */
#define RAM_SIZE   MIB(8)
#define GUARD_SIZE MIB(2)

static struct guest_mem mem;
static int fd = -1;

static void create(void)
{
	struct guest_mem_region region = {
		.gpa = RAM_BASE,
		.size = RAM_SIZE + GUARD_SIZE,
	};
	struct err e;

	must(!guest_mem_create(&mem, &region, 1, &e));
	mem.region[0].size = RAM_SIZE;
	must(!mprotect(mem.region[0].host + RAM_SIZE, GUARD_SIZE, PROT_NONE));
	fd = memfd_create("kernel", MFD_CLOEXEC);
	must(fd >= 0);
}

/* Zeroes again, also where the file was mapped: madvise() would keep that. */
static void reset(void)
{
	must(mmap(mem.region[0].host, RAM_SIZE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
		  0) != MAP_FAILED);
}

static void check_raw(const uint8_t *data, size_t size,
		      const struct arch_kernel *k)
{
	const uint8_t *host = guest_mem_at(&mem, k->entry, size);

	must(size && k->entry >= RAM_BASE + RAM_SHARED && k->entry % 4 == 0);
	must(k->end - k->entry == size && k->end <= high_fdt_gpa(&mem));
	must(host && !memcmp(host, data, size));
}

static void check_kernel(const uint8_t *data, size_t size,
			 const struct arch_kernel *k)
{
	gpa_t entry = k->entry, end = k->end;
	const uint8_t *host = guest_mem_at(&mem, entry, end - entry);

	if (k->raw) {
		check_raw(data, size, k);
		return;
	}
	must(entry >= RAM_BASE + RAM_RESERVED && entry % 4096 == 0);
	must(end - entry >= 64 && host);
	must(!k->fdt_high || end <= high_fdt_gpa(&mem));
	must(!memcmp(host + 56, "ARM\x64", 4));
	if (size >= 64 && !memcmp(data + 56, "ARM\x64", 4))
		must(end - entry >= size && !memcmp(host, data, size));
}

static void check_initrd(uint64_t size, const struct arch_kernel *k)
{
	gpa_t top = k->fdt_high ? high_fdt_gpa(&mem) : RAM_BASE + RAM_SIZE;
	struct err e = {""};
	gpa_t gpa;

	if (arch_place_initrd(&mem, size, k, &gpa, &e)) {
		must(e.text[0]);
		return;
	}
	must(gpa >= k->end && gpa <= top);
	must(size <= top - gpa);
}

static void load(const uint8_t *data, size_t size, struct arch_kernel *k)
{
	struct err e = {""};
	uint64_t hostile = 0;

	if (size >= sizeof(hostile))
		memcpy(&hostile, data + size - sizeof(hostile),
		       sizeof(hostile));
	/* Some are in RAM. */
	if (k->raw)
		k->load = hostile & 1 ? hostile
				      : RAM_BASE + hostile % (RAM_SIZE + 8);
	if (arch_load_kernel(&mem, fd, size, k, &e)) {
		must(e.text[0] && !strchr(e.text, '\n'));
	} else {
		check_kernel(data, size, k);
		check_initrd(hostile, k);
		check_initrd(hostile % RAM_SIZE, k);
		check_initrd(RAM_BASE + RAM_SIZE - k->end, k);
	}
	reset();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arch_kernel image = {0}, high = {.fdt_high = true},
			   raw = {.raw = true, .fdt_high = true};

	if (fd < 0)
		create();
	must(!ftruncate(fd, 0));
	must(pwrite(fd, data, size, 0) == (ssize_t)size);
	load(data, size, &image);
	load(data, size, &high);
	load(data, size, &raw);
	return 0;
}
