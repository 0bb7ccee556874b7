/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what a client sends, in pieces of any size: the first byte
 * seeds how it is cut.  The same requests must come out however it is cut, and
 * within the limits.
 */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "vmm/api/http.h"

enum { BODY_MAX = 64 };

static void check(const struct http_parser *http)
{
	must(http->body.len <= BODY_MAX);
	must(http->target.len <= HTTP_LINE_MAX);
	must(http_path(http));
	must(http->method <= HTTP_METHOD_DELETE);
}

/* Feed one piece; false if there is nothing to be expected any more. */
static bool feed(struct http_parser *http, const char *data, size_t piece,
		 size_t *used, unsigned *requests)
{
	switch (http_feed(http, data, piece, used)) {
	case HTTP_FEED_MORE:
		must(*used == piece);
		return true;
	case HTTP_FEED_REQUEST:
		must(*used <= piece);
		check(http);
		++*requests;
		return true;
	default:
		must(http->refusal.len);
		return false;
	}
}

/* How many requests there are, and whether it ends in a refusal. */
static unsigned run(const char *data, size_t size, unsigned cut, bool *refused)
{
	struct http_parser http;
	unsigned requests = 0;

	*refused = false;
	http_init(&http, BODY_MAX);
	while (size && !*refused) {
		size_t piece = cut ? 1 + cut % 7 : size, used = 0;

		piece = piece < size ? piece : size;
		cut = cut ? cut * 5 + 1 : 0;
		*refused = !feed(&http, data, piece, &used, &requests);
		data += used;
		size -= used;
	}
	http_fini(&http);
	return requests;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned whole, cut;
	bool refused[2];

	if (!size)
		return 0;
	whole = run((const char *)data + 1, size - 1, 0, &refused[0]);
	cut = run((const char *)data + 1, size - 1, 1u + data[0], &refused[1]);
	must(whole == cut);
	must(refused[0] == refused[1]);
	return 0;
}
