/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pager SOCKET FILE [PAGES]: serves guest RAM out of FILE, as Firecracker's
 * userfaultfd handlers do, to one VMM; prints "served N" when that ends. After
 * PAGES pages it dies.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { REGIONS_MAX = 2, TEXT_MAX = 1024, AHEAD = 128 << 10 };

static struct region {
	unsigned long long base, size, offset, page;
} regions[REGIONS_MAX];
static int region_count;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int accept_one(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), client;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(fd, 1))
		die(path);
	puts("listening");
	fflush(stdout);
	client = accept(fd, NULL, NULL);
	if (client < 0)
		die("accept");
	return client;
}

/* The value of the next member, which must have this name. */
static const char *number(const char *at, const char *name,
			  unsigned long long *value)
{
	size_t len = strlen(name);
	const char *quote = strchr(at, '"');
	char *end;

	if (!quote || strncmp(quote + 1, name, len) != 0 ||
	    strncmp(quote + 1 + len, "\":", 2) != 0)
		die("what came is not understood");
	*value = strtoull(quote + len + 3, &end, 10);
	return end;
}

/* One message, as the handlers read it that people have. */
static int receive(int client)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	char text[TEXT_MAX];
	struct iovec iov = {text, sizeof(text) - 1};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(client, &message, 0);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	const char *at = text;
	int fd;

	if (!c || c->cmsg_type != SCM_RIGHTS)
		die("no descriptor came");
	text[n] = '\0';
	printf("got %s\n", text);
	fflush(stdout);
	while ((at = strstr(at, "\"base_host_virt_addr\""))) {
		struct region *r = &regions[region_count++];

		if (region_count > REGIONS_MAX)
			die("there are too many regions");
		at = number(at, "base_host_virt_addr", &r->base);
		at = number(at, "size", &r->size);
		at = number(at, "offset", &r->offset);
		at = number(at, "page_size", &r->page);
	}
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static void fill(int uffd, const uint8_t *file, uint64_t at)
{
	for (int i = 0; i < region_count; i++) {
		const struct region *r = &regions[i];
		uint64_t page = at - at % r->page;
		uint64_t rest = r->base + r->size - page;
		uint64_t ahead = r->page > AHEAD ? r->page : AHEAD;
		struct uffdio_copy copy = {
			.dst = page,
			.src = (uintptr_t)file + r->offset + (page - r->base),
			.len = rest < ahead ? rest : ahead,
		};

		/* It stops where a page is there already. */
		if (at >= r->base && at - r->base < r->size)
			ioctl(uffd, UFFDIO_COPY, &copy);
	}
}

int main(int argc, char **argv)
{
	long left = argc > 3 ? strtol(argv[3], NULL, 10) : -1, served = 0;
	const uint8_t *file;
	struct stat st;
	int client, uffd, fd;

	if (argc < 3)
		return 2;
	fd = open(argv[2], O_RDONLY);
	if (fd < 0 || fstat(fd, &st))
		die(argv[2]);
	file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	client = accept_one(argv[1]);
	uffd = receive(client);
	while (left) {
		struct pollfd ready[] = {{.fd = uffd, .events = POLLIN},
					 {.fd = client, .events = POLLIN}};
		struct uffd_msg message;

		if (poll(ready, 2, -1) < 0 || ready[1].revents)
			break;
		if (read(uffd, &message, sizeof(message)) != sizeof(message) ||
		    message.event != UFFD_EVENT_PAGEFAULT)
			continue;
		fill(uffd, file, message.arg.pagefault.address);
		served++;
		left -= left > 0;
	}
	printf("served %ld\n", served);
	return 0;
}
