/* SPDX-License-Identifier: Apache-2.0 */
#include "core/seccomp/entry.h"

#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/seccomp/seccomp.h"

const char *entry_read(const char *text, struct seccomp_entry *entry)
{
	if (!text)
		text = strstr(seccomp_text(), "\n\n") + 2;
	if (!*text)
		return NULL;
	for (unsigned i = 0; i < ENTRY_FIELDS; i++) {
		size_t len = strcspn(text, "\t\n");

		snprintf(entry->field[i], sizeof(entry->field[i]), "%.*s",
			 (int)len, text);
		text += len + (text[len] != '\0');
	}
	return text;
}

static struct filter_condition decode_condition(char **code)
{
	struct filter_condition c = {0};

	c.argument = (unsigned)strtoul(*code, code, 16);
	c.mask = strtoull(*code + 1, code, 16);
	c.value = strtoull(*code + 1, code, 16);
	c.wide = c.mask != UINT32_MAX;
	c.op = c.wide ? FILTER_MASKED_EQ : FILTER_EQ;
	return c;
}

void entry_decode(const struct seccomp_entry *entry, struct filter_rule *rule,
		  bool *needed)
{
	char *code = (char *)entry->field[ENTRY_CODE];

	*rule = (struct filter_rule){
		.call = entry_call_number(entry->field[ENTRY_CALL]),
		.action = SECCOMP_RET_ALLOW,
	};
	*needed = *code == '!';
	code += *needed;
	code += *code == 's';
	if (*code == 'e')
		rule->action = SECCOMP_RET_ERRNO |
			       (uint32_t)strtoul(code + 1, &code, 10);
	while (*code++ == ',' && rule->count < FILTER_CONDITIONS_MAX)
		rule->condition[rule->count++] = decode_condition(&code);
}

bool entry_is_for_snapshots(const struct seccomp_entry *entry)
{
	const char *thread = entry->field[ENTRY_THREAD];

	return (strcmp(thread, "main") != 0 && strcmp(thread, "vcpu") != 0 &&
		strcmp(thread, "setup") != 0) ||
	       entry->field[ENTRY_CODE][0] == 's';
}

int entry_call_number(const char *name)
{
	const char *line = seccomp_text();
	size_t len = strlen(name);

	for (int n = 0; *line != '\n'; n++) {
		size_t has = strcspn(line, "\n");

		if (has == len && !memcmp(line, name, len) && *name != '-')
			return n;
		line += has + 1;
	}
	return -1;
}

void entry_call_name(int number, char *name, unsigned size)
{
	const char *line = seccomp_text();

	name[0] = '\0';
	for (int n = 0; *line && *line != '\n'; n++) {
		size_t len = strcspn(line, "\n");

		if (n == number && *line != '-')
			snprintf(name, size, "%.*s", (int)len, line);
		line += len + 1;
	}
}
