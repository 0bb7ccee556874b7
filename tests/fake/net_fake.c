/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/net_fake.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/err.h"
#include "devices/virtio/net/net.h"

unsigned net_fake_vhosts;
int net_fake_no_vhost;
int net_fake_host = -1;

struct virtio_device *__wrap_net_create(const struct virtio_slot *slot,
					const struct net_config *config,
					struct err *e);
int __wrap_net_use_vhost(struct virtio_device *dev, struct err *e);

struct virtio_device *__wrap_net_create(const struct virtio_slot *slot,
					const struct net_config *config,
					struct err *e)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		       fds))
		abort();
	if (net_fake_host < 0)
		close(fds[0]);
	else
		net_fake_host = fds[0];
	return net_create_on(slot, config, fds[1], e);
}

int __wrap_net_use_vhost(struct virtio_device *dev, struct err *e)
{
	(void)dev;
	net_fake_vhosts++;
	return net_fake_no_vhost ? err_set(e, "there is no vhost-net here") : 0;
}
