/* SPDX-License-Identifier: Apache-2.0 */
/* Requests without end leave neither memory nor descriptors behind. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/util.h"
#include "tests/unit/api_world.h"
#include "tests/unit/testing.h"

/* AddressSanitizer's: what is allocated and not freed. */
size_t __sanitizer_get_current_allocated_bytes(void);

static const char *const requests[] = {
	"GET / HTTP/1.1\r\n\r\n",
	"GET /vm/config HTTP/1.1\r\n\r\n",
	"GET /metrics HTTP/1.1\r\n\r\n",
	"GET /clock HTTP/1.1\r\n\r\n",
	("PATCH /vm HTTP/1.1\r\nContent-Length: 18\r\n\r\n"
	 "{\"state\":\"Paused\"}"),
	("PATCH /vm HTTP/1.1\r\nContent-Length: 19\r\n\r\n"
	 "{\"state\":\"Resumed\"}"),
	("PATCH /drives/d HTTP/1.1\r\nContent-Length: 32\r\n\r\n"
	 "{\"drive_id\":\"d\",\"path_on_host\":1"),
	"PUT /logger HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
	"GET /nothing HTTP/1.1\r\n\r\n",
	"PUT /snapshot/create HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
};

static int reach(struct world *w)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(name.sun_path, sizeof(name.sun_path), "%s", w->socket);
	if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof(name)))
		fail_msg("cannot connect");
	return fd;
}

static unsigned count_answers(int fd)
{
	static char text[1 << 16];
	unsigned answers = 0;
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return 0;
	text[n] = '\0';
	for (const char *at = text; (at = strstr(at, "HTTP/1.1 ")); at++)
		answers++;
	return answers;
}

/* All of them on a new connection, which is torn in the middle of another. */
static unsigned ask_all(struct world *w)
{
	unsigned answers = 0;
	int fd = reach(w);

	for (unsigned i = 0; i < ARRAY_SIZE(requests); i++)
		assert_int_equal(send(fd, requests[i], strlen(requests[i]), 0),
				 strlen(requests[i]));
	send(fd, requests[0], 7, 0);
	for (unsigned i = 0; i < 20 && answers < ARRAY_SIZE(requests); i++) {
		api_world_poll(w, 100);
		answers += count_answers(fd);
	}
	close(fd);
	return answers;
}

static void ten_thousand_requests_leave_nothing_behind(void **state)
{
	struct world *w = *state;
	unsigned answers = 0, descriptors;
	size_t bytes;

	api_world_boot(w);
	for (unsigned i = 0; i < 1000; i += ARRAY_SIZE(requests))
		ask_all(w);
	api_world_run(w);
	bytes = __sanitizer_get_current_allocated_bytes();
	descriptors = testing_count_fds();
	for (unsigned i = 0; i < 10000; i += ARRAY_SIZE(requests))
		answers += ask_all(w);
	api_world_run(w);
	assert_int_equal(answers, 10000);
	assert_int_equal(testing_count_fds(), descriptors);
	assert_in_range(__sanitizer_get_current_allocated_bytes(), 0, bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		API_TEST(ten_thousand_requests_leave_nothing_behind),
	};

	return RUN_TESTS("api_endurance", tests);
}
