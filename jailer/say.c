/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/text.h"

__attribute__((format(printf, 2, 0))) static void
say(const char *kind, const char *format, va_list args)
{
	char line[1100];
	size_t len;

	snprintf(line, sizeof(line), "jailer: %s: ", kind);
	len = strlen(line);
	vsnprintf(line + len, sizeof(line) - len - 1, format, args);
	len = strlen(line);
	/* It may have names in it that a client chose. */
	text_make_printable(line, len);
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0)
		return; /* there is no other place to say so */
}

void say_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("error", format, args);
	va_end(args);
}

void say_warning(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("warning", format, args);
	va_end(args);
}
