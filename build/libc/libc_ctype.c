/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C locale's character tables.  They replace the C library's own object, of
 * which 50 KiB are tables that transliterate other scripts to ASCII.  The
 * library's isalpha(), tolower() and strcasecmp() use them.
 *
 * Source: glibc, locale/C-ctype.c and locale/localeinfo.h.
 */
#include <ctype.h>
#include <stdint.h>

/* These names are referenced by other objects of the C library. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl*) */

#define BETWEEN(c, a, z) ((c) >= (a) && (c) <= (z))
#define IS_UPPER(c)      BETWEEN(c, 'A', 'Z')
#define IS_LOWER(c)      BETWEEN(c, 'a', 'z')
#define IS_DIGIT(c)      BETWEEN(c, '0', '9')
#define IS_ALPHA(c)      (IS_UPPER(c) || IS_LOWER(c))
#define IS_GRAPH(c)      BETWEEN(c, '!', '~')

#define WHEN(condition, bit) ((condition) ? (unsigned)(bit) : 0u)
#define CLASS(c)                                                               \
	(uint16_t)(WHEN(IS_UPPER(c), _ISupper) | WHEN(IS_LOWER(c), _ISlower) | \
		   WHEN(IS_ALPHA(c), _ISalpha) | WHEN(IS_DIGIT(c), _ISdigit) | \
		   WHEN(IS_DIGIT(c) || BETWEEN(c, 'A', 'F') ||                 \
				BETWEEN(c, 'a', 'f'),                          \
			_ISxdigit) |                                           \
		   WHEN((c) == ' ' || BETWEEN(c, '\t', '\r'), _ISspace) |      \
		   WHEN(BETWEEN(c, ' ', '~'), _ISprint) |                      \
		   WHEN(IS_GRAPH(c), _ISgraph) |                               \
		   WHEN((c) == ' ' || (c) == '\t', _ISblank) |                 \
		   WHEN((c) < ' ' || (c) == 127, _IScntrl) |                   \
		   WHEN(IS_GRAPH(c) && !IS_ALPHA(c) && !IS_DIGIT(c),           \
			_ISpunct) |                                            \
		   WHEN(IS_ALPHA(c) || IS_DIGIT(c), _ISalnum))
#define UPPER(c)    ((c) - (IS_LOWER(c) ? 'a' - 'A' : 0))
#define LOWER(c)    ((c) + (IS_UPPER(c) ? 'a' - 'A' : 0))
#define ITSELF(c)   (c)
#define NEGATIVE(c) ((c) == 255 ? -1 : (c)) /* EOF, or a negative char */

#define FOUR(f, c) f(c), f((c) + 1), f((c) + 2), f((c) + 3)
#define SIXTEEN(f, c) \
	FOUR(f, c), FOUR(f, (c) + 4), FOUR(f, (c) + 8), FOUR(f, (c) + 12)
#define HALF(f, c)                                                 \
	SIXTEEN(f, c), SIXTEEN(f, (c) + 16), SIXTEEN(f, (c) + 32), \
		SIXTEEN(f, (c) + 48), SIXTEEN(f, (c) + 64),        \
		SIXTEEN(f, (c) + 80), SIXTEEN(f, (c) + 96),        \
		SIXTEEN(f, (c) + 112)

/* Each table covers -128 to 255. */
enum { BELOW_ZERO = 128, CHARACTERS = BELOW_ZERO + 256 };

extern const uint16_t _nl_C_LC_CTYPE_class[CHARACTERS];
const uint16_t _nl_C_LC_CTYPE_class[CHARACTERS] = {[BELOW_ZERO] =
							   HALF(CLASS, 0)};

extern const int32_t _nl_C_LC_CTYPE_toupper[CHARACTERS];
const int32_t _nl_C_LC_CTYPE_toupper[CHARACTERS] = {
	HALF(NEGATIVE, 128), HALF(UPPER, 0), HALF(ITSELF, 128)};

extern const int32_t _nl_C_LC_CTYPE_tolower[CHARACTERS];
const int32_t _nl_C_LC_CTYPE_tolower[CHARACTERS] = {
	HALF(NEGATIVE, 128), HALF(LOWER, 0), HALF(ITSELF, 128)};

/* For wide characters, which the product does not use. */
static uint64_t conversions[3];

/*
 * struct __locale_data: the members and values that the product reaches.
 * usage_count: never freed.  A character has one byte.
 */
extern const struct locale_data {
	const char *name;
	const void *file_data;
	uint64_t file_size;
	uint64_t alloc;
	void *private_data;
	uint32_t usage_count;
	int32_t use_translit;
	uint64_t value_count;
	union value {
		const void *table;
		const char *text;
		uint64_t word;
	} value[86];
} _nl_C_LC_CTYPE;
const struct locale_data _nl_C_LC_CTYPE = {
	.name = "C",
	.private_data = conversions,
	.usage_count = UINT32_MAX,
	.value_count = 86,
	.value =
		{
			[0].table = _nl_C_LC_CTYPE_class,
			[1].table = _nl_C_LC_CTYPE_toupper,
			[3].table = _nl_C_LC_CTYPE_tolower,
			[13].word = 1,
			[14].text = "ANSI_X3.4-1968",
			[15].table = _nl_C_LC_CTYPE_toupper + BELOW_ZERO,
			[16].table = _nl_C_LC_CTYPE_tolower + BELOW_ZERO,
		},
};
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl*) */
