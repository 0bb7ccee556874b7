/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/snapshot_cli_world.h"

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/util.h"
#include "tests/unit/testing.h"
#include "vmm/cli/cli.h"

const char no_content[] = "HTTP/1.1 204 \r\n\r\n";
const char failed[] = "HTTP/1.1 400 \r\nContent-Length: 32\r\n\r\n"
		      "{\"fault_message\":\"disk is full\"}";
const char running[] =
	"HTTP/1.1 200 \r\nContent-Length: 19\r\n\r\n{\"state\":\"Running\"}";
const char paused[] =
	"HTTP/1.1 200 \r\nContent-Length: 18\r\n\r\n{\"state\":\"Paused\"}";

char folder[64], socket_path[80];
char printed[65536], complained[4096];
char requests[8192]; /* that were made, one after the other */

/* ------------------------------------------------------------------- a VMM */

static void answer(int fd, const char *text)
{
	size_t at = strlen(requests);

	while (at < sizeof(requests) - 1) {
		const char *head = strstr(requests, "\r\n\r\n");
		ssize_t n;

		/* Bodies are objects. */
		if (head && (strstr(requests, "GET ") || strchr(head, '}')))
			break;
		n = recv(fd, requests + at, sizeof(requests) - 1 - at, 0);
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void *serve(void *arg)
{
	struct vmm *vmm = arg;
	static char all[sizeof(requests)];

	all[0] = '\0';
	for (unsigned i = 0; vmm->answer[i]; i++) {
		int fd = accept(vmm->listener, NULL, NULL);
		char *end;

		if (fd < 0)
			return NULL;
		memset(requests, 0, sizeof(requests));
		answer(fd, vmm->answer[i]);
		close(fd);
		/* First line and body. */
		end = strstr(requests, " HTTP");
		if (end)
			*end = '\0';
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s %s;",
			 requests,
			 end && strchr(end + 1, '{') ? strchr(end + 1, '{')
						     : "");
	}
	memcpy(requests, all, sizeof(all));
	return NULL;
}

/* --------------------------------------------------------------- running it */

static void take(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
}

int run(int (*command)(int, char **), const char *const *words)
{
	AUTO_CLOSE int out = testing_file("", 0);
	AUTO_CLOSE int err = testing_file("", 0);
	AUTO_CLOSE int old_out = dup(1);
	AUTO_CLOSE int old_err = dup(2);
	char *argv[8] = {NULL};
	int argc = 0, status;

	for (; words[argc]; argc++)
		argv[argc] = (char *)words[argc];
	if (out < 0 || err < 0 || old_out < 0 || old_err < 0)
		fail();
	fflush(stdout);
	dup2(out, 1);
	dup2(err, 2);
	status = command(argc, argv);
	fflush(stdout);
	dup2(old_out, 1);
	dup2(old_err, 2);
	take(out, printed, sizeof(printed));
	take(err, complained, sizeof(complained));
	return status;
}

/* `stasis snapshot FOLDER/new`, and perhaps options, with such a VMM. */
int snapshot_with(const struct vmm *vmm, const char *const options[3])
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct vmm served = *vmm;
	char new[80];
	pthread_t thread;
	int status;

	snprintf(new, sizeof(new), "%s/new", folder);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
	unlink(socket_path);
	served.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (served.listener < 0)
		fail();
	assert_int_equal(bind(served.listener, (struct sockaddr *)&address,
			      sizeof(address)),
			 0);
	assert_int_equal(listen(served.listener, 1), 0);
	pthread_create(&thread, NULL, serve, &served);
	status = RUN(cli_snapshot, new, "--socket", socket_path, options[0],
		     options[1], options[2]);
	pthread_join(thread, NULL);
	close(served.listener);
	return status;
}

int snapshot(const struct vmm *vmm, const char *option)
{
	return snapshot_with(vmm, (const char *const[3]){option});
}

int make_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/snapshot-cli-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(socket_path, sizeof(socket_path), "%s/api", folder);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

int remove_folder(void **state)
{
	(void)state;
	return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
