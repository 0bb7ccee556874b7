/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of seccomp filters.  First byte even: JSON, which `stasis seccomp
 * compile` refuses, or makes a file of that can be loaded; odd: the programs of
 * a compiled file, which are refused, or decide something for each call.
 */
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "core/base/err.h"
#include "core/io/log.h"
#include "core/seccomp/filter_file.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/cli/seccomp.h"

static int input = -1, output = -1;
static char input_path[32], output_path[32];

static int create(char path[32])
{
	int fd = memfd_create("filters", MFD_CLOEXEC);

	must(fd >= 0);
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

static void fill(int fd, const void *data, size_t size)
{
	must(!ftruncate(fd, 0));
	must(pwrite(fd, data, size, 0) == (ssize_t)size);
}

/* No instruction leads out of the program. */
static void stays_within(const struct sock_filter *code, unsigned len)
{
	must(BPF_CLASS(code[len - 1].code) == BPF_RET);
	for (unsigned i = 0; i < len; i++) {
		const struct sock_filter *f = &code[i];

		if (BPF_CLASS(f->code) != BPF_JMP)
			continue;
		if (BPF_OP(f->code) == BPF_JA)
			must(f->k < len - 1 - i);
		else
			must(f->jt < len - 1 - i && f->jf < len - 1 - i);
	}
}

/* It ends, whatever is called. */
static void ends(const struct sock_filter *code, unsigned len)
{
	struct seccomp_data data = {.arch = AUDIT_ARCH_AARCH64};
	uint32_t action;

	for (data.nr = 0; data.nr < 300; data.nr += 29) {
		must(filter_decide(code, len, &data, 0x3f, &action));
		must(filter_decide(code, len, &data, 0, &action));
	}
}

static void check(const struct filter_file *file)
{
	for (unsigned t = 0; t < SECCOMP_THREADS; t++) {
		if (!file->len[t])
			continue;
		stays_within(file->code[t], file->len[t]);
		ends(file->code[t], file->len[t]);
	}
}

static void load(const char *path, int may_fail)
{
	struct filter_file file;
	struct err e = {""};

	if (filter_file_load(path, &file, &e)) {
		must(may_fail && e.text[0] && !strchr(e.text, '\n'));
		return;
	}
	check(&file);
	if (filter_file_suffices(&file, &e))
		must(e.text[0] && !strchr(e.text, '\n'));
	filter_file_fini(&file);
}

static void compile(const uint8_t *data, size_t size, int basic)
{
	char in[] = "--input", out[] = "--output", simple[] = "--basic";
	char *words[] = {in, input_path, out, output_path, simple, NULL};

	fill(input, data, size);
	must(!ftruncate(output, 0));
	if (!seccomp_compile(basic ? 5 : 4, words))
		load(output_path, 0);
}

/* The beginning and the checksum are right: what is between is @data. */
static void load_programs(const uint8_t *data, size_t size)
{
	static uint8_t file[16 + 65536 + 4] = {0x8b, 's',  't',  'f',
					       'i',  '\r', '\n', 0x1a};
	const uint32_t numbers[] = {FILTER_FILE_VERSION, AUDIT_ARCH_AARCH64};
	uint32_t crc;

	if (size > 65536)
		return;
	memcpy(file + 8, numbers, sizeof(numbers));
	memcpy(file + 16, data, size);
	crc = (uint32_t)crc32(0, file, (unsigned)(16 + size));
	memcpy(file + 16 + size, &crc, sizeof(crc));
	fill(input, file, 16 + size + 4);
	load(input_path, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (input < 0) {
		log_configure(&(struct log_config){.level = LOG_OFF, .fd = 2});
		input = create(input_path);
		output = create(output_path);
	}
	if (!size)
		return 0;
	if (data[0] & 1)
		load_programs(data + 1, size - 1);
	else
		compile(data + 1, size - 1, data[0] & 2);
	return 0;
}
