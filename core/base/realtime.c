/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/realtime.h"

#include <string.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/now.h"

/* Read exactly @n digits. */
static bool number(const char **at, unsigned n, unsigned *value)
{
	for (*value = 0; n; n--, ++*at) {
		if (**at < '0' || **at > '9')
			return false;
		*value = *value * 10 + (unsigned)(**at - '0');
	}
	return true;
}

/* Read ".5", at most nine digits, or nothing. */
static bool fraction(const char **at, int64_t *ns)
{
	int64_t unit = NS_PER_S;
	unsigned digit;

	if (**at != '.')
		return true;
	for (++*at; unit > 1 && number(at, 1, &digit);) {
		unit /= 10;
		*ns += digit * unit;
	}
	return unit < (int64_t)NS_PER_S && (**at < '0' || **at > '9');
}

/* "3600", "3600.5" */
static bool seconds(const char *text, int64_t *ns)
{
	int64_t more = 0, s = 0;
	unsigned digit;

	if (*text == '.')
		return false;
	while (number(&text, 1, &digit)) {
		if (__builtin_mul_overflow(s, 10, &s) ||
		    __builtin_add_overflow(s, digit, &s))
			return false;
	}
	return fraction(&text, &more) && !*text &&
	       !__builtin_mul_overflow(s, NS_PER_S, ns) &&
	       !__builtin_add_overflow(*ns, more, ns);
}

static bool is_leap(unsigned year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days from 1970-01-01; @year is from 1969 to 2263. */
static bool days_of(unsigned year, unsigned month, unsigned day, int64_t *days)
{
	static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30,
					  31, 31, 30, 31, 30, 31};

	*days = -366;
	if (year < 1969 || year > 2263 || month < 1 || month > 12)
		return false;
	for (unsigned y = 1969; y < year; y++)
		*days += 365 + is_leap(y);
	for (unsigned m = 1; m < month; m++)
		*days += lengths[m - 1] + (m == 2 && is_leap(year));
	*days += day;
	return day && day <= lengths[month - 1] +
				      (unsigned)(month == 2 && is_leap(year));
}

/* Read what @shape says: "2:2" is two digits, a colon, two digits. */
static bool shaped(const char **at, const char *shape, unsigned *field)
{
	for (; *shape; shape++) {
		char c = **at;

		if (*shape <= '9' && *shape >= '0') {
			if (!number(at, (unsigned)(*shape - '0'), field++))
				return false;
			continue;
		}
		if (c != *shape && (*shape != 'T' || (c != 't' && c != ' ')))
			return false;
		++*at;
	}
	return true;
}

/* "Z", "+01:00": seconds ahead of UTC. */
static bool zone(const char *at, int64_t *ahead)
{
	bool west = *at == '-';
	unsigned field[2];

	*ahead = 0;
	if (*at == 'Z' || *at == 'z')
		return !at[1];
	if (*at != '+' && !west)
		return false;
	at++;
	if (!shaped(&at, "2:2", field) || *at || field[0] > 23 || field[1] > 59)
		return false;
	*ahead = (field[0] * 60ll + field[1]) * (west ? -60 : 60);
	return true;
}

/* RFC 3339, 5.6 */
static bool date(const char *at, int64_t *ns)
{
	unsigned field[6];
	int64_t days, more = 0, ahead, s;

	if (!shaped(&at, "4-2-2T2:2:2", field) || !fraction(&at, &more) ||
	    !zone(at, &ahead) ||
	    !days_of(field[0], field[1], field[2], &days) || field[3] > 23 ||
	    field[4] > 59 || field[5] > 60)
		return false;
	s = ((days * 24 + field[3]) * 60 + field[4]) * 60 + field[5] - ahead;
	return s >= 0 && !__builtin_mul_overflow(s, NS_PER_S, ns) &&
	       !__builtin_add_overflow(*ns, more, ns);
}

int realtime_parse(struct realtime *realtime, const char *text, struct err *e)
{
	bool is_signed = *text == '+' || *text == '-';
	int64_t ns = 0;

	*realtime = (struct realtime){0};
	if (!strcmp(text, "host"))
		return 0;
	if (!*text || !text[is_signed] ||
	    (!seconds(text + is_signed, &ns) &&
	     (is_signed || !date(text, &ns))))
		return err_set(
			e,
			"`%.40s` is no time; give host, seconds to be "
			"added to the host's (+3600), or a date from 1970 "
			"to 2262, as 2038-01-19T03:14:07Z or in seconds "
			"since 1970",
			text);
	realtime->is_date = !is_signed;
	realtime->ns = *text == '-' ? -ns : ns;
	return 0;
}

void realtime_print(const struct realtime *realtime, struct buf *out)
{
	uint64_t ns = realtime->ns < 0 ? 0 - (uint64_t)realtime->ns
				       : (uint64_t)realtime->ns;

	if (realtime_is_host(realtime)) {
		buf_text(out, "host");
		return;
	}
	if (!realtime->is_date)
		buf_text(out, realtime->ns < 0 ? "-" : "+");
	buf_printf(out, "%llu.%09llu", (unsigned long long)(ns / NS_PER_S),
		   (unsigned long long)(ns % NS_PER_S));
}

int realtime_add(const struct realtime *realtime, uint64_t host_ns,
		 uint64_t *ns, struct err *e)
{
	int64_t sum;

	if (__builtin_add_overflow(realtime->ns, host_ns, &sum) || sum < 0)
		return err_set(e,
			       "`realtime`: the guest's time would be before "
			       "1970 or after 2262; choose another");
	*ns = (uint64_t)sum;
	return 0;
}
