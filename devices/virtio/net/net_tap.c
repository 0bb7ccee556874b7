/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "core/base/err.h"
#include "devices/virtio/net/net_internal.h"

/* Since Linux 6.2; headers may be older than the running kernel. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static const char prefix[] = "Open tap device failed: ";

/* Clients match Firecracker's wording, which ends with Rust's error format. */
static int refuse(struct err *e, const char *what, const char *name)
{
	int error = errno;

	return err_set(e,
		       "%s%s: %s (os error %d). Invalid TUN/TAP Backend "
		       "provided by %s. Check our documentation on setting "
		       "up the network devices.",
		       prefix, what, strerror(error), error, name);
}

static bool exists(const struct ifreq *named)
{
	struct ifreq request = *named;
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && !ioctl(fd, SIOCGIFINDEX, &request);
}

static int open_by_name(const char *name, struct err *e)
{
	struct ifreq request = {
		.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR,
	};
	AUTO_CLOSE int fd = -1;
	size_t len = strlen(name);

	/* A '%' would make the kernel choose the number in the name. */
	if (!len || len >= sizeof(request.ifr_name) || strchr(name, '%')) {
		return err_set(e,
			       "%sInvalid interface name: '%s'; give the name "
			       "of a tap (at most 15 characters) or fd:N",
			       prefix, name);
	}
	memcpy(request.ifr_name, name, len);
	/* TUNSETIFF would create a missing tap if this user may. */
	if (!exists(&request))
		return refuse(e, "Error while creating ifreq structure", name);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		return err_set(e,
			       "%sCouldn't open /dev/net/tun: %s (os error %d)",
			       prefix, strerror(errno), errno);
	}
	if (ioctl(fd, TUNSETIFF, &request))
		return refuse(e, "Error while creating ifreq structure", name);
	return take_fd(&fd);
}

static int open_by_number(const char *name, struct err *e)
{
	const short wanted = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	struct ifreq request = {0};
	AUTO_CLOSE int fd = -1;
	const char *digits = name + 3;
	char *end;
	long number;

	errno = 0;
	number = strtol(digits, &end, 10);
	if (*digits < '0' || *digits > '9' || *end || errno || number > 1 << 20)
		return err_set(e, "%s'%s' is not fd: and a number", prefix,
			       name);
	fd = fcntl((int)number, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return refuse(e, "Cannot use the descriptor", name);
	if (ioctl(fd, TUNGETIFF, &request))
		return refuse(e, "The descriptor is no tap", name);
	if ((request.ifr_flags & wanted) != wanted) {
		return err_set(e,
			       "%s%s has other flags; open it with IFF_TAP | "
			       "IFF_NO_PI | IFF_VNET_HDR",
			       prefix, name);
	}
	if (fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK))
		return refuse(e, "Cannot make the tap non-blocking", name);
	return take_fd(&fd);
}

int net_tap_open(const struct net_config *config, struct err *e)
{
	const char *name = config->tap;
	int header = NET_HEADER;
	AUTO_CLOSE int fd = strncmp(name, "fd:", 3) ? open_by_name(name, e)
						    : open_by_number(name, e);

	if (fd < 0)
		return -1;
	if (ioctl(fd, TUNSETVNETHDRSZ, &header))
		return refuse(e, "Error while setting size of the vnet header",
			      name);
	if (ioctl(fd, TUNSETOFFLOAD, 0))
		return refuse(e, "Error while setting the offload flags", name);
	return take_fd(&fd);
}

uint64_t net_tap_features(int fd)
{
	const unsigned long uso =
		TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6;
	bool able = !ioctl(fd, TUNSETOFFLOAD, uso);

	ioctl(fd, TUNSETOFFLOAD, 0);
	if (!able)
		return 0;
	return BIT(VIRTIO_NET_F_HOST_USO) | BIT(VIRTIO_NET_F_GUEST_USO4) |
	       BIT(VIRTIO_NET_F_GUEST_USO6);
}

void net_tap_set_offload(int fd, uint64_t accepted)
{
	static const struct {
		unsigned feature;
		unsigned long flag;
	} table[] = {
		{VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4},
		{VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6},
		{VIRTIO_NET_F_GUEST_UFO, TUN_F_UFO},
	};
	/* The kernel accepts these two only together. */
	const uint64_t uso =
		BIT(VIRTIO_NET_F_GUEST_USO4) | BIT(VIRTIO_NET_F_GUEST_USO6);
	unsigned long flags = 0;

	if (accepted & BIT(VIRTIO_NET_F_GUEST_CSUM)) {
		flags = TUN_F_CSUM;
		for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
			if (accepted & BIT(table[i].feature))
				flags |= table[i].flag;
		}
		if ((accepted & uso) == uso)
			flags |= TUN_F_USO4 | TUN_F_USO6;
	}
	/* Each flag was probed; on failure the tap works without offloads. */
	ioctl(fd, TUNSETOFFLOAD, flags);
}
