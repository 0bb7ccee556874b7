/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's caches, as sysfs describes them
 * (Linux, Documentation/ABI/testing/sysfs-devices-system-cpu).
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "arch/aarch64/internal.h"
#include "arch/arch.h"
#include "core/io/io.h"
#include "core/io/log.h"

static bool read_property(int dir, unsigned index, const char *name, char *buf,
			  size_t size)
{
	char path[48];

	snprintf(path, sizeof(path), "index%u/%s", index, name);
	return io_read_text(dir, path, buf, size);
}

static unsigned read_number(int dir, unsigned index, const char *name)
{
	char text[16], *end;
	unsigned long value;

	if (!read_property(dir, index, name, text, sizeof(text)))
		return 0;
	value = strtoul(text, &end, 10);
	/* Sizes are in KiB, such as "64K". */
	return (unsigned)(*end == 'K' ? value * 1024 : value);
}

/* Count the CPUs in shared_cpu_map, a mask such as "ffffffff,0000000f". */
static unsigned read_sharing(int dir, unsigned index)
{
	char map[512];
	unsigned count = 0;

	if (!read_property(dir, index, "shared_cpu_map", map, sizeof(map)))
		return 1;
	for (const char *c = map; *c; c++) {
		unsigned digit = 0;

		if (*c >= '0' && *c <= '9')
			digit = (unsigned)(*c - '0');
		else if (*c >= 'a' && *c <= 'f')
			digit = (unsigned)(*c - 'a') + 10;
		count += (unsigned)__builtin_popcount(digit);
	}
	return count ? count : 1;
}

static enum cache_type parse_type(const char *text)
{
	if (!strcmp(text, "Instruction"))
		return CACHE_INSTRUCTION;
	if (!strcmp(text, "Data"))
		return CACHE_DATA;
	if (!strcmp(text, "Unified"))
		return CACHE_UNIFIED;
	return CACHE_NONE;
}

/* Read few files: each costs as much as an MMIO exit, and delays boot. */
static struct cache read_cache(int dir, unsigned index, const char *type,
			       bool sized, bool shared)
{
	struct cache c = {.type = parse_type(type), .sharing = 1};

	/* Firmware gives these numbers for all caches or for none. */
	if (sized)
		c.size = read_number(dir, index, "size");
	if (c.size) {
		c.line_size = read_number(dir, index, "coherency_line_size");
		c.sets = read_number(dir, index, "number_of_sets");
	}
	if (shared && c.type == CACHE_UNIFIED)
		c.sharing = read_sharing(dir, index);
	return c;
}

/*
 * Linux lists the caches level by level, at each level one, or a data and then
 * an instruction cache.  So the last one's level tells whether all are as they
 * should be; else (some are hidden, for example) read that of each.
 */
static void find_levels(int dir, struct cache *caches, unsigned count)
{
	unsigned level = 0;

	for (unsigned i = 0; i < count; i++) {
		if (!i || caches[i].type != CACHE_INSTRUCTION ||
		    caches[i - 1].type != CACHE_DATA)
			level++;
		caches[i].level = level;
	}
	if (!count || read_number(dir, count - 1, "level") == level)
		return;
	for (unsigned i = 0; i < count; i++)
		caches[i].level = read_number(dir, i, "level");
}

unsigned cache_read(const char *path, bool shared, struct cache *caches)
{
	AUTO_CLOSE int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	unsigned count = 0, valid = 0;
	char type[16];

	while (dir >= 0 && count < CACHES_MAX &&
	       read_property(dir, count, "type", type, sizeof(type))) {
		caches[count] = read_cache(dir, count, type,
					   !count || caches[0].size, shared);
		count++;
	}
	find_levels(dir, caches, count);
	/* The architecture has seven levels; stop at anything else. */
	while (valid < count && caches[valid].level && caches[valid].level <= 7)
		valid++;
	return valid;
}

unsigned cache_read_host(bool shared, struct cache *caches)
{
	unsigned count = cache_read("/sys/devices/system/cpu/cpu0/cache",
				    shared, caches);

	if (!count && access("/sys/devices/system/cpu", F_OK))
		log_info("there is no /sys: the guest is not told of the "
			 "host's caches");
	return count;
}

void arch_clean_cache(void *host, uint64_t size)
{
#ifdef __aarch64__
	/* 16 bytes is the smallest possible cache line. */
	for (uint64_t i = 0; i < size; i += 16)
		__asm__ volatile("dc civac, %0" ::"r"((char *)host + i)
				 : "memory");
	__asm__ volatile("dsb sy" ::: "memory");
#else
	(void)host;
	(void)size;
#endif
}
