/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens, in hexadecimal digits:
 *
 *	0         8        16                    32 bytes
 *	| expires |  number  |  tag of the first 16  |
 *
 * The tag is SipHash-2-4-128 (Aumasson, Bernstein), which is made for this: who
 * has not got the key can neither make a tag nor learn the key from tags.
 */
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "core/base/now.h"
#include "core/base/util.h"
#include "vmm/mmds/mmds_internal.h"

enum { TAGGED = 16, TAG = 16 };
_Static_assert(2 * (TAGGED + TAG) == TOKEN_LEN, "two digits a byte");

/* ------------------------------------------------------------------ SipHash */

static uint64_t rotate(uint64_t v, unsigned bits)
{
	return v << bits | v >> (64 - bits);
}

static void rounds(uint64_t v[4], unsigned count)
{
	while (count--) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] = rotate(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] = rotate(v[2], 32);
	}
}

/* Little-endian. */
static uint64_t load(const uint8_t *at, size_t len)
{
	uint64_t v = 0;

	while (len--)
		v = v << 8 | at[len];
	return v;
}

static void store(uint8_t *at, uint64_t v)
{
	for (unsigned i = 0; i < 8; i++, v >>= 8)
		at[i] = (uint8_t)v;
}

static void absorb(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	rounds(v, 2);
	v[0] ^= word;
}

void mmds_siphash(const uint8_t key[MMDS_KEY_LEN], const uint8_t *data,
		  size_t len, uint8_t out[16])
{
	const uint64_t k0 = load(key, 8), k1 = load(key + 8, 8);
	uint64_t v[4] = {k0 ^ 0x736f6d6570736575,
			 k1 ^ 0x646f72616e646f6d ^ 0xee,
			 k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573};
	size_t at = 0;

	for (; len - at >= 8; at += 8)
		absorb(v, load(data + at, 8));
	absorb(v, load(data + at, len - at) | (uint64_t)len << 56);
	v[2] ^= 0xee;
	rounds(v, 4);
	store(out, v[0] ^ v[1] ^ v[2] ^ v[3]);
	v[1] ^= 0xdd;
	rounds(v, 4);
	store(out + 8, v[0] ^ v[1] ^ v[2] ^ v[3]);
}

/* ------------------------------------------------------------------- tokens */

/* Write the token that begins with these 16 bytes. */
static void print(const struct mmds *m, const uint8_t tagged[TAGGED],
		  char out[TOKEN_LEN + 1])
{
	static const char digit[] = "0123456789abcdef";
	uint8_t bytes[TAGGED + TAG];

	memcpy(bytes, tagged, TAGGED);
	mmds_siphash(m->key, tagged, TAGGED, bytes + TAGGED);
	for (unsigned i = 0; i < sizeof(bytes); i++) {
		*out++ = digit[bytes[i] >> 4];
		*out++ = digit[bytes[i] & 0xf];
	}
	*out = '\0';
}

bool mmds_token_make(struct mmds *m, unsigned ttl_s, char out[TOKEN_LEN + 1])
{
	uint64_t now = clock_now_ns(CLOCK_BOOTTIME);
	uint8_t tagged[TAGGED];

	if (!m->has_key) {
		if (getrandom(m->key, sizeof(m->key), 0) != sizeof(m->key))
			return false;
		m->born = now;
		m->has_key = true;
	}
	/* Not the time itself: it is none of the guest's business. */
	store(tagged, now - m->born + ttl_s * NS_PER_S);
	store(tagged + 8, m->token_count++);
	print(m, tagged, out);
	return true;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool mmds_token_was_valid(const struct mmds *m, const char *token, size_t len,
			  uint64_t now)
{
	char expected[TOKEN_LEN + 1];
	uint8_t tagged[TAGGED];
	unsigned differ = 0;

	if (!m->has_key || len != TOKEN_LEN)
		return false;
	for (unsigned i = 0; i < TAGGED; i++) {
		const char *digits = token + i + i;
		int high = hex(digits[0]), low = hex(digits[1]);

		if (high < 0 || low < 0)
			return false;
		tagged[i] = (uint8_t)(high << 4 | low);
	}
	print(m, tagged, expected);
	/* To the end: how long it takes must not tell how much is right. */
	for (unsigned i = 0; i < TOKEN_LEN; i++)
		differ |= (unsigned)(token[i] ^ expected[i]);
	return !differ && load(tagged, 8) > now - m->born;
}

bool mmds_token_is_valid(const struct mmds *m, const char *token, size_t len)
{
	return mmds_token_was_valid(m, token, len,
				    clock_now_ns(CLOCK_BOOTTIME));
}
