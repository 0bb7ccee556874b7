/* SPDX-License-Identifier: Apache-2.0 */
/* `stasis ctl`, run against servers that do as they are told by a test. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { OUT_MAX = 1 << 20, UNREACHABLE = 2 };

#define NO_CONTENT "HTTP/1.1 204 \r\nServer: Firecracker API\r\n\r\n"
#define STREAM     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

/* A server for one connection. */
struct server {
	const char *answer;
	const char *again; /* after the answer, until nobody takes it */
	size_t sent;       /* bytes of that which went */
	bool torn;         /* the answer comes byte by byte */
	bool deaf;         /* it answers at once, and closes */
	bool silent;       /* it keeps the connection, and its mouth shut */
	char request[65536];
	size_t len;
	int listener;
};

extern struct server server;
extern char path[64];                              /* of its socket */
extern char printed[OUT_MAX], complained[OUT_MAX]; /* what was printed */
extern int output; /* ctl's standard output, if not -1; it gets closed */

extern int (*command)(int argc, char **argv); /* cli_ctl, if not changed */

/* Run `stasis ctl --socket PATH WORDS...`: up to four words. */
int ctl(const char *a, const char *b, const char *c, const char *d);
/* The same, while `server` is there. */
int served(const char *a, const char *b, const char *c, const char *d);
/* The same, with this answer. */
int answered(const char *answer, const char *a, const char *b);
int answered_json(const char *status, const char *json, const char *a,
		  const char *b);

int server_begin(void **state);
int server_make_folder(void **state);
int server_remove_folder(void **state);
