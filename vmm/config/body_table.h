/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a VM that are described by one JSON object each: a table of
 * them drives the API (PUT /NAME), the configuration file (section NAME) and
 * GET /vm/config.  bodies.h has the functions behind it, with their types.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct err;
struct json_t;
struct vm_config;

struct body_kind {
	const char *name;     /* the section's, and the path's: "drives" */
	const char *refusal;  /* what a refusal by apply() begins with */
	bool is_list;         /* there may be several, each with an id */
	bool is_required;     /* in a configuration file */
	bool is_path_allowed; /* there, also the path of a file that has it */

	/* Into zeros.  @id is what the path says; NULL: only the body does. */
	int (*read)(void *body, const struct json_t *json, const char *id,
		    struct err *e);
	/* Take it over: all of it, or nothing. */
	int (*apply)(void *body, struct vm_config *config, struct err *e);
	void (*fini)(void *body); /* NULL: it owns nothing */
	/* Something deprecated is in it.  NULL: nothing can be. */
	bool (*is_deprecated)(const void *body);
	const char *deprecation; /* what that is, as in "vsock_id field is" */
};

extern const struct body_kind body_balloon, body_boot_source, body_cpu_config,
	body_drives, body_entropy, body_interfaces, body_mmds, body_vsock;

/*
 * Read one of @kind, and take it over.  Returns 0; BODY_UNREADABLE if it is not
 * a body of this kind, or BODY_REFUSED if it cannot be taken over.  *deprecated
 * is set if something in it is.
 */
enum { BODY_UNREADABLE = -2, BODY_REFUSED = -1 };
int body_put(const struct body_kind *kind, struct vm_config *config,
	     const struct json_t *json, const char *id, bool *deprecated,
	     struct err *e);

/* What a VM consists of: the sections of a configuration file, and the members
 * of GET /vm/config. */
struct body_part {
	const char *name;             /* without a kind */
	const struct body_kind *kind; /* NULL: the file has a reader for it */
	void (*print)(const struct vm_config *config, struct buf *out);
	const char *absent; /* no print: what there is instead */
};

/* All of them, and one without a name. */
extern const struct body_part body_parts[];
enum { BODY_PARTS_MAX = 16 };
const char *body_part_name(const struct body_part *part);

/* The object of GET /vm/config. */
void bodies_print(const struct vm_config *config, struct buf *out);
