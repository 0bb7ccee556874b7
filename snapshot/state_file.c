/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/state_file.h"

#include <endian.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "snapshot/codec.h"

/*
 * The first byte is not text, and CR LF shows whether a transfer converted line
 * ends.
 */
static const uint8_t magic[8] = {0x8b, 's', 't', 'a', 's', '\r', '\n', 0x1a};

/* Little-endian. */
struct header {
	uint8_t magic[8];
	uint16_t major, minor;
	uint32_t flags; /* none yet */
	uint64_t body_len;
};

_Static_assert(sizeof(struct header) == 24, "no padding");

_Static_assert(STATE_FILE_MINOR + 1 == SNAPSHOT_VERSION, "they go together");

enum { CRC_SIZE = 4 };

/* CRC-32 as in gzip, of header and body. */
static uint32_t checksum(const struct header *h, const void *body, size_t len)
{
	uLong crc = crc32(0, (const Bytef *)h, sizeof(*h));

	return htole32((uint32_t)crc32(crc, body, (uInt)len));
}

int state_file_save(int fd, const void *body, size_t len, struct err *e)
{
	struct header h = {
		.major = htole16(STATE_FILE_MAJOR),
		.minor = htole16(STATE_FILE_MINOR),
		.body_len = htole64(len),
	};
	uint32_t crc;

	if (len > STATE_FILE_BODY_MAX)
		return err_set(e,
			       "%zu bytes of state are more than a snapshot "
			       "can have",
			       len);
	memcpy(h.magic, magic, sizeof(magic));
	crc = checksum(&h, body, len);
	if (io_pwrite(fd, &h, sizeof(h), 0) ||
	    io_pwrite(fd, body, len, sizeof(h)) ||
	    io_pwrite(fd, &crc, CRC_SIZE, sizeof(h) + len))
		return err_errno(e, "cannot write the state");
	return 0;
}

/* Checks that are valid for every version of the format. */
static int check_version(const struct header *h, struct err *e)
{
	if (memcmp(h->magic, magic, sizeof(magic)) != 0)
		return err_set(e, "it is no state file of stasis");
	if (le16toh(h->major) != STATE_FILE_MAJOR)
		return err_set(e,
			       "it needs format %u.%u, and this stasis reads "
			       "%u.x (made by another version of stasis?)",
			       le16toh(h->major), le16toh(h->minor),
			       STATE_FILE_MAJOR);
	return 0;
}

static int check_length(const struct header *h, uint64_t size, struct err *e)
{
	unsigned long long body_len = le64toh(h->body_len);
	unsigned long long around = sizeof(*h) + CRC_SIZE;

	if (h->flags)
		return err_set(e, "it has flags 0x%x, and none are known",
			       le32toh(h->flags));
	if (body_len > STATE_FILE_BODY_MAX)
		return err_set(e,
			       "it says it has %llu bytes of state, more "
			       "than there can be",
			       body_len);
	if (size != body_len + around)
		return err_set(e, "it is %s: %llu bytes instead of %llu",
			       size < body_len + around ? "cut off"
							: "too long",
			       (unsigned long long)size, body_len + around);
	return 0;
}

/* Read @len bytes at @offset; fewer mean that the file was truncated. */
static int read_part(int fd, void *buf, size_t len, uint64_t offset,
		     struct err *e)
{
	ssize_t n = io_pread(fd, buf, len, offset);

	if (n < 0)
		return err_errno(e, "cannot read it");
	if ((size_t)n != len)
		return err_set(e, "it is cut off");
	return 0;
}

int state_file_load(int fd, void **body, size_t *len, uint16_t *minor,
		    struct err *e)
{
	AUTO_FREE uint8_t *data = NULL;
	struct header h;
	struct stat st;
	uint32_t crc;
	size_t size;

	if (fstat(fd, &st))
		return err_errno(e, "cannot look at it");
	if (!S_ISREG(st.st_mode) || (size_t)st.st_size < sizeof(h))
		return err_set(e, "it is no state file of stasis");
	if (read_part(fd, &h, sizeof(h), 0, e) || check_version(&h, e) ||
	    check_length(&h, (uint64_t)st.st_size, e))
		return -1;
	size = le64toh(h.body_len);
	data = malloc(size + CRC_SIZE);
	if (!data)
		return err_errno(e, "cannot read it");
	if (read_part(fd, data, size + CRC_SIZE, sizeof(h), e))
		return -1;
	memcpy(&crc, data + size, CRC_SIZE);
	if (crc != checksum(&h, data, size))
		return err_set(e, "it is damaged: its checksum is wrong");
	*body = data;
	data = NULL;
	*len = size;
	*minor = le16toh(h.minor);
	return 0;
}
