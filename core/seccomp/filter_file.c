/* SPDX-License-Identifier: Apache-2.0 */
#include "core/seccomp/filter_file.h"

#include <ctype.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/seccomp/entry.h"

static const uint8_t magic[8] = {0x8b, 's', 't', 'f', 'i', '\r', '\n', 0x1a};

struct header {
	uint8_t magic[8];
	uint32_t version, arch;
};

struct program {
	uint32_t thread, len;
};

enum {
	CRC_SIZE = 4,
	PROGRAM_MAX = sizeof(struct program) +
		      BPF_MAXINSNS * sizeof(struct sock_filter),
	FILE_MAX = sizeof(struct header) +
		   (size_t)SECCOMP_THREADS * PROGRAM_MAX + CRC_SIZE,
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ &&
		       sizeof(struct header) == 16 &&
		       sizeof(struct sock_filter) == 8,
	       "as in the file");

const char *const seccomp_thread_keys[SECCOMP_THREADS] = {
	[SECCOMP_SETUP] = "setup",       [SECCOMP_MAIN] = "main",
	[SECCOMP_VCPU] = "vcpu",         [SECCOMP_STARTER] = "starter",
	[SECCOMP_SNAPSHOT] = "snapshot", [SECCOMP_WORKING_SET] = "working_set",
	[SECCOMP_PAGES] = "pages",
};

static uint32_t checksum(const void *data, size_t len)
{
	return (uint32_t)crc32(0, data, (uInt)len);
}

/* ------------------------------------------------------------------ writing */

static void put(uint8_t **to, const void *data, size_t len)
{
	memcpy(*to, data, len);
	*to += len;
}

static size_t encode(const struct filter_file *file, uint8_t *data)
{
	struct header h = {.version = FILTER_FILE_VERSION,
			   .arch = AUDIT_ARCH_AARCH64};
	uint8_t *to = data;
	uint32_t crc;

	memcpy(h.magic, magic, sizeof(magic));
	put(&to, &h, sizeof(h));
	for (unsigned t = 0; t < SECCOMP_THREADS; t++) {
		struct program p = {t, file->len[t]};

		if (!p.len)
			continue;
		put(&to, &p, sizeof(p));
		put(&to, file->code[t], p.len * sizeof(struct sock_filter));
	}
	crc = checksum(data, (size_t)(to - data));
	put(&to, &crc, sizeof(crc));
	return (size_t)(to - data);
}

int filter_file_save(const char *path, const struct filter_file *file,
		     struct err *e)
{
	const int how = O_WRONLY | O_TRUNC | O_CLOEXEC;
	AUTO_CLOSE int fd = open(path, how | O_CREAT | O_EXCL, 0644);
	const bool made = fd >= 0;
	uint8_t *data;
	int r;

	if (!made)
		fd = open(path, how);
	if (fd < 0)
		return err_errno(e, "cannot write %.512s", path);
	data = malloc(FILE_MAX);
	r = data ? io_pwrite(fd, data, encode(file, data), 0) : -1;
	if (r) {
		err_errno(e, "cannot write %.512s", path);
		if (made) /* not somebody's file, and not /dev/full */
			unlink(path);
	}
	free(data);
	return r;
}

/* ------------------------------------------------------------------ reading */

static bool looks_like_json(const char *data)
{
	while (isspace((unsigned char)*data))
		data++;
	return *data == '{';
}

static int check_header(const char *data, size_t len, const char *path,
			struct err *e)
{
	struct header h;
	uint32_t crc;

	if (len < sizeof(h) + CRC_SIZE ||
	    memcmp(data, magic, sizeof(magic)) != 0) {
		if (looks_like_json(data))
			return err_set(e,
				       "it is not compiled; stasis seccomp "
				       "compile --input %.256s --output FILE "
				       "does that",
				       path);
		return err_set(e, "it is not a file that stasis seccomp "
				  "compile has written");
	}
	memcpy(&h, data, sizeof(h));
	if (h.version != FILTER_FILE_VERSION || h.arch != AUDIT_ARCH_AARCH64)
		return err_set(e,
			       "it is of version %u of the format, for "
			       "architecture 0x%x, expected %d and 0x%x; "
			       "compile it with this stasis",
			       h.version, h.arch, FILTER_FILE_VERSION,
			       AUDIT_ARCH_AARCH64);
	memcpy(&crc, data + len - CRC_SIZE, CRC_SIZE);
	if (crc != checksum(data, len - CRC_SIZE))
		return err_set(e, "it is damaged; compile it again");
	return 0;
}

static int take_program(struct filter_file *file, const struct program *p,
			const struct sock_filter *code, struct err *e)
{
	if (p->thread >= SECCOMP_THREADS || file->len[p->thread])
		return err_set(e,
			       "it has a second program for a thread, or one "
			       "for thread %u; compile it again",
			       p->thread);
	if (filter_verify(code, p->len, e))
		return err_prefix(e, "the filter of `%s` cannot be used",
				  seccomp_thread_keys[p->thread]);
	file->code[p->thread] = code;
	file->len[p->thread] = p->len;
	return 0;
}

static int take_programs(struct filter_file *file, const char *at, size_t left,
			 struct err *e)
{
	struct program p;

	while (left) {
		if (left < sizeof(p))
			return err_set(e, "it is damaged; compile it again");
		memcpy(&p, at, sizeof(p));
		at += sizeof(p);
		left -= sizeof(p);
		if (p.len > left / sizeof(struct sock_filter))
			return err_set(e, "it is damaged; compile it again");
		if (take_program(file, &p, (const void *)at, e))
			return -1;
		at += p.len * sizeof(struct sock_filter);
		left -= p.len * sizeof(struct sock_filter);
	}
	return 0;
}

/* All of the file, which is no more than a filter file may be. */
static char *read_whole(const char *path, size_t *len, struct err *e)
{
	uint64_t size;
	AUTO_CLOSE int fd = io_open_file(path, &size, e);
	char *data;

	if (fd < 0)
		return NULL;
	*len = (size_t)min_u64(size, FILE_MAX);
	data = calloc(1, *len + 1);
	if (data && io_pread(fd, data, *len, 0) == (ssize_t)*len)
		return data;
	err_errno(e, "cannot read %.512s", path);
	free(data);
	return NULL;
}

int filter_file_load(const char *path, struct filter_file *file, struct err *e)
{
	const size_t around = sizeof(struct header) + CRC_SIZE;
	size_t len;

	*file = (struct filter_file){0};
	file->memory = read_whole(path, &len, e);
	if (!file->memory)
		return -1;
	if (!check_header(file->memory, len, path, e) &&
	    !take_programs(file,
			   (const char *)file->memory + sizeof(struct header),
			   len - around, e))
		return 0;
	filter_file_fini(file);
	return err_prefix(e, "%.512s", path);
}

void filter_file_fini(struct filter_file *file)
{
	free(file->memory);
	*file = (struct filter_file){0};
}

/* --------------------------------------------------- what a start does need */

static bool allows(const struct sock_filter *code, unsigned len,
		   const struct filter_rule *rule)
{
	struct seccomp_data data = {.nr = rule->call,
				    .arch = AUDIT_ARCH_AARCH64};
	unsigned known = 0, verdicts;
	uint32_t action;

	/* Of arguments with bits that must not be set, any will do. */
	for (unsigned i = 0; i < rule->count; i++) {
		const struct filter_condition *c = &rule->condition[i];

		if (c->op != FILTER_EQ)
			continue;
		known |= 1u << c->argument;
		data.args[c->argument] = c->value;
	}
	verdicts = filter_decide(code, len, &data, known, &action);
	return (verdicts & FILTER_ALLOWS) ||
	       (rule->action != SECCOMP_RET_ALLOW && action == rule->action);
}

static int lacks(const struct seccomp_entry *entry, struct err *e)
{
	const char *condition = entry->field[ENTRY_CONDITION];

	return err_set(e,
		       "the filter of `%s` forbids %s%s%s%s (%s), without "
		       "which no microVM runs: add it and compile again",
		       entry->field[ENTRY_THREAD], entry->field[ENTRY_CALL],
		       *condition ? " (" : "", condition, *condition ? ")" : "",
		       entry->field[ENTRY_REASON]);
}

static int find_thread(const char *key)
{
	int t = 0;

	while (strcmp(key, seccomp_thread_keys[t]) != 0)
		t++;
	return t;
}

int filter_file_suffices(const struct filter_file *file, struct err *e)
{
	struct seccomp_entry entry;
	struct filter_rule rule;
	const char *text = NULL;
	bool needed;

	while ((text = entry_read(text, &entry))) {
		int t = find_thread(entry.field[ENTRY_THREAD]);

		if (!file->len[t])
			continue;
		entry_decode(&entry, &rule, &needed);
		if (needed && !allows(file->code[t], file->len[t], &rule))
			return lacks(&entry, e);
	}
	return 0;
}
