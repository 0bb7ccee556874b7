/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/memory/uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/util.h"
#include "core/io/io.h"
#include "core/machine/mem.h"

/* Per region: five numbers of at most 21 digits, and their names. */
enum { TEXT_MAX = GUEST_MEM_REGIONS_MAX * 256 };

/*
 * Create a userfaultfd: by the device, which needs permission on a file, or by
 * the system call, which needs a privilege or a sysctl.
 */
static int open_uffd(struct err *e)
{
	AUTO_CLOSE int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_EVENT_REMOVE,
	};
	AUTO_CLOSE int fd = -1;

	if (device >= 0)
		fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_errno(e,
				 "cannot create a userfaultfd (give this "
				 "user access to /dev/userfaultfd, or set "
				 "the sysctl vm.unprivileged_userfaultfd=1)");
	if (ioctl(fd, UFFDIO_API, &api))
		return err_errno(e, "userfaultfd cannot tell of pages that "
				    "are given back");
	return take_fd(&fd);
}

static int register_region(int fd, const struct guest_mem_region *r,
			   struct err *e)
{
	struct uffdio_register arg = {
		.range.start = (uintptr_t)r->host,
		.range.len = r->size,
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	/* KVM would map a whole huge page after one small page was filled.
	 * (Pages of hugetlbfs are filled as a whole, and stay.) */
	madvise(r->host, r->size, MADV_NOHUGEPAGE);
	if (ioctl(fd, UFFDIO_REGISTER, &arg))
		return err_errno(e, "userfaultfd does not take guest RAM");
	return 0;
}

int uffd_connect(const char *path, bool *busy, struct err *e)
{
	struct sockaddr_un address;
	AUTO_CLOSE int fd = -1;

	*busy = false;
	if (!io_name_socket(&address, path))
		return err_set(e,
			       "%.120s: a socket's path has at most %zu "
			       "characters",
			       path, sizeof(address.sun_path) - 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		*busy = fd >= 0 && errno == EAGAIN;
		return err_errno(
			e,
			"cannot connect to %.120s, where RAM is to "
			"come from%s",
			path, *busy ? " (it does not accept connections)" : "");
	}
	return take_fd(&fd);
}

/* page_size_kib is in bytes, too, because Firecracker's clients expect that. */
static int describe(const struct guest_mem *mem, char *text, size_t size)
{
	unsigned long page = (unsigned long)guest_mem_page(mem);
	unsigned long long offset = 0;
	int n = 0;

	for (unsigned i = 0; i < mem->region_count; i++) {
		const struct guest_mem_region *r = &mem->region[i];

		n += snprintf(text + n, size - (size_t)n,
			      "%s{\"base_host_virt_addr\":%llu,\"size\":%llu,"
			      "\"offset\":%llu,\"page_size\":%lu,"
			      "\"page_size_kib\":%lu}",
			      i ? "," : "[",
			      (unsigned long long)(uintptr_t)r->host,
			      (unsigned long long)r->size, offset, page, page);
		offset += r->size;
	}
	return n + snprintf(text + n, size - (size_t)n, "]");
}

static int send_it(int socket, int fd, const struct guest_mem *mem,
		   struct err *e)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(fd))] = {0};
	char text[TEXT_MAX];
	struct iovec iov = {
		.iov_base = text,
		.iov_len = (size_t)describe(mem, text, sizeof(text)),
	};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(socket, &message, MSG_NOSIGNAL) != (ssize_t)iov.iov_len)
		return err_errno(e, "cannot hand guest RAM over");
	return 0;
}

/* A pidfd of the process that listened, which polls as readable once that has
 * ended; -1 if it is not known, as from another PID namespace. */
static int listener(int socket)
{
	struct ucred who = {0};
	socklen_t len = sizeof(who);

	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &len) ||
	    who.pid <= 0)
		return -1;
	return (int)syscall(SYS_pidfd_open, who.pid, 0);
}

int uffd_serve(struct uffd *u, const struct guest_mem *mem, int socket,
	       struct err *e)
{
	*u = (struct uffd){
		.fd = open_uffd(e),
		.socket = socket,
		.process = listener(socket),
	};
	if (u->fd < 0)
		goto failed;
	for (unsigned i = 0; i < mem->region_count; i++) {
		if (register_region(u->fd, &mem->region[i], e))
			goto failed;
	}
	if (!send_it(u->socket, u->fd, mem, e))
		return 0;
failed:
	uffd_close(u);
	return -1;
}

bool uffd_is_unread(const struct uffd *u)
{
	struct pollfd p = {.fd = u->fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1 && p.revents & POLLIN;
}

bool uffd_server_has_ended(const struct uffd *u)
{
	struct pollfd p = {.fd = u->process, .events = POLLIN};

	return u->process >= 0 && poll(&p, 1, 0) == 1;
}

static void for_each_region(const struct uffd *u, const struct guest_mem *mem,
			    unsigned long request)
{
	for (unsigned i = 0; i < mem->region_count; i++) {
		struct uffdio_range range = {
			.start = (uintptr_t)mem->region[i].host,
			.len = mem->region[i].size,
		};

		ioctl(u->fd, request, &range);
	}
}

void uffd_ask_again(const struct uffd *u, const struct guest_mem *mem)
{
	for_each_region(u, mem, UFFDIO_WAKE);
}

void uffd_release(const struct uffd *u, const struct guest_mem *mem)
{
	if (u->fd >= 0)
		for_each_region(u, mem, UFFDIO_UNREGISTER);
}

void uffd_close(struct uffd *u)
{
	util_close(&u->fd);
	util_close(&u->socket);
	util_close(&u->process);
}
